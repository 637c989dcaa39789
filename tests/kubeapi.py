"""A small Kubernetes API server over TLS that does what a test says.

What it knows is in :mod:`tests.kubeobjects`. It writes down what it was asked, and fails in the
ways in which API servers fail.
"""

from __future__ import annotations

import base64
import json
import re
import socket
import ssl
import struct
import subprocess
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

from tests.kubeobjects import Objects, Request, Watcher, collection, refused, request_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.kubeobjects import JsonObject

PROTOBUF = b"k8s\0"
"""How bodies begin that Go clients write."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate for 127.0.0.1 that is its own authority, and its key."""

    path: Path
    key: Path

    @classmethod
    def made(cls, directory: Path, *, extended: bool = True) -> Certificate:
        """Make a certificate in a directory, if not ``extended`` without identifiers of keys."""
        new = cls(directory / "ca.crt", directory / "tls.key")
        command = (
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
            " -subj /CN=kubernetes -addext subjectAltName=IP:127.0.0.1"
            f" -addext keyUsage=digitalSignature,keyCertSign -out {new.path} -keyout {new.key}"
        )
        if not extended:
            for extension in ("subjectKeyIdentifier", "authorityKeyIdentifier"):
                command += f" -addext {extension}=none"
        subprocess.run(command.split(), check=True, capture_output=True)
        return new


@dataclass(slots=True)
class Fault:
    """What happens to the next requests whose ``METHOD /path`` has a match of ``pattern``."""

    pattern: str
    times: int = 1
    status: int = 0
    """The answer is this error; 0: the answer is right, only late, or it is ``garbage``."""
    retry_after: int | str = 0
    """Seconds, or a date."""
    garbage: bytes = b""
    delay: float = 0.0
    """Seconds before anything else happens."""
    reset: bool = False
    """The connection ends without an answer."""


class KubeApi(Objects):
    """The server. It answers while its context is entered."""

    def __init__(self, certificate: Certificate) -> None:
        super().__init__()
        self.certificate = certificate
        self.token = "the-first-token"
        """What is accepted as credential; a test may change it at any time."""
        self.port = 0
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.watchers: list[Watcher] = []

    def __enter__(self) -> Self:
        self.closing = threading.Event()
        self._server = _Server(self)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.closing.set()
        self.interrupt(dropped=True)
        self._server.shutdown()
        self._server.server_close()
        self._server.cut_connections()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Be away: connections are lost, new ones refused."""
        self.__exit__()
        yield
        self.__enter__()

    def interrupt(self, **fate: bool) -> int:
        """Let the present watches become ``silent``, ``dropped`` or ``expired``; count them."""
        with self.changed:
            for watcher in self.watchers:
                for name, value in fate.items():
                    setattr(watcher, name, value)
            self.changed.notify_all()
            return len(self.watchers)

    def fault(self, pattern: str, **what: Any) -> Fault:
        """Let something go wrong; see :class:`Fault`. Faults of one pattern come in their order."""
        self.faults.append(fault := Fault(pattern, **what))
        return fault

    def asked(self, pattern: str = "") -> list[str]:
        """Return the requests so far, as ``METHOD /path``, that have a match of a pattern."""
        lines = [f"{request.method} {request.path}" for request in self.requests]
        return [line for line in lines if re.search(pattern, line)]

    def events(self, namespace: str = "default") -> list[JsonObject]:
        """Return the events of a namespace in the order in which they came."""
        prefix = collection("Event", namespace) + "/"
        return [value for path, value in self.objects.items() if path.startswith(prefix)]

    def kubeconfig(self, directory: Path, *, files: bool = False) -> Path:
        """Write a kubeconfig, which holds credential and authority or names ``files`` with them."""
        cluster: JsonObject = {"server": f"https://127.0.0.1:{self.port}"}
        authority = self.certificate.path.read_bytes()
        if files:
            (directory / "token").write_text(f"{self.token}\n")
            (directory / "ca.crt").write_bytes(authority)
            user = {"tokenFile": str(directory / "token")}
            cluster["certificate-authority"] = str(directory / "ca.crt")
        else:
            user = {"token": self.token}
            cluster["certificate-authority-data"] = base64.b64encode(authority).decode()
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "here", "cluster": cluster}],
            "users": [{"name": "multus", "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "here", "user": "multus"}}],
            "current-context": "test",
        }
        path = directory / "kubeconfig"
        path.write_text(json.dumps(config))
        return path

    def security(self) -> ssl.SSLContext:
        """Return how connections are secured, for as long as its context is entered."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate.path, self.certificate.key)
        return context

    def user(self, authorization: str, certificate: dict[str, Any]) -> str:
        """Return who asks by a header or a certificate of TLS, nothing if they prove nothing."""
        password = base64.b64encode(f"multus:{self.token}".encode()).decode()
        known = {f"Bearer {self.token}", f"Basic {password}"}
        return "system:node:node" if authorization in known else ""

    def understood(self, content: bytes) -> bytes:
        """Return a body as JSON, or nothing: what Go clients write is taken and not understood."""
        return b"" if content.startswith(PROTOBUF) else content

    # -- what its connections ask it, under the lock

    def next_fault(self, request: Request) -> Fault | None:
        """Return what goes wrong with a request, if anything, and count it."""
        for fault in self.faults:
            if fault.times and re.search(fault.pattern, f"{request.method} {request.path}"):
                fault.times -= 1
                return fault
        return None


class _Server(ThreadingHTTPServer):
    """Connections over TLS; each shakes hands in a thread of its own."""

    def __init__(self, api: KubeApi) -> None:
        self.api = api
        self.connections: set[socket.socket] = set()
        self.tls = api.security()
        super().__init__(("127.0.0.1", api.port), _Connection)

    def get_request(self) -> tuple[socket.socket, Any]:
        plain, address = super().get_request()
        connection = self.tls.wrap_socket(plain, True, do_handshake_on_connect=False)
        self.connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def cut_connections(self) -> None:
        """End the connections that clients keep for their next request."""
        for connection in list(self.connections):
            with suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that go away or do not trust the certificate."""


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    """As real ones do: or the kernel holds back the second part of an answer for 40 ms."""
    server: _Server
    connection: socket.socket

    def handle_request(self) -> None:
        api = self.server.api
        length = int(self.headers.get("Content-Length", 0))
        content = api.understood(self.rfile.read(length))
        path, _, query = self.path.partition("?")
        request = request_of(self.command, path, json.loads(content or "null"), query)
        request = replace(request, user=self._user(api))
        with api.lock:
            api.requests.append(request)
            fault = api.next_fault(request) or Fault("")
        api.closing.wait(fault.delay)
        if fault.reset:
            self._reset()
        elif fault.status:
            self._answer(
                *refused(fault.status, f"{self.command}: the test wants it"), fault.retry_after
            )
        elif not self._user(api):
            self._answer(*refused(401, "Unauthorized"))
        elif fault.garbage:
            self._send(200, fault.garbage)
        elif self.command == "PATCH" and "merge-patch" not in self.headers["Content-Type"]:
            self._answer(*refused(415, "only merge patches are known here"))
        else:
            with api.lock:
                answer = api.answer(request)
            if request.method == "WATCH" and answer[0] == HTTPStatus.OK:
                self._watch(api, Watcher(request))
            else:
                self._answer(*answer)

    do_GET = do_PATCH = do_POST = do_PUT = handle_request  # noqa: N815 - http.server's names

    def _user(self, api: KubeApi) -> str:
        peer: Any = self.connection
        return api.user(self.headers.get("Authorization", ""), peer.getpeercert() or {})

    def _answer(self, status: int, value: JsonObject, retry_after: int | str = 0) -> None:
        self._send(status, json.dumps(value).encode(), retry_after)

    def _send(self, status: int, content: bytes, retry_after: int | str = 0) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if retry_after:
            self.send_header("Retry-After", str(retry_after))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _watch(self, api: KubeApi, watcher: Watcher) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        api.watchers.append(watcher)
        try:
            for event in api.watched(watcher):
                if event:
                    line = json.dumps(event).encode() + b"\n"
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
            if watcher.dropped:
                self._reset()
            else:
                self.wfile.write(b"0\r\n\r\n")
        finally:
            api.watchers.remove(watcher)

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Say nothing; ``requests`` tells."""
