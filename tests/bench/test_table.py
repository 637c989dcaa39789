from __future__ import annotations

import pytest

from tests.bench import table
from tests.bench.spread import Estimate
from tests.bench.verdicts import Finding, counted

RATIO = Finding(
    topic="ADD through the daemon",
    what="ADD, 0 extra networks",
    unit="ms",
    ours=Estimate(12.34, 11.9, 13.04, 80),
    theirs=Estimate(24.0, 23.51, 25.0, 80),
    judged=Estimate(0.514, 0.5, 0.552, 80),
    limit=0.7,
)
COUNT = counted("Requests", "reads", ours=0, theirs=1, most=0)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (3.0, "3"), (0.514, "0.51"), (6.54, "6.5"), (99.94, "99.9"), (123.4, "123")],
)
def test_numbers_have_the_digits_that_matter(value: float, text: str) -> None:
    assert table.number(value) == text


def test_a_row_has_figures_with_intervals_limit_verdict_and_samples() -> None:
    assert table.row(RATIO) == (
        "ADD, 0 extra networks",
        "12.3 ms (11.9-13.0)",
        "24 ms (23.5-25)",
        "0.51 (0.50-0.55)",
        "<= 0.70",
        "met",
        "80",
    )


def test_a_count_has_neither_interval_nor_ratio() -> None:
    assert table.row(COUNT) == ("reads", "0", "1", "", "<= 0", "met", "counted")


def test_markdown_has_a_line_for_each_row() -> None:
    assert table.markdown(("a", "b"), [("1", "2")]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_people_see_a_heading_for_each_topic() -> None:
    lines = table.plain([RATIO, COUNT]).splitlines()
    assert [line for line in lines if line in {RATIO.topic, COUNT.topic}] == [
        RATIO.topic,
        COUNT.topic,
    ]


def test_the_summary_counts_verdicts() -> None:
    assert table.summary([RATIO, COUNT]) == "2 met, 0 not met, 0 undecided"
