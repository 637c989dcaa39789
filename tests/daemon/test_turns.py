from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from multus_py.cni.errors import CniError, Code
from multus_py.daemon.metrics import Metrics
from multus_py.daemon.turns import Turns
from tests.processes import PATIENCE, eventually


def value(metrics: Metrics, name: str) -> float:
    return metrics.registry.get_sample_value(f"multus_py_requests_{name}") or 0.0


def refused(turns: Turns, seconds: float = 0.01) -> CniError:
    with pytest.raises(CniError) as caught, turns.taken(seconds):
        pass
    return caught.value


def test_so_many_have_a_turn_at_once_and_no_more() -> None:
    metrics = Metrics()
    turns = Turns(2, metrics)
    with turns.taken(0), turns.taken(0):
        assert value(metrics, "in_flight") == 2
        error = refused(turns)
    assert error.code == Code.TRY_AGAIN_LATER
    assert "waiting" in error.cause
    assert value(metrics, "in_flight") == 0
    with turns.taken(0), turns.taken(0):
        pass


def test_turns_come_in_order() -> None:
    metrics = Metrics()
    turns = Turns(1, metrics)
    order: list[int] = []

    def wait_for(number: int) -> bool:
        return value(metrics, "waiting") == number

    def have_one(number: int) -> None:
        with turns.taken(PATIENCE):
            order.append(number)

    with ThreadPoolExecutor(20) as pool, turns.taken(0):
        for number in range(20):
            pool.submit(have_one, number)
            eventually(partial(wait_for, number + 1))
    assert order == list(range(20))
    assert (value(metrics, "waiting"), value(metrics, "in_flight")) == (0, 0)


def test_who_waits_too_long_does_not_hold_up_the_others() -> None:
    turns = Turns(1, Metrics())
    with turns.taken(0):
        refused(turns)
        refused(turns, -1)
    with turns.taken(0):
        pass


def test_a_turn_ends_with_an_error_too() -> None:
    turns = Turns(1, Metrics())
    with pytest.raises(RuntimeError), turns.taken(0):
        raise RuntimeError
    with turns.taken(0):
        pass


def test_no_turn_is_lost_between_those_who_come_and_those_who_give_up() -> None:
    metrics = Metrics()
    turns = Turns(3, metrics)
    most = 0
    lock = threading.Lock()

    def come(seconds: float) -> bool:
        nonlocal most
        try:
            with turns.taken(seconds):
                with lock:
                    most = max(most, int(value(metrics, "in_flight")))
                return True
        except CniError:
            return False

    with ThreadPoolExecutor(16) as pool:
        taken = list(pool.map(come, [0.0, 0.0001, PATIENCE] * 400))
    assert all(taken[2::3])
    assert most <= 3
    with turns.taken(0), turns.taken(0), turns.taken(0):
        assert refused(turns).code == Code.TRY_AGAIN_LATER
