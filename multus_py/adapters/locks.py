"""One request at a time for a container, by a lock that ends with those who work under it.

The lock is ``flock`` on a file beside the record. Plugins inherit its descriptor, so it is still
held by a plugin whose caller was killed; the next request ends such orphans, as nobody waits for
their answer, and then releases what they made. The file is gone again when nobody holds the lock.
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from multus_py.cni.errors import CniError, Code

if TYPE_CHECKING:
    from collections.abc import Iterator

_INTERVAL = 0.02


@contextmanager
def held(path: str, seconds: float) -> Iterator[None]:
    """Hold the lock at ``path``; an error (code 11) if somebody else does for so many seconds."""
    descriptor = _acquired(path, seconds)
    try:
        yield
    finally:
        with suppress(FileNotFoundError):
            os.unlink(path)
        # Not left to close(): a daemon that a plugin started may have the descriptor for long.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _acquired(path: str, seconds: float) -> int:
    deadline = time.monotonic() + seconds
    try:
        while (descriptor := _tried(path)) is None:
            _end_orphans(path)
            if time.monotonic() > deadline:
                raise CniError(
                    Code.TRY_AGAIN_LATER,
                    "another request for this container is still at work",
                    "the runtime tries again; see what the other request waits for",
                )
            time.sleep(_INTERVAL)
    except OSError as error:
        raise CniError(
            Code.IO_FAILURE,
            f"cannot lock {path}: {error.strerror}",
            "look at that file system on the node",
        ) from error
    return descriptor


def _tried(path: str) -> int | None:
    """Return the descriptor of the lock, or None while somebody else holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _same_file(descriptor, path):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, _identity().encode(), 0)
            os.set_inheritable(descriptor, True)
            return descriptor
    except BlockingIOError:
        pass
    os.close(descriptor)
    return None


def _same_file(descriptor: int, path: str) -> bool:
    """Tell whether the file was not deleted by its last holder between open and lock."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _identity() -> str:
    """Return who holds the lock: a process, and the PID namespace in which that number counts."""
    return f"{os.getpid()} {os.stat('/proc/self/ns/pid').st_ino}"


def _end_orphans(path: str) -> None:
    """End the processes that hold the lock for a request whose own process is no more.

    Nothing happens while that process lives, or if it lives in another PID namespace.
    """
    try:
        with open(path) as file:
            owner, _, namespace = file.read().partition(" ")
    except FileNotFoundError:
        return
    if namespace != _identity().partition(" ")[2]:
        return
    holders = _holders(path)
    if int(owner) not in holders:
        for pid in holders - {os.getpid()}:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _holders(path: str) -> set[int]:
    """Return the processes that have the file open."""
    holders = set()
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        with suppress(OSError):  # processes end while we look
            for descriptor in os.listdir(f"/proc/{name}/fd"):
                if os.readlink(f"/proc/{name}/fd/{descriptor}") == path:
                    holders.add(int(name))
    return holders
