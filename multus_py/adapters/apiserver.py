"""The cluster behind an API server, asked by single requests.

Requests that fail for a reason that passes (overload, restarts, lost connections) are repeated
until their time is over; the answer of the last one is reported.
"""

from __future__ import annotations

import datetime as dt
import itertools
import logging
import secrets
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from multus_py.adapters.connection import RefusedError
from multus_py.cni.errors import CniError, Code
from multus_py.core import backoff
from multus_py.models import objects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from multus_py.adapters.connection import Connection
    from multus_py.cni.document import JsonObject
    from multus_py.core.ports import Event
    from multus_py.models.device import Devices
    from multus_py.models.objects import NetworkDefinition, Node, ObjectRef, Pod

_LOG = logging.getLogger(__name__)

PATIENCE = 15.0
"""Seconds for one question, repetitions included."""

_EVENT_SECONDS = 3.0
"""For all events of a request together; they are a courtesy."""

_FIRST_DELAY, _LAST_DELAY = 0.1, 2.0
_TIME = "%Y-%m-%dT%H:%M:%SZ"

_PODS = "/api/v1/namespaces/{0.namespace}/pods/{0.name}"
_EVENTS = "/api/v1/namespaces/{}/events"
_NETWORKS = (
    "/apis/k8s.cni.cncf.io/v1/namespaces/{0.namespace}/network-attachment-definitions/{0.name}"
)
_FIRST_GENERATION = (
    "/apis/kubernetes-network.cni.cncf.io/v1/namespaces/{0.namespace}/networks/{0.name}"
)


class ApiServer:
    """See :class:`multus_py.core.ports.Cluster`. Any thread may ask."""

    def __init__(
        self,
        connection: Connection,
        *,
        devices: Callable[[Pod], Devices],
        patience: float = PATIENCE,
    ) -> None:
        self._connection = connection
        self._devices = devices
        self._patience = patience
        self._events: list[JsonObject] = []

    def get_pod(self, ref: ObjectRef, *, uid: str = "") -> Pod:
        """Return a pod."""
        del uid  # there is one of that name
        return objects.pod(self._ask("GET", _PODS.format(ref)))

    def get_network(self, ref: ObjectRef) -> NetworkDefinition:
        """Return a NetworkAttachmentDefinition."""
        return objects.network_definition(self._ask("GET", _NETWORKS.format(ref)))

    def get_first_generation_network(self, ref: ObjectRef) -> NetworkDefinition:
        """Return an object Network of the first generation."""
        return objects.first_generation_network(self._ask("GET", _FIRST_GENERATION.format(ref)))

    def devices(self, pod: Pod) -> Devices:
        """Return the devices that the kubelet allocated to the pod."""
        return self._devices(pod)

    def publish_status(self, pod: Pod, annotation: str) -> None:
        """Write the network-status annotation with one patch that holds for this UID only.

        Where the service account may only update, as Multus's does, the whole object is written.
        """
        body = {"metadata": {"uid": pod.uid, "annotations": {objects.NETWORK_STATUS: annotation}}}
        self._write_status(pod, lambda path: self._ask("PATCH", path, body), lambda _: annotation)

    def edit_status(self, pod: Pod, edit: Callable[[str], str]) -> None:
        """Change the network-status annotation from what it is now, which others may change too."""

        def patch(path: str) -> JsonObject:
            metadata = self._current(pod)["metadata"]
            guard = {"uid": pod.uid, "resourceVersion": metadata.get("resourceVersion")}
            change = {objects.NETWORK_STATUS: edit(_status(metadata))}
            return self._ask("PATCH", path, {"metadata": {**guard, "annotations": change}})

        self._write_status(pod, patch, edit)

    def _write_status(
        self, pod: Pod, patch: Callable[[str], JsonObject], edit: Callable[[str], str]
    ) -> None:
        path = _PODS.format(pod.ref) + "/status"
        deadline = time.monotonic() + self._patience
        try:
            self._repeat_conflicts(pod, deadline, lambda: patch(path))
        except RefusedError as refusal:
            if refusal.status != HTTPStatus.FORBIDDEN:
                raise
            try:
                self._repeat_conflicts(pod, deadline, lambda: self._update(pod, path, edit))
            except RefusedError as again:
                raise (refusal if again.status == HTTPStatus.FORBIDDEN else again) from again

    def emit(self, pod: Pod, event: Event) -> None:
        """Note an event; :meth:`close` sends it, when everything else is done."""
        now = dt.datetime.now(dt.UTC)
        self._events.append(event_object(pod, event, first=now, last=now))

    def send_event(self, event: JsonObject, *, seconds: float) -> None:
        """Send an event, without repetitions."""
        path = _EVENTS.format(event["metadata"]["namespace"])
        self._connection.ask("POST", path, event, seconds=seconds)

    def close(self) -> None:
        """Send the events. One that cannot be sent is logged, and so are those after it."""
        deadline = time.monotonic() + _EVENT_SECONDS
        events, self._events = self._events, []
        for event in events:
            try:
                self.send_event(event, seconds=max(deadline - time.monotonic(), 0.1))
            except CniError as error:
                _LOG.error("event %r is lost: %s", event["message"], error)

    def _repeat_conflicts(self, pod: Pod, deadline: float, write: Callable[[], JsonObject]) -> None:
        """Write until nobody writes at the same time. A pod of another UID is not written to."""
        for delay in _delays(deadline):
            try:
                write()
            except RefusedError as error:
                if error.status != HTTPStatus.CONFLICT or delay is None:
                    raise
                current = self.get_pod(pod.ref)
                if current.uid != pod.uid:
                    raise _replaced(pod, current) from error
                time.sleep(delay)
            else:
                return

    def _update(self, pod: Pod, path: str, edit: Callable[[str], str]) -> JsonObject:
        current = self._current(pod)
        metadata = current["metadata"]
        change = {objects.NETWORK_STATUS: edit(_status(metadata))}
        metadata["annotations"] = {**(metadata.get("annotations") or {}), **change}
        return self._ask("PUT", path, current)

    def _current(self, pod: Pod) -> JsonObject:
        """Return the object of a pod as it is now; an error if it is another pod by now."""
        current = self._ask("GET", _PODS.format(pod.ref))
        if (current.get("metadata") or {}).get("uid") != pod.uid:
            raise _replaced(pod, objects.pod(current))
        return current

    def _ask(self, method: str, path: str, body: JsonObject | None = None) -> JsonObject:
        """Return the answer to a request, repeated while it fails for a reason that passes."""
        deadline = time.monotonic() + self._patience
        for delay in _delays(deadline):
            seconds = max(deadline - time.monotonic(), 1)
            try:
                return self._connection.ask(method, path, body, seconds=seconds)
            except RefusedError as error:
                rest = backoff.beyond(error.retry_after)
                late = rest > 0 and time.monotonic() + rest > deadline
                if late or not error.passing or delay is None:
                    raise
                time.sleep(max(delay, rest))
        raise AssertionError("the last try returns or raises")


def _status(metadata: JsonObject) -> str:
    return str((metadata.get("annotations") or {}).get(objects.NETWORK_STATUS) or "")


def event_object(
    about: Pod | Node, event: Event, *, first: dt.datetime, last: dt.datetime, count: int = 1
) -> JsonObject:
    """Return an event of a pod, or of a node, as the API server takes it. Times are UTC."""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{about.ref.name[:220]}.{secrets.token_hex(8)}",
            "namespace": about.ref.namespace,
        },
        "involvedObject": _reference(about),
        "source": {"component": "multus"},
        "type": event.type,
        "reason": event.reason,
        "message": event.message[:1024],
        "firstTimestamp": first.strftime(_TIME),
        "lastTimestamp": last.strftime(_TIME),
        "count": count,
    }


def _reference(about: Pod | Node) -> JsonObject:
    reference = {"apiVersion": "v1", "name": about.ref.name, "uid": about.uid}
    if isinstance(about, objects.Pod):
        return {**reference, "kind": "Pod", "namespace": about.ref.namespace}
    return {**reference, "kind": "Node"}


def _delays(deadline: float) -> Iterator[float | None]:
    """Yield the seconds to wait after each failure, None if there is no time for another try."""
    for failures in itertools.count(1):
        delay = backoff.delay(failures, first=_FIRST_DELAY, last=_LAST_DELAY)
        if time.monotonic() + delay > deadline:
            yield None
            return
        yield delay


def _replaced(pod: Pod, current: Pod) -> CniError:
    return CniError(
        Code.POD_REPLACED,
        f"expected pod UID {pod.uid}, but the API server has UID {current.uid} by now",
        "nothing: the runtime cleans up",
    )
