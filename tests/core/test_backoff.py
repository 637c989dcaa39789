"""How long is waited after failures."""

from __future__ import annotations

import pytest

from multus_py.core import backoff


def test_without_a_failure_nothing_is_waited_for() -> None:
    assert backoff.delay(0, first=1.0, last=8.0) == 0.0


@pytest.mark.parametrize(
    ("failures", "longest"), [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 8.0), (100_000, 8.0)]
)
def test_it_doubles_up_to_a_limit_and_chance_takes_up_to_half(
    failures: int, longest: float
) -> None:
    delays = [backoff.delay(failures, first=1.0, last=8.0) for _ in range(200)]
    assert longest / 2 <= min(delays) < max(delays) <= longest


def paused(*failures: tuple[float, float]) -> backoff.Pause:
    """Return the wait after failures, each with its beginning and its end."""
    pause = backoff.Pause(first=1.0, last=100.0)
    for began, now in failures:
        pause.failed(began=began, now=now)
    return pause


def test_what_fails_at_one_moment_is_one_failure() -> None:
    pause = paused(*[(0.0, 5.0 + number / 100) for number in range(50)])
    assert pause.failures == 1
    assert 5.5 <= pause.until <= 6.0


def test_what_fails_after_the_wait_is_another() -> None:
    pause = paused((0.0, 5.0), (6.0, 7.0), (6.0, 7.1), (9.0, 10.0))
    assert pause.failures == 3
    assert 12.0 <= pause.until <= 14.0


def test_what_works_makes_the_next_failure_a_first_one() -> None:
    pause = paused((0.0, 5.0), (6.0, 7.0))
    pause.succeeded()
    pause.failed(began=7.5, now=8.0)
    assert pause.failures == 1
    assert 8.5 <= pause.until <= 9.0


def test_who_is_asked_to_wait_does_so_and_not_for_as_long_as_others() -> None:
    delays = [backoff.delay(1, first=0.5, last=8.0, at_least=4.0) for _ in range(200)]
    assert 4 <= min(delays) < 4.5
    assert 5.5 < max(delays) <= 6
    assert backoff.delay(5, first=1.0, last=8.0, at_least=0.1) >= 4
    assert backoff.delay(0, first=1.0, last=8.0, at_least=4.0) == 0
