"""How long to wait before something that failed is tried again."""

from __future__ import annotations

import random
from dataclasses import dataclass

_DOUBLINGS = 30
"""So many that any first delay is beyond any last one; more would leave the range of floats."""


def delay(failures: int, *, first: float, last: float, at_least: float = 0.0) -> float:
    """Return seconds: about ``first`` after one failure, doubled with each more, up to ``last``.

    Chance takes up to half of it, so that those who failed together do not try again together.
    ``at_least`` is how long somebody asked to be left alone.
    """
    if not failures:
        return 0.0
    longest: float = min(first * 2 ** min(failures - 1, _DOUBLINGS), last)
    chosen = longest * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
    return max(chosen, beyond(at_least))


def beyond(seconds: float) -> float:
    """Return up to half more seconds than that: others were asked to wait so long as well."""
    return seconds * random.uniform(1.0, 1.5)  # noqa: S311 - no secret


@dataclass(slots=True, kw_only=True)
class Pause:
    """A wait that several share who try at the same time: they fail together, which counts once.

    The times are seconds of one clock, whose choice is the caller's, as is a lock.
    """

    first: float
    last: float
    until: float = 0.0
    """Before that nobody is to try."""
    failures: int = 0
    """In a row; those of one moment are one."""

    def failed(self, *, began: float, now: float, at_least: float = 0.0) -> None:
        """Note a failure of what began at some time: all wait, longer with each in a row.

        What began before the present wait is over tells nothing that the failure before it has not,
        but for the wait that somebody asks for (``at_least``).
        """
        if self.failures and began < self.until:
            self.until = max(self.until, now + at_least)
            return
        self.failures += 1
        self.until = now + self.after(self.failures, at_least=at_least)

    def after(self, failures: int, *, at_least: float = 0.0) -> float:
        """Return the seconds that it takes after so many failures."""
        return delay(failures, first=self.first, last=self.last, at_least=at_least)

    def succeeded(self) -> None:
        """Note that it worked: the next failure is a first one."""
        self.failures = 0
