"""A crossing between shims and a daemon: sees each frame that passes, and can stop all traffic."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_HEADER = 8
_DESCRIPTORS = 4


class Crossing:
    """Listens at ``path`` and passes everything on to ``daemon`` while its context is entered.

    ``before`` is told the number and the kind of each frame before it passes. If it returns False
    this frame does not arrive, and its connection is cut on both sides.
    """

    def __init__(self, path: Path, daemon: Path, before: Callable[[int, int], bool]) -> None:
        self._path = path
        self._daemon = daemon
        self._before = before
        self._lock = threading.Lock()
        self._passed = 0
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)

    def __enter__(self) -> Self:
        self._listener.bind(str(self._path))
        self._listener.listen()
        self._begin(self._accept)
        return self

    def __exit__(self, *exception: object) -> None:
        for one in (self._listener, *self._sockets):
            _cut(one)
        for thread in self._threads:
            thread.join()
        for one in (self._listener, *self._sockets):
            one.close()
        self._path.unlink()

    def _begin(self, work: Callable[..., None], *arguments: socket.socket) -> None:
        thread = threading.Thread(target=work, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            self._sockets += (near, far)
            try:
                far.connect(str(self._daemon))
            except OSError:
                _cut(near)
                continue
            self._begin(self._pass, near, far)
            self._begin(self._pass, far, near)

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        """Pass frames on, with the descriptors that come with them, until one must not pass."""
        with suppress(OSError):
            while frame := _frame(source):
                content, descriptors = frame
                try:
                    if not self._may_pass(content[3]):
                        break
                    socket.send_fds(target, [content[:_HEADER]], descriptors)
                    target.sendall(content[_HEADER:])
                finally:
                    for descriptor in descriptors:
                        socket.close(descriptor)
        _cut(source)
        _cut(target)

    def _may_pass(self, kind: int) -> bool:
        with self._lock:
            self._passed += 1
            return self._before(self._passed, kind)


def _frame(source: socket.socket) -> tuple[bytes, list[int]] | None:
    """Return the next frame with its descriptors, None at the end."""
    start, descriptors, _, _ = socket.recv_fds(source, _HEADER, _DESCRIPTORS)
    if not start:
        return None
    header = start + _exactly(source, _HEADER - len(start))
    return header + _exactly(source, int.from_bytes(header[4:], "big")), descriptors


def _exactly(source: socket.socket, length: int) -> bytes:
    content = b""
    while len(content) < length:
        part = source.recv(length - len(content))
        if not part:
            raise ConnectionError("closed in the middle of a frame")
        content += part
    return content


def _cut(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
