"""The server of the shims: one thread per connection.

A frame that is none ends its connection and nothing else.
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


class Server:
    """Answers shims on ``<directory>/multus-py.sock``."""

    def __init__(self, directory: str, *, requests: Requests, carriers: Carriers) -> None:
        self._path = os.path.join(directory, presence.SOCKET)
        self._requests = requests
        self._carriers = carriers
        self._stopping = threading.Event()
        self._listener: Listener | None = None
        self._acceptor = threading.Thread(target=self._accept, name="accept", daemon=True)
        self._keeper = threading.Thread(
            target=keep,
            args=(self._path, self._stopping),
            kwargs={"is_there": self._is_there, "renew": self._renew},
            name="keep socket",
            daemon=True,
        )
        self._busy: set[threading.Thread] = set()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Listen."""
        self._listener = listening(self._path)
        self._acceptor.start()
        self._keeper.start()

    def stop(self, seconds: float) -> int:
        """Accept no more, let what runs finish, and return how many requests did not in time.

        The file of the socket stays: shims that find it wait a moment for the next daemon.
        """
        self._stopping.set()
        self._keeper.join()
        if self._listener:
            self._listener.stop()
        self._acceptor.join()
        deadline = time.monotonic() + seconds
        with self._lock:
            busy = list(self._busy)
        for thread in busy:
            thread.join(max(deadline - time.monotonic(), 0))
        return sum(thread.is_alive() for thread in busy)

    @property
    def alive(self) -> bool:
        """Whether somebody accepts connections."""
        return self._acceptor.is_alive()

    @property
    def listening(self) -> bool:
        """Whether the socket is there and answered."""
        listener = self._listener
        return self._acceptor.is_alive() and listener is not None and listener.reachable

    def _accept(self) -> None:
        while (listener := self._listener) and not self._stopping.is_set():
            try:
                self._accept_one(listener.socket)
            except (OSError, RuntimeError) as error:
                if listener is self._listener and not self._stopping.is_set():
                    _LOG.error("cannot accept a connection: %s", error)
                    self._stopping.wait(_PAUSE_SECONDS)  # descriptors or threads are used up
            if listener is not self._listener or self._stopping.is_set():
                listener.socket.close()

    def _accept_one(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
        with self._lock:
            self._busy.add(thread)
        try:
            thread.start()
        except RuntimeError:
            with self._lock:
                self._busy.discard(thread)
            connection.close()
            raise

    def _is_there(self) -> bool:
        return self._listener is None or self._listener.reachable

    def _renew(self) -> None:
        before, self._listener = self._listener, listening(self._path)
        if before:
            before.stop()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                if is_trusted(connection):
                    self._answer(connection)
        except wire.LostError as error:
            _LOG.debug("connection: %s", error)
        except Exception:  # noqa: BLE001 - the main of a thread
            _LOG.exception("a connection ended with a bug")
        finally:
            with self._lock:
                self._busy.discard(threading.current_thread())

    def _answer(self, connection: socket.socket) -> None:
        connection.settimeout(_REQUEST_SECONDS)
        kind, fields = wire.receive(connection, least=3)
        if kind != wire.REQUEST:
            raise wire.GarbledError(f"frame {kind} instead of a request")
        if self._stopping.is_set():
            return  # without a word: the shim waits for the next daemon
        wire.send(connection, wire.ACCEPTED)
        _, stdin, variables = fields[:3]
        asked = environment(variables.split(b"\0"))
        answer = self._requests.answer(asked, stdin, FarHost(connection))
        stay = 0 if self._stopping.is_set() else self._carriers.stay()
        try:
            last = (str(answer.status).encode(), answer.stdout, str(stay).encode())
            wire.send(connection, wire.ANSWER, *last)
        finally:
            if stay:
                self._carriers.receive(socket.socket(fileno=connection.detach()))
