"""HTTP for few and short conversations: one request per connection, one thread each.

The standard library's server, with what it leaves open: a limit on bytes, on time as a whole and on
connections, no texts in HTML, nothing on standard error, and an end that waits for what runs.
"""

from __future__ import annotations

import io
import logging
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_LOG = logging.getLogger(__name__)

TEXT, JSON = "text/plain; charset=utf-8", "application/json"

_BODY_LIMIT = 16 * 1024 * 1024
_PAUSE_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request."""

    method: str
    path: str
    """Without a query."""
    accept: str
    """The header of that name: which kinds of answer the client understands."""
    body: Callable[[], bytes]
    """Reads it. A :class:`RefusedError` may fly through who calls it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered to a request."""

    status: int = HTTPStatus.OK
    content: bytes = b""
    kind: str = TEXT


class RefusedError(Exception):
    """A request that cannot be read to its end is answered with ``answer``."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.answer = Answer(status, f"{status.phrase}\n".encode())


class Server(ThreadingMixIn, TCPServer):
    """Answers what comes on a listening socket, of whichever family."""

    daemon_threads = True

    def __init__(
        self,
        listener: socket.socket,
        answer: Callable[[Asked], Answer],
        *,
        connections: int,
        seconds: float,
        trusted: Callable[[socket.socket], bool] = lambda _: True,
    ) -> None:
        """Every request has to come within ``seconds``; beyond ``connections`` they are closed."""
        super().__init__(("", 0), _Conversation, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.answer = answer
        self.seconds = seconds
        self._connections = connections
        self._trusted = trusted
        self._lock = threading.Lock()
        self._open: dict[socket.socket, threading.Thread | None] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._accept, name="http", daemon=True)

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether connections are accepted."""
        return self._thread.is_alive()

    def stop(self, seconds: float) -> None:
        """Accept no more; wait so long for requests that are being answered."""
        self._stopping.set()
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)  # wakes who waits for connections
        self._thread.join()
        self.socket.close()
        deadline = time.monotonic() + seconds
        with self._lock:
            open_ = dict(self._open)
        for connection, thread in open_.items():
            _stop_reading(connection)
            if thread:
                thread.join(max(deadline - time.monotonic(), 0))

    def _accept(self) -> None:
        while not self._stopping.is_set():
            self.handle_request()

    # -- what socketserver calls

    def get_request(self) -> tuple[Any, Any]:
        """Accept a connection."""
        try:
            return super().get_request()
        except OSError as error:
            if not self._stopping.is_set():
                _LOG.error("cannot accept a connection: %s", error)
                self._stopping.wait(_PAUSE_SECONDS)  # descriptors are used up, for a while
            raise

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Tell whether a connection is talked to."""
        del client_address
        if not self._trusted(request):
            return False
        with self._lock:
            if len(self._open) >= self._connections:
                _LOG.error("more than %d connections at once", self._connections)
                return False
            self._open[request] = None
        return True

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Talk, and note who does."""
        with self._lock:
            self._open[request] = threading.current_thread()
        super().process_request_thread(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """End a connection."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Take note of a connection that ended in another way than by an answer."""
        del request, client_address
        _LOG.debug("a connection ended early", exc_info=True)


class _Conversation(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "multus-py", ""
    server: Server

    def setup(self) -> None:
        super().setup()
        arriving = _Arriving(self.connection, time.monotonic() + self.server.seconds)
        self.rfile.close()
        self.rfile = io.BufferedReader(arriving)
        self.method = ""
        self._unread = 0

    def parse_request(self) -> bool:
        parsed = super().parse_request()
        if parsed:
            # all methods end in one place
            self.method, self.command = self.command, "any"
        return parsed

    def do_any(self) -> None:
        self.close_connection = True
        asked = Asked(
            method=self.method,
            path=self.path.partition("?")[0],
            accept=self.headers.get("Accept", ""),
            body=self._body,
        )
        try:
            self._unread = self._announced()
            answer = self.server.answer(asked)
        except RefusedError as refusal:
            answer = refusal.answer
        self._send(answer)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what the library refuses; the library would do it with a page for browsers."""
        del explain
        self.close_connection = True
        self.request_version = self.protocol_version
        text = message or HTTPStatus(code).phrase
        self._send(Answer(code, f"{text}\n".encode(errors="replace")))

    def _announced(self) -> int:
        """Return how long the body is; refuse what is too long, or does not say."""
        if "Transfer-Encoding" in self.headers:
            raise RefusedError(HTTPStatus.LENGTH_REQUIRED)
        text = self.headers.get("Content-Length", "0")
        if not (text.isascii() and text.isdigit()):
            raise RefusedError(HTTPStatus.BAD_REQUEST)
        if len(text) > len(str(_BODY_LIMIT)) or int(text) > _BODY_LIMIT:
            raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        return int(text)

    def _body(self) -> bytes:
        length, self._unread = self._unread, 0
        try:
            body = self.rfile.read(length)
        except TimeoutError as error:
            raise RefusedError(HTTPStatus.REQUEST_TIMEOUT) from error
        if len(body) < length:
            raise RefusedError(HTTPStatus.BAD_REQUEST)
        return body

    def _send(self, answer: Answer) -> None:
        if self._unread:
            self.rfile.read(self._unread)  # or the client never reads the answer
        self.connection.settimeout(self.server.seconds)
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.content)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.method != "HEAD":
            self.wfile.write(answer.content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Say nothing; metrics count."""


class _Arriving(io.RawIOBase):
    """The bytes of a connection that come before a deadline."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        return self._connection.recv_into(buffer)


def _stop_reading(connection: socket.socket) -> None:
    """Let a connection end on which nothing was asked yet; others answer before they do."""
    with suppress(OSError):  # it has ended already
        connection.shutdown(socket.SHUT_RD)
