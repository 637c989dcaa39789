"""How long a request may take, so that it ends before the runtime loses patience and kills it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from multus_py.cni.errors import CniError, Code

if TYPE_CHECKING:
    from collections.abc import Callable

_UNDO_SHARE = 0.25
_LEAST = 1.0


class Shares:
    """Time for plugins that run one after the other: one that hangs leaves the others theirs.

    What is left is shared among those still to run, so what one does not use is for the others.
    """

    def __init__(self, seconds: Callable[[], float], plugins: int) -> None:
        self._seconds = seconds
        self._plugins = plugins

    def __call__(self) -> float:
        """Return what the next plugin may take: at least a second."""
        share = self._seconds() / max(self._plugins, 1)
        self._plugins -= 1
        return max(share, _LEAST)


class Budget:
    """The time of one request in seconds; a quarter of it is kept for undoing what was done."""

    def __init__(self, clock: Callable[[], float], seconds: float) -> None:
        self._clock = clock
        self._end = clock() + seconds
        self._reserve = seconds * _UNDO_SHARE

    @property
    def left(self) -> float:
        """What is left in all, for releasing and undoing: at least a second, to try it at all."""
        return max(self._end - self._clock(), _LEAST)

    def forward(self) -> float:
        """Return what is left for going forward; an error (code 11) if that is used up."""
        seconds = self._end - self._reserve - self._clock()
        if seconds <= 0:
            raise CniError(
                Code.TRY_AGAIN_LATER,
                "the time for this request is used up",
                "the runtime tries again; raise requestTimeout if its deadline is longer",
            )
        return seconds
