"""The carrier: a shim that has done its own job and stays behind, to run plugins on the host.

Kept is one connection at most; while there is none, the work waits for the next shim, of any verb.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from multus_py import wire
from multus_py.daemon.farside import FarHost
from multus_py.daemon.hands import Hands

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LOG = logging.getLogger(__name__)

_REPORT_SECONDS = 10.0


class Carriers:
    """The carrier, if there is one."""

    def __init__(self, *, idle_seconds: int) -> None:
        """A carrier without work for ``idle_seconds`` ends; 0: there are none."""
        self._idle_seconds = idle_seconds
        self._lock = threading.Condition()
        self._in_use = threading.Lock()
        self._listeners: list[Callable[[], None]] = []
        self._connection: socket.socket | None = None
        self._lent: socket.socket | None = None
        self._level = 0
        self._path: tuple[str, ...] = ()
        self._promised = False
        self._closed = False

    def on_arrival(self, listener: Callable[[], None]) -> None:
        """Have ``listener`` called when a carrier has come."""
        self._listeners.append(listener)

    def stay(self) -> int:
        """Return the seconds that a shim is to stay as carrier, 0 if none is needed.

        More than 0 is a promise that :meth:`receive` will be called.
        """
        with self._lock:
            self._forget_if_gone()
            if self._promised or self._connection or self._closed:
                return 0
            self._promised = bool(self._idle_seconds)
            return self._idle_seconds

    def receive(self, connection: socket.socket) -> None:
        """Wait until the shim that was asked to stay reports as carrier, and keep it."""
        report = _reported(connection)
        with self._lock:
            self._promised = False
            self._lock.notify_all()
            if report is None or self._closed:
                connection.close()
                return
            self._connection, self._level, self._path = connection, *report
        for listener in self._listeners:
            listener()

    @contextmanager
    def borrowed(self, seconds: float = 0.0) -> Iterator[Hands | None]:
        """Have the carrier for oneself; None without one.

        Its present user is waited for so long, and so is one that has been asked to stay.
        ``LostError`` flies if it goes in the midst, and it is forgotten.
        """
        until = time.monotonic() + seconds
        if not self._in_use.acquire(timeout=seconds):
            yield None
            return
        try:
            with self._lock:
                self._lock.wait_for(lambda: not self._promised, until - time.monotonic())
                self._forget_if_gone()
                self._lent = self._connection
                hands = self._hands(self._lent) if self._lent else None
            yield hands
        except wire.LostError:
            with self._lock:
                if self._connection is self._lent:
                    self._forget()
            raise
        finally:
            self._take_back()
            self._in_use.release()

    def close(self) -> None:
        """Let the carrier end, and take no other."""
        with self._lock:
            self._closed = True
            self._forget()

    def _hands(self, connection: socket.socket) -> Hands:
        return Hands(FarHost(connection, level=self._level, stays=True), self._path)

    def _forget_if_gone(self) -> None:
        if self._connection and _is_gone(self._connection):
            self._forget()

    def _forget(self) -> None:
        """Let the carrier end. Who uses it now is woken, and closes the connection."""
        connection, self._connection = self._connection, None
        if connection:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            if connection is not self._lent:
                connection.close()

    def _take_back(self) -> None:
        with self._lock:
            lent, self._lent = self._lent, None
            if lent and lent is not self._connection:
                lent.close()


def _reported(connection: socket.socket) -> tuple[int, tuple[str, ...]] | None:
    """Return level and ``CNI_PATH`` that a carrier reports, None if it does not come."""
    connection.settimeout(_REPORT_SECONDS)
    try:
        kind, fields = wire.receive(connection, least=2)
        if kind != wire.CARRIER:
            raise wire.GarbledError(f"frame {kind} instead of a carrier's report")
        path = tuple(part for part in os.fsdecode(fields[1]).split(":") if part)
        return wire.number(fields[0]), path
    except wire.LostError as error:
        _LOG.debug("a shim that was to stay has gone: %s", error)
        return None


def _is_gone(connection: socket.socket) -> bool:
    """Tell whether the other side has closed a connection. Replies in between are not touched."""
    poller = select.poll()
    poller.register(connection, 0)  # the end is always told
    return bool(poller.poll(0))
