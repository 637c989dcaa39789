"""Rounds of an experiment, as many as its time allows: a slow machine measures less, not longer."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True, slots=True)
class Rounds:
    """At most ``most`` rounds, no more once ``seconds`` are over, but ``least`` in any case."""

    most: int
    seconds: float = 60.0
    least: int = 3
    cold: int = 1
    """Rounds before, which find caches empty and do not count."""

    def numbers(self, clock: Callable[[], float] = time.monotonic) -> Iterator[int]:
        """Yield the numbers of the rounds, below 0 those that do not count."""
        end = clock() + self.seconds
        for number in range(-self.cold, self.most):
            if number >= self.least and clock() >= end:
                return
            yield number
