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
