"""Whether a daemon is at work on this node, and for how long requests have missed it.

A daemon holds a lock beside its socket. The first request that finds nobody leaves a file there, by
which later ones tell a daemon that is being restarted from one that is gone for good.
"""

from __future__ import annotations

import fcntl
import os
import socket
import time
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

from multus_py.cni.errors import CniError, Code

if TYPE_CHECKING:
    from collections.abc import Iterator

SOCKET, LOCK, MISSED = "multus-py.sock", "multus-py.lock", "missed"
LEAVING = "leaving"
"""A file beside the others: the node is being left, and no configuration to be kept any more."""
GONE_SECONDS = 30.0
"""A daemon that was missed for so long is not merely being restarted."""

_CLAIM_SECONDS = 2.0
"""For the end of another daemon, or of somebody who only looks whether there is one."""
_RETRY_SECONDS = 0.05


def claim(directory: str) -> int:
    """Be the daemon of this node: return the descriptor of a lock that only one can have."""
    deadline = time.monotonic() + _CLAIM_SECONDS
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        os.chmod(directory, 0o700)  # a container runtime may have made it, for a mount
        lock = _opened(directory)
        while not _taken(lock, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                os.close(lock)
                raise CniError(
                    Code.TRY_AGAIN_LATER,
                    f"another daemon works in {directory} already",
                    "one daemon serves a node; end the other one first, or use another socketDir",
                )
            time.sleep(_RETRY_SECONDS)
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(directory, MISSED))
    except OSError as error:
        raise CniError(
            Code.IO_FAILURE,
            f"cannot use {directory}: {error.strerror}",
            "set socketDir to a directory that the daemon may write",
        ) from error
    return lock


def missed(directory: str) -> float:
    """Note that a request has found no daemon; return for how many seconds that has been so.

    A socket that leads nowhere is removed when the daemon is gone, so that nobody waits at it.
    """
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        with _unclaimed(directory) as unclaimed:
            if not unclaimed:
                return 0.0
            seconds = _seconds_since_first(os.path.join(directory, MISSED))
            if seconds >= GONE_SECONDS:
                _remove_if_dead(os.path.join(directory, SOCKET))
            return seconds
    except OSError:
        return 0.0  # nothing is known, so the daemon may be about to come


@contextmanager
def _unclaimed(directory: str) -> Iterator[bool]:
    """Tell whether there is no daemon, and let none begin meanwhile."""
    lock = _opened(directory)
    try:
        yield _taken(lock, fcntl.LOCK_SH)
    finally:
        os.close(lock)


def _opened(directory: str) -> int:
    return os.open(os.path.join(directory, LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _taken(lock: int, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _seconds_since_first(path: str) -> float:
    """Return for how long the file has been there; it is made if it is not.

    Its time is that of the clock which nobody sets, as the time of day is set on a node that has
    just been started. What is of another start of the node lies ahead, and counts from now on.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    now = time.monotonic()
    seconds = now - os.stat(path).st_mtime
    if seconds < 0:
        os.utime(path, (now, now))
    return max(seconds, 0.0)


def _remove_if_dead(path: str) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as asked:
        try:
            asked.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
        except OSError:
            return  # there is none
