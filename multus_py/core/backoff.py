"""How long to wait before something that failed is tried again."""

from __future__ import annotations

import random

_DOUBLINGS = 30
"""So many that any first delay is beyond any last one; more would leave the range of floats."""


def delay(failures: int, *, first: float, last: float) -> float:
    """Return seconds: about ``first`` after one failure, doubled with each more, up to ``last``.

    Chance takes up to half of it, so that those who failed together do not try again together.
    """
    if not failures:
        return 0.0
    longest: float = min(first * 2 ** min(failures - 1, _DOUBLINGS), last)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
