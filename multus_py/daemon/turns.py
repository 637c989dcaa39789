"""Who may run plugins now: so many requests at once, the others wait in the order they came.

A burst of pods thus costs time and no memory: what waits is a thread and the bytes of its request.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

from multus_py.cni.errors import CniError, Code

if TYPE_CHECKING:
    from collections.abc import Iterator

    from multus_py.daemon.metrics import Metrics


class Turns:
    """Turns for ``limit`` requests at a time."""

    def __init__(self, limit: int, metrics: Metrics) -> None:
        self._lock = threading.Lock()
        self._free = limit
        self._waiting: deque[threading.Event] = deque()
        self._metrics = metrics

    @contextmanager
    def taken(self, seconds: float) -> Iterator[None]:
        """Wait for a turn and have it; an error (code 11) if it does not come in that time."""
        self._take(seconds)
        self._metrics.in_flight.inc()
        try:
            yield
        finally:
            self._metrics.in_flight.dec()
            with self._lock:
                self._pass_on()

    def _take(self, seconds: float) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            mine = threading.Event()
            self._waiting.append(mine)
        with self._metrics.waiting.track_inprogress():
            if mine.wait(seconds):
                return
        with self._lock:
            if mine.is_set():  # it came in the last moment, and goes to the next one
                self._pass_on()
            else:
                self._waiting.remove(mine)
        raise CniError(
            Code.TRY_AGAIN_LATER,
            f"{len(self._waiting)} requests are still waiting on this node",
            "the runtime tries again; maxInFlight says how many run at once",
        )

    def _pass_on(self) -> None:
        if self._waiting:
            self._waiting.popleft().set()
        else:
            self._free += 1
