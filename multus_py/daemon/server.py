"""The server of the shims: one thread per connection.

Whoever has accepted a connection answers it, while another thread waits for the next: nothing is
handed over, which would cost a request the time of two threads. A frame that is none ends its
connection and nothing else.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from typing import TYPE_CHECKING

from multus_py import wire
from multus_py.adapters import presence
from multus_py.daemon.farside import FarHost
from multus_py.daemon.listener import Listener, is_trusted, keep, listening
from multus_py.daemon.requests import environment

if TYPE_CHECKING:
    from multus_py.daemon.carrier import Carriers
    from multus_py.daemon.requests import Requests

_LOG = logging.getLogger(__name__)

_REQUEST_SECONDS = 10.0
_PAUSE_SECONDS = 0.5
_IDLE = 2
"""Threads that wait for a connection, at the most: more of them end."""


class Server:
    """Answers shims on ``<directory>/multus-py.sock``."""

    def __init__(self, directory: str, *, requests: Requests, carriers: Carriers) -> None:
        self._path = os.path.join(directory, presence.SOCKET)
        self._requests = requests
        self._carriers = carriers
        self._stopping = threading.Event()
        self._listener: Listener | None = None
        self._keeper = threading.Thread(
            target=keep,
            args=(self._path, self._stopping),
            kwargs={"is_there": self._is_there, "renew": self._renew},
            name="keep socket",
            daemon=True,
        )
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._busy = 0
        self._lock = threading.Lock()

    def start(self) -> None:
        """Listen; ``RuntimeError`` if there can be no thread that does."""
        self._listener = listening(self._path)
        self._add_thread()
        self._keeper.start()

    def stop(self, seconds: float) -> int:
        """Accept no more, let what runs finish, and return how many requests did not in time.

        The file of the socket stays: shims that find it wait a moment for the next daemon.
        """
        self._stopping.set()
        self._keeper.join()
        if self._listener:
            self._listener.stop()
            self._listener.socket.close()  # who has not been accepted yet hears of it at once
        deadline = time.monotonic() + seconds
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join(max(deadline - time.monotonic(), 0))
        with self._lock:
            return self._busy

    @property
    def alive(self) -> bool:
        """Whether there are threads that accept connections, or will once they have answered."""
        return bool(self._threads) and not self._stopping.is_set()

    @property
    def listening(self) -> bool:
        """Whether the socket is there and answered."""
        listener = self._listener
        return self.alive and listener is not None and listener.reachable

    def _add_thread(self) -> None:
        """Have one more thread that waits for a connection."""
        thread = threading.Thread(target=self._work, name="shims", daemon=True)
        with self._lock:  # nobody is to wait for the end of one that has not begun
            thread.start()
            self._threads.add(thread)
            self._idle += 1

    def _work(self) -> None:
        """Answer connections, one after the other, as long as there are not enough who wait."""
        try:
            while connection := self._accepted():
                self._serve(connection)
                with self._lock:
                    self._busy -= 1
                    if self._idle >= _IDLE:
                        return
                    self._idle += 1
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())

    def _accepted(self) -> socket.socket | None:
        """Return the next connection, None at the end."""
        while (listener := self._listener) and not self._stopping.is_set():
            try:
                return self._next(listener.socket)
            except OSError as error:
                if listener is self._listener and not self._stopping.is_set():
                    _LOG.error("cannot accept a connection: %s", error)
                    self._stopping.wait(_PAUSE_SECONDS)  # descriptors are used up
        return None

    def _next(self, listener: socket.socket) -> socket.socket:
        """Wait for a connection, and see that after it somebody waits for another."""
        connection, _ = listener.accept()
        with self._lock:
            self._idle -= 1
            self._busy += 1
            alone = not self._idle
        if alone:
            try:
                self._add_thread()
            except RuntimeError as error:
                _LOG.error("requests have to wait for one another: %s", error)
        return connection

    def _is_there(self) -> bool:
        return self._listener is None or self._listener.reachable

    def _renew(self) -> None:
        before, self._listener = self._listener, listening(self._path)
        if before:
            before.stop()
            before.socket.close()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                if is_trusted(connection):
                    self._answer(connection)
        except wire.LostError as error:
            _LOG.debug("connection: %s", error)
        except Exception:  # noqa: BLE001 - nothing of one connection ends the thread
            _LOG.exception("a connection ended with a bug")

    def _answer(self, connection: socket.socket) -> None:
        connection.settimeout(_REQUEST_SECONDS)
        kind, fields = wire.receive(connection, least=4)
        if kind != wire.REQUEST:
            raise wire.GarbledError(f"frame {kind} instead of a request")
        if self._stopping.is_set():
            return  # without a word: the shim waits for the next daemon
        wire.send(connection, wire.ACCEPTED)
        level, stdin, variables, own_netns = fields[:4]
        asked = environment(variables.split(b"\0"))
        told = own_netns in {wire.YES, wire.NO}
        seen = {asked.get("CNI_NETNS", ""): own_netns == wire.YES} if told else {}
        host = FarHost(connection, level=wire.number(level), seen=seen)
        answer = self._requests.answer(asked, stdin, host)
        stay = 0 if self._stopping.is_set() else self._carriers.stay()
        try:
            last = (str(answer.status).encode(), answer.stdout, str(stay).encode())
            wire.send(connection, wire.ANSWER, *last)
        finally:
            if stay:
                self._carriers.receive(socket.socket(fileno=connection.detach()))
