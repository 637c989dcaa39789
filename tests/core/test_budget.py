"""How the time of a request is divided."""

from __future__ import annotations

import pytest

from multus_py.cni.errors import CniError, Code
from multus_py.core.budget import Budget, Shares


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_quarter_is_kept_for_undoing() -> None:
    assert Budget(Clock(), 100).forward() == 75


def test_the_time_runs() -> None:
    clock = Clock()
    budget = Budget(clock, 100)
    clock.now += 40

    assert (budget.forward(), budget.left) == (35, 60)


def test_there_is_no_way_forward_after_that() -> None:
    clock = Clock()
    budget = Budget(clock, 100)
    clock.now += 75

    with pytest.raises(CniError) as caught:
        budget.forward()

    assert caught.value.code == Code.TRY_AGAIN_LATER
    assert budget.left == 25


def test_releasing_is_always_tried() -> None:
    clock = Clock()
    budget = Budget(clock, 100)
    clock.now += 1000

    assert budget.left == 1.0


def test_what_is_left_is_shared_among_those_still_to_run() -> None:
    clock = Clock()
    budget = Budget(clock, 100)
    shares = Shares(lambda: budget.left, 4)

    assert shares() == 25
    clock.now += 25  # it hung
    assert shares() == 25
    clock.now += 1  # it was quick
    assert shares() == 37
    clock.now += 1
    assert shares() == 73


def test_a_share_is_a_second_at_least_and_never_for_nobody() -> None:
    shares = Shares(lambda: 2.0, 8)

    assert [shares() for _ in range(9)] == [1.0] * 6 + [1.0, 2.0, 2.0]
