"""One request at a time for a container, by a lock that ends with those who work under it.

The lock is ``flock`` on a file beside the record. Plugins inherit its descriptor, so it is still
held by a plugin whose caller was killed; the next request ends such orphans, as nobody waits for
their answer, and then releases what they made. The file is gone again when nobody holds the lock.
"""

from __future__ import annotations

import fcntl
import os
import re
import signal
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from multus_py.cni.errors import CniError, Code

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_INTERVAL = 0.02
_LOCK = re.compile(r"^lock:\s*\d+: FLOCK .* WRITE (?P<taker>\d+) ", re.MULTILINE)


@contextmanager
def held(
    path: str,
    seconds: float,
    *,
    end_orphans: Callable[[str], None] | None = None,
    leave_to_heirs: tuple[type[BaseException], ...] = (),
) -> Iterator[int]:
    """Hold the lock at ``path``; an error (code 11) if somebody else does for so many seconds.

    Yields its descriptor. If the body ends with one of ``leave_to_heirs``, processes that have
    inherited the descriptor keep the lock, until they end or :func:`end_orphans` ends them.
    """
    descriptor = _acquired(path, seconds, end_orphans or _end_orphans_of_this_namespace)
    try:
        yield descriptor
    except leave_to_heirs:
        os.close(descriptor)
        raise
    except BaseException:
        _release(descriptor, path)
        raise
    else:
        _release(descriptor, path)


def _release(descriptor: int, path: str) -> None:
    with suppress(OSError):  # what was done under the lock is done
        os.unlink(path)
    # Not left to close(): a daemon that a plugin started may have the descriptor for long.
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)


def _acquired(path: str, seconds: float, end_orphans: Callable[[str], None]) -> int:
    deadline = time.monotonic() + seconds
    try:
        while (descriptor := _tried(path)) is None:
            end_orphans(path)
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
    with ExitStack() as undo:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        undo.callback(os.close, descriptor)
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _same_file(descriptor, path):
                _sign(descriptor)
                os.set_inheritable(descriptor, True)
                undo.pop_all()
                return descriptor
    return None


def _same_file(descriptor: int, path: str) -> bool:
    """Tell whether the file was not deleted by its last holder between open and lock."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _sign(descriptor: int) -> None:
    """Write down who holds the lock. A full disk is no reason to keep a pod from being removed."""
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} {_pid_namespace()}".encode(), 0)


def _pid_namespace() -> str:
    """Return the PID namespace in which numbers of processes count."""
    return str(os.stat("/proc/self/ns/pid").st_ino)


def _end_orphans_of_this_namespace(path: str) -> None:
    """End orphans, unless who took the lock lives, or counts in another PID namespace."""
    try:
        with open(path) as file:
            owner, _, namespace = file.read().partition(" ")
            lock = os.fstat(file.fileno())
    except FileNotFoundError:
        return
    if namespace == _pid_namespace() and not _taker(owner, lock):
        end_orphans(path)


def held_here(path: str) -> bool:
    """Tell whether this process itself holds the lock."""
    with suppress(FileNotFoundError):
        return bool(_taker("self", os.stat(path)))
    return False


def end_orphans(path: str) -> None:
    """End the processes that hold the lock for a request whose own process is no more.

    Called where those processes can be seen, and so can whoever may have taken the lock.
    """
    try:
        lock = os.stat(path)
    except FileNotFoundError:
        return
    for pid in filter(str.isdigit, os.listdir("/proc")):
        taker = _taker(pid, lock)
        # Asked for twice: who is done gives the lock back, for its heirs too, before it is gone.
        if taker not in {"", pid} and not _taker(taker, lock) and _taker(pid, lock):
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


def _taker(pid: str, lock: os.stat_result) -> str:
    """Return who took the lock that a process holds; nothing if it holds none.

    The kernel shows a lock with the descriptor that it was taken by and with inherited ones, not
    with those of processes that wait for it (proc(5), "fdinfo").
    """
    try:
        descriptors = os.listdir(f"/proc/{pid}/fdinfo")
    except OSError:
        return ""  # it has ended
    for descriptor in descriptors:
        with suppress(OSError), open(f"/proc/{pid}/fdinfo/{descriptor}") as file:
            found = _LOCK.search(file.read())
            if found and os.path.samestat(os.stat(f"/proc/{pid}/fd/{descriptor}"), lock):
                return found["taker"]
    return ""
