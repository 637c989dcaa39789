"""A unix socket of the daemon: for root and ourselves only, and back if somebody removes it.

Used by the server of the shims and by the one that speaks Multus's HTTP.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

_LOG = logging.getLogger(__name__)

_BACKLOG = 4096
_WATCH_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening socket, and the file that it was bound to."""

    socket: socket.socket
    path: str
    file: os.stat_result

    @property
    def reachable(self) -> bool:
        """Whether it is still this socket that the path leads to."""
        try:
            return os.path.samestat(self.file, os.stat(self.path))
        except OSError:
            return False

    def stop(self) -> None:
        """Listen no more, and wake who waits for connections. File and socket stay."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)


def listening(path: str) -> Listener:
    """Listen at ``path``, for its owner only, complete from the first moment.

    What was there before is replaced: whoever made it is gone, or lost it.
    """
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    made = f"{path}.{os.getpid()}"
    with suppress(FileNotFoundError):
        os.unlink(made)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(made)
        os.chmod(made, 0o600)
        listener.listen(_BACKLOG)
        file = os.stat(made)
        os.rename(made, path)
    except OSError:
        listener.close()
        with suppress(OSError):
            os.unlink(made)
        raise
    return Listener(listener, path, file)


def keep(
    path: str, stopping: threading.Event, *, is_there: Callable[[], bool], renew: Callable[[], None]
) -> None:
    """Put a socket back whenever somebody removes it, until ``stopping`` is set."""
    while not stopping.wait(_WATCH_SECONDS):
        if is_there():
            continue
        _LOG.error("socket %s was removed; it is made again", path)
        try:
            renew()
        except OSError as error:
            _LOG.error("cannot make socket %s: %s", path, error)


def is_trusted(connection: socket.socket) -> bool:
    """Tell whether root, or the user that we are, is at the other end."""
    size = struct.calcsize("3i")
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    _, uid, _ = struct.unpack("3i", credentials)
    if uid in {0, os.geteuid()}:
        return True
    _LOG.error("a process of user %d is not listened to", uid)
    return False
