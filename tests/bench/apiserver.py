"""The API server stand-in, which knows who asks and when, and what Go clients want of lists."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tests.bench import protobuf
from tests.kubeapi import PROTOBUF, Certificate, Fault, KubeApi
from tests.kubeobjects import matches

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.kubeobjects import JsonObject, Request, Watcher

STATUS = "k8s.v1.cni.cncf.io/network-status"
_KINDS = {
    "pods": {"apiVersion": "v1", "kind": "Pod"},
    "network-attachment-definitions": {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
    },
}
"""What objects say of themselves, by the last part of their collection's path."""
_AN_EVENT = {
    "apiVersion": "v1",
    "kind": "Event",
    "metadata": {"name": "event", "namespace": "default", "resourceVersion": "1"},
}
"""The answer to an event from a Go client, which would send it again if it understood none."""
_QUIET_SECONDS = 0.5
_PATIENCE = 90.0


@dataclass(slots=True)
class Seen:
    """A request, and the moments of the monotonic clock at which it came and was answered."""

    request: Request
    began: float
    ended: float = 0.0

    @property
    def kind(self) -> str:
        """What it is for: ``read``, ``status``, ``event``, or ``watch`` for lists and watches."""
        if self.request.method in {"LIST", "WATCH"}:
            return "watch"
        if re.search("/events(/|$)", self.request.path):
            return "event"
        return "read" if self.request.method == "GET" else "status"


class Api(KubeApi):
    """The server. Each peer's credential is its name."""

    def __init__(self, certificate: Certificate) -> None:
        super().__init__(certificate)
        self.seen: list[Seen] = []

    def user(self, authorization: str, certificate: dict[str, Any]) -> str:
        """Return who asks."""
        return authorization.removeprefix("Bearer ").strip()

    def understood(self, content: bytes) -> bytes:
        """Return a body as JSON; of a pod that a Go client writes, a patch of its annotations."""
        if not content.startswith(PROTOBUF):
            return content
        annotations = protobuf.annotations_of_pod(content.removeprefix(PROTOBUF))
        patch = {"metadata": {"annotations": annotations}}
        return json.dumps(patch).encode() if annotations else b""

    def next_fault(self, request: Request) -> Fault | None:
        """Take note that a request has come."""
        self.seen.append(Seen(request, time.monotonic()))
        return super().next_fault(request)

    def answer(self, request: Request) -> tuple[int, JsonObject]:
        """Answer, and take note of the moment."""
        if _is_event_of_go(request):
            return self._answered(request, 201, _AN_EVENT)
        is_patch = request.method == "PUT" and "spec" not in (request.body or {})
        status, value = super().answer(replace(request, method="PATCH") if is_patch else request)
        kind = _KINDS.get(request.path.rpartition("/")[2])
        if request.method == "LIST" and kind:
            value = {**value, **kind, "kind": f"{kind['kind']}List"}
        return self._answered(request, status, value)

    def _answered(self, request: Request, status: int, value: JsonObject) -> tuple[int, JsonObject]:
        for seen in reversed(self.seen):
            if seen.request is request:
                seen.ended = time.monotonic()
                break
        return status, value

    def watched(self, watcher: Watcher) -> Iterator[JsonObject]:
        """Yield what a watch is told; that may begin with all that is there."""
        query = watcher.request.query
        if query.get("sendInitialEvents") == "true":
            with self.lock:
                version = str(self.version)
                there = [
                    value
                    for path, value in self.objects.items()
                    if matches(watcher.request, path, value)
                ]
            for value in there:
                yield {"type": "ADDED", "object": value}
            yield _end_of_beginning(watcher.request, version)
            watcher.request = replace(watcher.request, query={**query, "resourceVersion": version})
        yield from super().watched(watcher)

    def by(self, peer: str, since: int = 0) -> list[Seen]:
        """Return a peer's requests since so many of all, without those of its watches."""
        return [
            seen for seen in self.seen[since:] if seen.request.user == peer and seen.kind != "watch"
        ]

    def calm(self, seconds: float = _QUIET_SECONDS) -> None:
        """Wait until nothing has been asked for a while."""
        end = time.monotonic() + _PATIENCE
        known = -1
        while known != len(self.seen) and time.monotonic() < end:
            known = len(self.seen)
            time.sleep(seconds)

    def networks_in_status(self, pod: str) -> int:
        """Return how many networks the status of a pod names."""
        annotations = self.objects[f"/api/v1/namespaces/default/pods/{pod}"]["metadata"]
        return str(annotations["annotations"].get(STATUS, "")).count('"interface"')

    def forget_statuses(self, pods: Iterable[str]) -> None:
        """Remove the status of pods, for the next to write it."""
        for pod in pods:
            path = f"/api/v1/namespaces/default/pods/{pod}"
            self.change(path, metadata={"annotations": {STATUS: None}})


def _is_event_of_go(request: Request) -> bool:
    """Tell whether a Go client writes an event, which is not stored, or counts one again."""
    is_event = re.search("/events(/|$)", request.path) is not None
    return is_event and (request.method == "PATCH" or request.body is None)


def _end_of_beginning(request: Request, version: str) -> JsonObject:
    """Return what tells a watch that it knows all that was there."""
    annotations = {"k8s.io/initial-events-end": "true"}
    metadata = {"resourceVersion": version, "annotations": annotations}
    kind = _KINDS[request.path.rpartition("/")[2]]
    return {"type": "BOOKMARK", "object": {**kind, "metadata": metadata}}
