from __future__ import annotations

import pytest

from tests.bench import stages
from tests.bench.stages import Edges, Timeline

BARE = Timeline(0.0, 0.003, [(0.001, 0.002)], [])
EDGES = Edges(before=0.001, after=0.001)
LINE = Timeline(
    began=10.0,
    ended=10.040,
    delegates=[(10.011, 10.012), (10.016, 10.017)],
    requests=[(10.006, 10.009), (10.020, 10.022), (10.023, 10.025)],
)


def test_edges_are_what_surrounds_the_delegate_when_it_runs_alone() -> None:
    assert (EDGES.before, EDGES.after) == pytest.approx(
        (Edges.of([BARE]).before, Edges.of([BARE]).after)
    )


def test_stages_are_as_long_as_what_was_seen_and_add_up() -> None:
    parts = stages.split(LINE, EDGES, starting=0.005)

    milliseconds = dict(zip(stages.STAGES, [1000 * part for part in parts], strict=True))
    assert milliseconds == pytest.approx(
        {
            "starting": 5,
            "to the first delegate": 2,  # ten, less the start and three for a request
            "delegates": 6,
            "between delegates": 2,
            "API requests": 3 + 5,
            "the rest to the exit": 17,
        }
    )
    assert sum(parts) == pytest.approx(LINE.total)


def test_a_typical_one_is_of_the_middle_and_adds_up() -> None:
    slow = Timeline(10.0, 19.0, LINE.delegates, LINE.requests)

    parts = stages.typical([LINE, slow, LINE, LINE], EDGES, starting=0.005)

    assert sum(parts) == pytest.approx(1000 * LINE.total)


def test_bars_are_those_of_the_peers() -> None:
    start = Timeline(1.0, 1.005, [], [])
    samples = {("", 0): [BARE], ("one", 0): [LINE], ("one", stages.STARTING): [start]}

    bars = stages.bars(samples)

    assert bars["one", 0][0] == pytest.approx(5)
    assert sum(bars["one", 0]) == pytest.approx(40)
    assert list(bars) == [("one", 0)]
