"""A small Kubernetes API server over TLS that does what a test says.

It keeps pods, definitions and events, and the rules of writing them that matter here: UID and
resourceVersion as preconditions, merge patches, the status subresource. It writes down what it was
asked, and fails in the ways in which API servers fail.
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
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pathlib import Path

JsonObject = dict[str, Any]

_COLLECTIONS = {
    "Pod": "/api/v1/namespaces/{}/pods",
    "Event": "/api/v1/namespaces/{}/events",
    "NetworkAttachmentDefinition": (
        "/apis/k8s.cni.cncf.io/v1/namespaces/{}/network-attachment-definitions"
    ),
    "Network": "/apis/kubernetes-network.cni.cncf.io/v1/namespaces/{}/networks",
}
_PROTOBUF = b"k8s\0"
"""How bodies begin that Go clients write: taken and not understood."""
_REASONS = {401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 409: "Conflict", 410: "Gone"}


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate for 127.0.0.1 that is its own authority, and its key."""

    path: Path
    key: Path

    @classmethod
    def made(cls, directory: Path) -> Certificate:
        """Make a certificate in a directory."""
        new = cls(directory / "ca.crt", directory / "tls.key")
        command = (
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
            " -subj /CN=kubernetes -addext subjectAltName=IP:127.0.0.1"
            f" -addext keyUsage=digitalSignature,keyCertSign -out {new.path} -keyout {new.key}"
        )
        subprocess.run(command.split(), check=True, capture_output=True)
        return new


@dataclass(frozen=True, slots=True)
class Request:
    """What the server was asked. ``body`` is None for a GET, and for what is not JSON."""

    method: str
    path: str
    body: Any


@dataclass(slots=True)
class Fault:
    """What happens to the next requests whose ``METHOD /path`` has a match of ``pattern``."""

    pattern: str
    times: int = 1
    status: int = 0
    """The answer is this error; 0: the answer is right, only late, or it is ``garbage``."""
    retry_after: int = 0
    garbage: bytes = b""
    delay: float = 0.0
    """Seconds before anything else happens."""
    reset: bool = False
    """The connection ends without an answer."""


class KubeApi:
    """The server. It answers while its context is entered."""

    def __init__(self, certificate: Certificate) -> None:
        self.certificate = certificate
        self.token = "the-first-token"
        """What is accepted as credential; a test may change it at any time."""
        self.objects: dict[str, JsonObject] = {}
        """By path."""
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.lock = threading.RLock()
        self.closing = threading.Event()

    def __enter__(self) -> Self:
        self._server = _Server(self)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def add(self, kind: str, name: str, *, namespace: str = "default", **members: Any) -> str:
        """Add an object, ``uid`` and ``annotations`` in its metadata, and return its path."""
        metadata: JsonObject = {"name": name, "namespace": namespace, "resourceVersion": "1"}
        metadata |= {key: members.pop(key) for key in ("uid", "annotations") if key in members}
        path = f"{_COLLECTIONS[kind].format(namespace)}/{name}"
        with self.lock:
            self.objects[path] = {"kind": kind, "metadata": metadata, **members}
        return path

    def fault(self, pattern: str, **what: Any) -> None:
        """Let something go wrong; see :class:`Fault`. Faults of one pattern come in their order."""
        self.faults.append(Fault(pattern, **what))

    def asked(self, pattern: str = "") -> list[str]:
        """Return the requests so far, as ``METHOD /path``, that have a match of a pattern."""
        lines = [f"{request.method} {request.path}" for request in self.requests]
        return [line for line in lines if re.search(pattern, line)]

    def events(self, namespace: str = "default") -> list[JsonObject]:
        """Return the events of a namespace in the order in which they came."""
        prefix = _COLLECTIONS["Event"].format(namespace) + "/"
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

    # -- what its connections ask it, under the lock

    def next_fault(self, request: Request) -> Fault | None:
        """Return what goes wrong with a request, if anything, and count it."""
        for fault in self.faults:
            if fault.times and re.search(fault.pattern, f"{request.method} {request.path}"):
                fault.times -= 1
                return fault
        return None

    def answer(self, request: Request) -> tuple[int, JsonObject]:
        """Return the right answer to a request."""
        path = request.path.removesuffix("/status")
        if request.body is None and request.method in {"POST", "PUT"}:
            return 200, self.objects.get(path, {})
        if request.method == "POST":
            path = f"{path}/{request.body['metadata']['name']}"
            if path in self.objects:
                return refused(409, "it already exists")
            self.objects[path] = request.body
            return 201, request.body
        if path not in self.objects:
            kind, name = path.split("/")[-2:]
            return refused(404, f'{kind} "{name}" not found')
        if request.method == "GET":
            return 200, self.objects[path]
        return self._write(path, request, of_status=path != request.path)

    def _write(self, path: str, request: Request, *, of_status: bool) -> tuple[int, JsonObject]:
        current = self.objects[path]
        metadata = current["metadata"]
        for key in ("uid", "resourceVersion"):
            if request.body["metadata"].get(key, metadata.get(key)) != metadata.get(key):
                return refused(409, f"Operation cannot be fulfilled: its {key} is another")
        changed = _merged(current, request.body) if request.method == "PATCH" else request.body
        if of_status:
            changed = {**changed, "spec": current.get("spec")}
        version = str(int(metadata["resourceVersion"]) + 1)
        changed["metadata"] = {**changed["metadata"], "resourceVersion": version}
        self.objects[path] = changed
        return 200, changed


def refused(status: int, message: str) -> tuple[int, JsonObject]:
    """Return an answer of the kind Status."""
    reason = _REASONS.get(status, "Failure")
    return status, {"kind": "Status", "message": message, "reason": reason, "code": status}


def _merged(target: Any, patch: Any) -> Any:
    """Return the outcome of a merge patch (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    kept = target if isinstance(target, dict) else {}
    merged = kept | {key: _merged(kept.get(key), value) for key, value in patch.items()}
    return {key: value for key, value in merged.items() if value is not None}


class _Server(ThreadingHTTPServer):
    """Connections over TLS; each shakes hands in a thread of its own."""

    def __init__(self, api: KubeApi) -> None:
        self.api = api
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(api.certificate.path, api.certificate.key)
        super().__init__(("127.0.0.1", 0), _Connection)

    def get_request(self) -> tuple[socket.socket, Any]:
        plain, address = super().get_request()
        return self.tls.wrap_socket(plain, True, do_handshake_on_connect=False), address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that go away or do not trust the certificate."""


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    connection: socket.socket

    def handle_request(self) -> None:
        api = self.server.api
        length = int(self.headers.get("Content-Length", 0))
        content = self.rfile.read(length)
        if content.startswith(_PROTOBUF):
            content = b""
        path = self.path.partition("?")[0]
        request = Request(self.command, path, json.loads(content or "null"))
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
        elif self.headers.get("Authorization") != f"Bearer {api.token}":
            self._answer(*refused(401, "Unauthorized"))
        elif fault.garbage:
            self._send(200, fault.garbage)
        elif self.command == "PATCH" and "merge-patch" not in self.headers["Content-Type"]:
            self._answer(*refused(415, "only merge patches are known here"))
        else:
            with api.lock:
                answer = api.answer(request)
            self._answer(*answer)

    do_GET = do_PATCH = do_POST = do_PUT = handle_request  # noqa: N815 - http.server's names

    def _answer(self, status: int, value: JsonObject, retry_after: int = 0) -> None:
        self._send(status, json.dumps(value).encode(), retry_after)

    def _send(self, status: int, content: bytes, retry_after: int = 0) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        if retry_after:
            self.send_header("Retry-After", str(retry_after))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Say nothing; ``requests`` tells."""
