"""Medians, and how sure they are.

What is computed from samples has an interval beside it: the middle 95 % of what the same
computation yields for samples that are drawn again, with replacement, from those that there are
(the bootstrap). Draws have a seed, so that a page made from the same samples is the same.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DRAWS = 1000
_OUTSIDE = 0.025
"""The share of draws on either side of an interval."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value, and the interval in which it is with 95 %."""

    value: float
    low: float
    high: float
    count: int
    """Samples of each kind that it is made of, at least."""


def quantile(samples: Sequence[float], share: float) -> float:
    """Return the value that a share of the samples (0 to 1) does not exceed, interpolated."""
    ordered = sorted(samples)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def estimate(
    compute: Callable[..., float], *kinds: Sequence[float], draws: int = DRAWS
) -> Estimate:
    """Return what is computed from samples of some kinds, with its interval."""
    chance = random.Random(len(kinds))
    drawn = sorted(
        compute(*(chance.choices(samples, k=len(samples)) for samples in kinds))
        for _ in range(draws)
    )
    return Estimate(
        compute(*kinds),
        quantile(drawn, _OUTSIDE),
        quantile(drawn, 1 - _OUTSIDE),
        min(map(len, kinds)),
    )


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Estimate:
    """Return the ratio of two medians."""
    return estimate(lambda one, other: median(one) / median(other), ours, theirs)


def ratio_without(
    ours: Sequence[float], theirs: Sequence[float], bare: Sequence[float], times: int
) -> Estimate:
    """Return the ratio of two medians, each less so many times the median of what both contain."""

    def compute(one: Sequence[float], other: Sequence[float], part: Sequence[float]) -> float:
        less = times * median(part)
        return (median(one) - less) / (median(other) - less)

    return estimate(compute, ours, theirs, bare)


def without(samples: Sequence[float], bare: Sequence[float], times: int) -> Estimate:
    """Return a median less so many times the median of what is contained."""
    return estimate(lambda some, part: median(some) - times * median(part), samples, bare)
