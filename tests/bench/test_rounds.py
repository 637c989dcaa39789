from __future__ import annotations

import itertools

from tests.bench.rounds import Rounds


def test_a_fast_machine_makes_all_rounds() -> None:
    rounds = Rounds(most=4, seconds=60, cold=2)
    assert list(rounds.numbers(lambda: 0.0)) == [-2, -1, 0, 1, 2, 3]


def test_a_slow_machine_makes_those_that_are_needed() -> None:
    ticks = itertools.count()
    rounds = Rounds(most=50, seconds=1, least=3)
    assert list(rounds.numbers(lambda: float(next(ticks)))) == [-1, 0, 1, 2]


def test_time_that_is_left_is_used() -> None:
    moments = iter([0.0, 0.5, 0.9, 1.0])
    rounds = Rounds(most=50, seconds=1, least=1, cold=0)
    assert list(rounds.numbers(lambda: next(moments))) == [0, 1, 2]
