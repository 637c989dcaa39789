"""Rounds: again and again, at once when woken, and on after a failure."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from multus_py.cni.errors import CniError
from multus_py.daemon.rounds import Rounds
from tests.processes import PATIENCE, eventually

if TYPE_CHECKING:
    import pytest

HOURS = 10_000.0


def test_a_turn_follows_when_the_one_before_wanted_it() -> None:
    turns: list[int] = []

    def turn() -> float:
        turns.append(1)
        return 0.001 if len(turns) < 3 else HOURS

    rounds = Rounds("test", turn, after_failure=HOURS)
    rounds.start()
    eventually(lambda: len(turns) == 3)
    rounds.stop()


def test_it_can_be_woken_and_stopped_in_its_sleep() -> None:
    turns: list[int] = []

    def turn() -> float:
        turns.append(1)
        return HOURS

    rounds = Rounds("test", turn, after_failure=HOURS)
    rounds.start()
    eventually(lambda: len(turns) == 1)
    rounds.wake()
    eventually(lambda: len(turns) == 2)
    rounds.stop()
    rounds.wake()
    assert len(turns) == 2


def test_being_woken_in_the_midst_of_a_turn_is_not_forgotten() -> None:
    turns: list[int] = []

    def turn() -> float:
        turns.append(1)
        if len(turns) == 1:
            rounds.wake()
        return HOURS

    rounds = Rounds("test", turn, after_failure=HOURS)
    rounds.start()
    eventually(lambda: len(turns) == 2)
    rounds.stop()


def test_a_failure_is_logged_and_not_the_end(caplog: pytest.LogCaptureFixture) -> None:
    errors: list[Exception] = [CniError(5, "disk is full"), ZeroDivisionError("a bug")]
    done = threading.Event()

    def turn() -> float:
        if errors:
            raise errors.pop(0)
        done.set()
        return HOURS

    rounds = Rounds("test", turn, after_failure=0.001)
    rounds.start()
    assert done.wait(PATIENCE)
    rounds.stop()
    assert [record.getMessage() for record in caplog.records] == [
        "test: disk is full",
        "test: unexpected",
    ]


def test_a_turn_can_see_that_it_should_end() -> None:
    begun = threading.Event()

    def turn() -> float:
        begun.set()
        eventually(lambda: rounds.stopping)
        return HOURS

    rounds = Rounds("test", turn, after_failure=HOURS)
    rounds.start()
    assert begun.wait(PATIENCE)
    rounds.stop()
    rounds.stop()


def test_what_was_never_started_can_be_stopped() -> None:
    Rounds("test", lambda: HOURS, after_failure=HOURS).stop()
