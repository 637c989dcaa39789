"""The plugin in a process that is killed at one of its steps.

A step is anything that changes the world or asks it something: opening a file for writing,
renaming, deleting, making a directory, locking, starting a process, connecting. Python reports each
to an audit hook before it happens; at number ``KILL_AT`` the process ends itself with SIGKILL. With
0 it runs to the end and says how many steps there were.
"""

from __future__ import annotations

import os
import signal
import sys

from multus_py import inprocess
from multus_py.__main__ import main

STEPS = frozenset(
    {
        "fcntl.flock",
        "os.mkdir",
        "os.remove",
        "os.rename",
        "os.truncate",
        "socket.connect",
        "subprocess.Popen",
    }
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT

__all__ = ["inprocess"]  # imported before the hook, so that only the request's own steps count


class Steps:
    """Counts the steps of this process."""

    def __init__(self, kill_at: int) -> None:
        self.count = 0
        self._kill_at = kill_at

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        opened = event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING
        if event in STEPS or opened:
            self.count += 1
            if self.count == self._kill_at:
                os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    steps = Steps(int(os.environ.get("KILL_AT", "0")))
    sys.addaudithook(steps)
    status = main()
    sys.stderr.write(f"steps={steps.count}")
    sys.exit(status)
