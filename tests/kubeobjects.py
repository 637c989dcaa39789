"""What a Kubernetes API server knows, without any connections.

Pods, definitions and events, and the rules that matter here: UID and resourceVersion as
preconditions of writing, merge patches, the status subresource, lists in pages, watches.
"""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from collections.abc import Iterator

JsonObject = dict[str, Any]

_COLLECTIONS = {
    "Pod": ("/api/v1", "pods"),
    "Event": ("/api/v1", "events"),
    "NetworkAttachmentDefinition": ("/apis/k8s.cni.cncf.io/v1", "network-attachment-definitions"),
    "CertificateSigningRequest": (
        "/apis/certificates.k8s.io/v1",
        "certificatesigningrequests",
    ),
    "Network": ("/apis/kubernetes-network.cni.cncf.io/v1", "networks"),
}
_REASONS = {401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 409: "Conflict", 410: "Gone"}


@dataclass(frozen=True, slots=True)
class Request:
    """What the server was asked. ``body`` is None for a GET, and for what is not JSON."""

    method: str
    """HTTP's; ``LIST`` or ``WATCH`` for a GET of a collection."""
    path: str
    body: Any
    query: dict[str, str] = field(default_factory=dict)
    user: str = field(default="", compare=False)
    """Who asked."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a watch tells: ``ADDED``, ``MODIFIED``, ``DELETED`` or ``BOOKMARK``."""

    version: int
    type: str
    path: str
    """Of the object."""
    value: JsonObject


@dataclass(slots=True)
class Watcher:
    """A watch that is under way."""

    request: Request
    silent: bool = False
    """It says nothing any more, as after a change of the network that nobody was told of."""
    dropped: bool = False
    """Its connection is lost."""
    expired: bool = False
    """It is told that its version is too old."""


class Objects:
    """The objects, by path, and how they came to be what they are."""

    def __init__(self) -> None:
        self.objects: dict[str, JsonObject] = {}
        self.unknown: set[str] = set()
        """Kinds that have no definition (CRD) yet."""
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.closing = threading.Event()
        self.version = 0
        self.oldest = 0
        """Changes up to this version are forgotten."""
        self.changes: list[Change] = []

    def add(self, kind: str, name: str, *, namespace: str = "default", **members: Any) -> str:
        """Add an object, ``uid`` and ``annotations`` in its metadata, and return its path."""
        metadata: JsonObject = {"name": name, "namespace": namespace}
        metadata |= {key: members.pop(key) for key in ("uid", "annotations") if key in members}
        path = f"{collection(kind, namespace)}/{name}"
        self.put(path, {"kind": kind, "metadata": metadata, **members})
        return path

    def put(self, path: str, value: JsonObject) -> JsonObject:
        """Store an object as the next version of what is at a path, and return it."""
        with self.changed:
            what = "MODIFIED" if path in self.objects else "ADDED"
            self.version += 1
            metadata = {**value["metadata"], "resourceVersion": str(self.version)}
            self.objects[path] = stored = {**value, "metadata": metadata}
            self._note(Change(self.version, what, path, stored))
        return stored

    def change(self, path: str, **patch: Any) -> None:
        """Change an object by a merge patch."""
        self.put(path, _merged(self.objects[path], patch))

    def delete(self, path: str) -> None:
        """Delete an object."""
        with self.changed:
            self.version += 1
            value = _merged(
                self.objects.pop(path), {"metadata": {"resourceVersion": str(self.version)}}
            )
            self._note(Change(self.version, "DELETED", path, value))

    def bookmark(self) -> None:
        """Tell all watches how far they are."""
        with self.changed:
            self.version += 1
            value = {"metadata": {"resourceVersion": str(self.version)}}
            self._note(Change(self.version, "BOOKMARK", "", value))

    def forget(self) -> None:
        """Forget what was changed up to now: who was told of less has to list again."""
        with self.lock:
            self.version += 1
            self.oldest = self.version
            self.changes.clear()

    def answer(self, request: Request) -> tuple[int, JsonObject]:
        """Return the right answer to a request."""
        path = request.path.removesuffix("/status")
        if request.body is None and request.method in {"POST", "PUT"}:
            return 200, self.objects.get(path, {})
        if request.method in {"LIST", "WATCH"}:
            return self._list(request)
        if request.method == "POST":
            return self._create(path, request.body)
        if path not in self.objects:
            kind, name = path.split("/")[-2:]
            return refused(404, f'{kind} "{name}" not found')
        if request.method == "GET":
            return 200, self.objects[path]
        return self._write(path, request, of_status=path != request.path)

    def _create(self, path: str, value: JsonObject) -> tuple[int, JsonObject]:
        path = f"{path}/{value['metadata']['name']}"
        if path in self.objects:
            return refused(409, "it already exists")
        return 201, self.put(path, value)

    def _list(self, request: Request) -> tuple[int, JsonObject]:
        """Return a page of a list, or whether there may be a watch."""
        if any(request.path == collection(kind) for kind in self.unknown):
            return refused(404, "the server could not find the requested resource")
        asked = request.query.get("resourceVersion" if request.method == "WATCH" else "continue")
        if asked and int(asked.partition(":")[0]) < self.oldest:
            return refused(410, "too old resource version")
        if request.method == "LIST" and int(request.query.get("resourceVersion", 0)) > self.version:
            return refused(504, "Too large resource version")
        found = [value for path, value in self.objects.items() if matches(request, path, value)]
        start = int(request.query.get("continue", "0:0").partition(":")[2])
        end = start + int(request.query.get("limit", len(found) or 1))
        metadata = {"resourceVersion": str(self.version)}
        if end < len(found):
            metadata["continue"] = f"{self.version}:{end}"
        return 200, {"kind": "List", "metadata": metadata, "items": found[start:end]}

    def _write(self, path: str, request: Request, *, of_status: bool) -> tuple[int, JsonObject]:
        current = self.objects[path]
        metadata = current["metadata"]
        for key in ("uid", "resourceVersion"):
            if request.body["metadata"].get(key, metadata.get(key)) != metadata.get(key):
                return refused(409, f"Operation cannot be fulfilled: its {key} is another")
        changed = _merged(current, request.body) if request.method == "PATCH" else request.body
        if of_status:
            changed = {**changed, "spec": current.get("spec")}
        return 200, self.put(path, changed)

    def _note(self, change: Change) -> None:
        self.changes.append(change)
        self.changed.notify_all()

    # -- what a watch waits for

    def watched(self, watcher: Watcher) -> Iterator[JsonObject]:
        """Yield what a watch is told, as it happens."""
        told = int(watcher.request.query["resourceVersion"])
        end = time.monotonic() + float(watcher.request.query.get("timeoutSeconds", 3600))
        while time.monotonic() < end and not (self.closing.is_set() or watcher.dropped):
            with self.changed:
                news = [change for change in self.changes if change.version > told]
                if not (news or watcher.expired or watcher.dropped):
                    self.changed.wait(0.2)
            if watcher.silent:
                continue
            if watcher.expired:
                yield {"type": "ERROR", "object": refused(410, "too old resource version")[1]}
                return
            for change in news:
                told = change.version
                if change.type == "BOOKMARK" or matches(watcher.request, change.path, change.value):
                    yield {"type": change.type, "object": change.value}


def collection(kind: str, namespace: str = "") -> str:
    """Return the path of the objects of a kind, in one namespace or in all."""
    group, resource = _COLLECTIONS[kind]
    return f"{group}/namespaces/{namespace}/{resource}" if namespace else f"{group}/{resource}"


def matches(request: Request, path: str, value: JsonObject) -> bool:
    """Tell whether a list or watch of a collection, and of pods on one node, is about an object."""
    collection = re.sub("/namespaces/[^/]+", "", path.rpartition("/")[0])
    node = request.query.get("fieldSelector", "").removeprefix("spec.nodeName=")
    return collection == request.path and (not node or value["spec"].get("nodeName") == node)


def refused(status: int, message: str) -> tuple[int, JsonObject]:
    """Return an answer of the kind Status."""
    reason = _REASONS.get(status, "Failure")
    return status, {"kind": "Status", "message": message, "reason": reason, "code": status}


def request_of(method: str, path: str, body: Any, query: str) -> Request:
    """Return a request, with what a GET of a collection is called."""
    options = dict(parse_qsl(query))
    if method == "GET" and path in map(collection, _COLLECTIONS):
        method = "WATCH" if options.get("watch") == "true" else "LIST"
    return Request(method, path, body, options)


def _merged(target: Any, patch: Any) -> Any:
    """Return the outcome of a merge patch (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    kept = target if isinstance(target, dict) else {}
    merged = kept | {key: _merged(kept.get(key), value) for key, value in patch.items()}
    return {key: value for key, value in merged.items() if value is not None}
