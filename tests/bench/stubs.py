"""Daemons that do nothing: they note when a request comes, and answer at once.

What a request takes with one of them is the shim's own time.
"""

from __future__ import annotations

import json
import socketserver
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING

from multus_py import wire

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_RESULT = {
    "cniVersion": "1.0.0",
    "interfaces": [{"name": "eth0", "mac": "02:00:00:00:00:01", "sandbox": "/run/netns/none"}],
}


class Stub(socketserver.ThreadingUnixStreamServer):
    """One of them. ``moments`` are those at which requests came, of the monotonic clock."""

    daemon_threads = True

    def __init__(self, path: Path, kind: type[socketserver.BaseRequestHandler]) -> None:
        super().__init__(str(path), kind)
        self.moments: list[float] = []

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that do not wait for the end of an answer."""


class OurStub(socketserver.BaseRequestHandler):
    """What talks to our shim."""

    server: Stub

    def handle(self) -> None:
        """Answer a request."""
        wire.receive(self.request)
        self.server.moments.append(time.monotonic())
        wire.send(self.request, wire.ACCEPTED)
        wire.send(self.request, wire.ANSWER, b"0", json.dumps(_RESULT).encode(), b"0")


class TheirStub(BaseHTTPRequestHandler):
    """What talks to Multus's."""

    server: Stub

    def do_POST(self) -> None:
        """Answer a request, or the question before it whether the daemon is there."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = b""
        if self.path == "/cni":
            self.server.moments.append(time.monotonic())
            answer = json.dumps({"Result": _RESULT}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Say nothing."""


@contextmanager
def answering(path: Path, kind: type[socketserver.BaseRequestHandler]) -> Iterator[Stub]:
    """Have one at a socket."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with Stub(path, kind) as stub:
        threading.Thread(target=stub.serve_forever, args=(0.02,), daemon=True).start()
        yield stub
        stub.shutdown()
    path.unlink()
