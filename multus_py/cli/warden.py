"""A program in a session of its own, that ends with everything in it when this process is told to.

Knows nothing of what the program does.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import FrameType

_ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
_SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of <linux/prctl.h>"""


class Warden:
    """Stays with one program until nothing of it is left."""

    def __init__(self) -> None:
        self._session = 0
        self._told = 0

    def run(self, command: Sequence[str], environment: Mapping[str, str]) -> int:
        """Run the program and return its exit code; a signal to us ends the program, then us.

        Being in a session of its own, the program gets no signal from the terminal, so all that
        its parts have to say about Ctrl-C is left unsaid. Descriptors marked as inheritable stay
        open in it, as in ``multus-py try <(generate manifests)``.
        """
        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
        for number in _ENDING:
            if signal.getsignal(number) != signal.SIG_IGN:  # as nohup leaves SIGHUP
                signal.signal(number, self._end)
        child = subprocess.Popen(
            command, env=dict(environment), start_new_session=True, close_fds=False
        )
        self._session = child.pid
        if self._told:
            self._kill()
        status = child.wait()
        self._session = 0
        _wait_for_orphans()
        if self._told:
            signal.signal(self._told, signal.SIG_DFL)
            signal.raise_signal(self._told)
        return status if status >= 0 else 128 - status

    def _end(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._told = number
        self._kill()

    def _kill(self) -> None:
        """End all at once; the first process of a PID namespace takes the others with it."""
        if self._session:  # else it is not known yet, or over
            with suppress(ProcessLookupError):
                os.killpg(self._session, signal.SIGKILL)


def _wait_for_orphans() -> None:
    """Wait for those whose parent ended before them, the first of a PID namespace that is."""
    with suppress(ChildProcessError):
        while True:
            os.wait()
