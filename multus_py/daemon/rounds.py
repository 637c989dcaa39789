"""Work that comes round again and again, in a thread of its own."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from multus_py.cni.errors import CniError

if TYPE_CHECKING:
    from collections.abc import Callable

_LOG = logging.getLogger(__name__)

_STOP_SECONDS = 5.0
"""How long an end is waited for. Who is held up by a plugin longer than this is left to itself."""


class Rounds:
    """Calls ``turn``, which returns the seconds until it wants to be called again."""

    def __init__(self, name: str, turn: Callable[[], float], *, after_failure: float) -> None:
        self._turn = turn
        self._after_failure = after_failure
        self._awake = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def stopping(self) -> bool:
        """Whether a turn should come to its end."""
        return self._stopped.is_set()

    def start(self) -> None:
        """Begin with the first turn."""
        self._thread.start()

    def stop(self) -> None:
        """Let no further turn begin, and wait for the present one."""
        self._stopped.set()
        self._awake.set()
        if self._thread.ident is not None:
            self._thread.join(_STOP_SECONDS)

    def wake(self) -> None:
        """Have the next turn at once, or another one right after the present one."""
        self._awake.set()

    def _run(self) -> None:
        while not self.stopping:
            seconds = self._after_failure
            try:
                seconds = self._turn()
            except CniError as error:
                _LOG.error("%s: %s", self._thread.name, error)
            except Exception:  # noqa: BLE001 - the main of this thread
                _LOG.exception("%s: unexpected", self._thread.name)
            self._awake.wait(seconds)
            self._awake.clear()
