"""What can be seen of the daemon over TCP: metrics, and whether it lives and is ready.

``/healthz`` and ``/readyz`` tell the truth, one reason to a line, to whoever restarts the daemon or
waits for it. A port that somebody else has is no reason to end: pods get their networks meanwhile.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from http import HTTPStatus
from typing import TYPE_CHECKING

from prometheus_client.exposition import choose_encoder

from multus_py.daemon.httpd import Answer, Server

if TYPE_CHECKING:
    from collections.abc import Callable

    from multus_py.daemon.httpd import Asked
    from multus_py.daemon.metrics import Metrics

    Reasons = Callable[[], list[str]]

_LOG = logging.getLogger(__name__)

METRICS, HEALTHZ, READYZ = "/metrics", "/healthz", "/readyz"

_CONNECTIONS = 64
_REQUEST_SECONDS = 5.0
_LONGEST_PAUSE = 60.0
_BACKLOG = 128


class Sight:
    """Answers on ``metrics_port``, and without metrics on ``health_port``, of all addresses.

    ``alive`` and ``ready`` return the reasons why the daemon is not; without any it is.
    """

    def __init__(  # noqa: PLR0913 - one composition, all by keyword
        self,
        *,
        metrics_port: int | None,
        health_port: int | None,
        alive: Reasons,
        ready: Reasons,
        metrics: Metrics,
        enable_pprof: bool = False,
        pause: Callable[[int], float] = lambda tries: min(2.0**tries, _LONGEST_PAUSE),
    ) -> None:
        """A port that is taken is tried again after a ``pause``, in seconds by tries so far."""
        health = {HEALTHZ: _told(alive), READYZ: _told(ready)}
        everything = health | {METRICS: lambda asked: _exposed(asked, metrics)}
        self._ports: list[_Port] = []
        if metrics_port is not None:
            self._ports.append(_Port(metrics_port, everything, pause))
        if health_port is not None and health_port != metrics_port:
            self._ports.append(_Port(health_port, health, pause))
        self._enable_pprof = enable_pprof

    def start(self) -> None:
        """Listen, now or as soon as the ports are free."""
        if self._enable_pprof:
            _LOG.warning("enablePprof is ignored: it belongs to Go programs")
        for port in self._ports:
            port.start()

    def stop(self) -> None:
        """Listen no more."""
        for port in self._ports:
            port.stop()

    @property
    def ports(self) -> list[int]:
        """The ports that are listened on by now: that of the metrics before that of the health."""
        return [port.bound for port in self._ports if port.bound]


class _Port:
    """One port and what is answered there."""

    def __init__(
        self,
        number: int,
        pages: dict[str, Callable[[Asked], Answer]],
        pause: Callable[[int], float],
    ) -> None:
        self._number = number
        self._pages = pages
        self._pause = pause
        self._server: Server | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._open, name=f"port {number}", daemon=True)
        self.bound = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        if self._server:
            self._server.stop(_REQUEST_SECONDS)

    def _open(self) -> None:
        """Listen as soon as the port can be had; complain once, and tell when it is over."""
        tries = 0
        while not self._stopping.is_set():
            try:
                listener = _listening(self._number)
            except OSError as error:
                reason = os.strerror(error.errno or 0)
                if not tries:
                    _LOG.error("cannot listen on port %d, for now: %s", self._number, reason)
                self._stopping.wait(self._pause(tries))
                tries += 1
                continue
            self._server = Server(
                listener, self._answer, connections=_CONNECTIONS, seconds=_REQUEST_SECONDS
            )
            self._server.start()
            self.bound = listener.getsockname()[1]
            level = logging.WARNING if tries else logging.INFO
            _LOG.log(level, "listening on port %d", self.bound)
            return

    def _answer(self, asked: Asked) -> Answer:
        page = self._pages.get(asked.path)
        if page is None:
            return Answer(HTTPStatus.NOT_FOUND, b"Not found\n")
        if asked.method not in {"GET", "HEAD"}:
            return Answer(HTTPStatus.METHOD_NOT_ALLOWED, b"Method not allowed\n")
        return page(asked)


def _listening(port: int) -> socket.socket:
    """Return a socket that listens on a port for IPv6 and IPv4, or for IPv4 where that is all."""
    if socket.has_dualstack_ipv6():
        return socket.create_server(
            ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=_BACKLOG
        )
    return socket.create_server(("", port), backlog=_BACKLOG)


def _told(reasons: Reasons) -> Callable[[Asked], Answer]:
    def page(asked: Asked) -> Answer:
        del asked
        found = reasons()
        status = HTTPStatus.SERVICE_UNAVAILABLE if found else HTTPStatus.OK
        return Answer(status, "".join(f"{line}\n" for line in found or ["ok"]).encode())

    return page


def _exposed(asked: Asked, metrics: Metrics) -> Answer:
    encode, kind = choose_encoder(asked.accept)
    return Answer(HTTPStatus.OK, encode(metrics.registry), kind)
