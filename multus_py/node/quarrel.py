"""When to give way to another program that does not leave our file alone."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Temper:
    """How much is borne; in seconds."""

    fights: int = 3
    """So many within ``window`` are a quarrel."""
    window: float = 60.0
    """It is over after as long a time of peace."""
    slow: float = 30.0
    """From one restoration to the next, in a quarrel."""


class Quarrel:
    """Counts the times that our file had to be restored."""

    def __init__(self, temper: Temper) -> None:
        self._temper = temper
        self._restored: deque[float] = deque(maxlen=temper.fights)
        self.on = False

    def wait(self, now: float) -> float:
        """Return for how many seconds our file, which is disturbed, has to wait for its turn."""
        if not self.on or not self._restored:
            return 0.0
        return max(self._restored[-1] + self._temper.slow - now, 0.0)

    def restored(self, now: float) -> bool:
        """Note a restoration; tell whether a quarrel begins with it."""
        self._restored.append(now)
        many = len(self._restored) == self._temper.fights
        begins = not self.on and many and now - self._restored[0] <= self._temper.window
        self.on = self.on or begins
        return begins

    def settled(self, now: float) -> bool:
        """Note that nothing is disturbed; tell whether a quarrel has ended by that."""
        ends = self.on and now - self._restored[-1] > self._temper.window
        if ends:
            self.on = False
            self._restored.clear()
        return ends
