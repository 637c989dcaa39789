from __future__ import annotations

import pytest

from tests.bench.spread import Estimate
from tests.bench.verdicts import Finding, Verdict, counted, judged, of


def figure(low: float, value: float, high: float, count: int = 10) -> Estimate:
    return Estimate(value, low, high, count)


def finding(judged: Estimate, limit: float | None) -> Finding:
    one = figure(1, 1, 1)
    return Finding(
        topic="ADD", what="it", unit="ms", ours=one, theirs=one, judged=judged, limit=limit
    )


@pytest.mark.parametrize(
    ("interval", "limit", "verdict"),
    [
        ((0.5, 0.6, 0.7), 0.7, Verdict.MET),
        ((0.6, 0.65, 0.71), 0.7, Verdict.OPEN),
        ((0.69, 0.8, 0.9), 0.7, Verdict.OPEN),
        ((0.71, 0.8, 0.9), 0.7, Verdict.MISSED),
        ((0.71, 0.8, 0.9), None, Verdict.NONE),
    ],
)
def test_a_limit_within_the_interval_decides_nothing(
    interval: tuple[float, float, float], limit: float | None, verdict: Verdict
) -> None:
    assert judged(figure(*interval), limit) is verdict
    assert finding(figure(*interval), limit).verdict is verdict


def test_a_measurement_that_was_made_twice_decides_nothing() -> None:
    assert finding(figure(0.5, 0.5, 0.5, count=2), 0.7).verdict is Verdict.OPEN


def test_a_count_needs_no_second_one() -> None:
    assert counted("API", "reads", ours=0, theirs=1, most=0).verdict is Verdict.MET
    assert counted("API", "reads", ours=1, theirs=1, most=0).verdict is Verdict.MISSED


def test_a_figure_by_itself_is_no_ratio() -> None:
    assert not counted("API", "reads", ours=0, theirs=1, most=0).is_ratio
    assert finding(figure(1, 1, 1), None).is_ratio


def test_findings_are_found_by_their_verdict() -> None:
    met, missed = finding(figure(0.1, 0.1, 0.1), 0.7), finding(figure(2, 2, 2), 0.7)
    assert of([met, missed], Verdict.MISSED) == [missed]
