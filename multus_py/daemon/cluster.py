"""The cluster as all requests of the daemon see it: what is watched, and questions for the rest.

Per pod no read and one write: pods of this node and definitions of networks come from watches, and
are asked for only if a watch does not know them. With the API server away, what is known is enough.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from multus_py.adapters import watching
from multus_py.adapters.apiserver import ApiServer
from multus_py.adapters.connection import Connection
from multus_py.adapters.watching import Watch
from multus_py.daemon import events
from multus_py.daemon.events import Events
from multus_py.daemon.statuses import Statuses
from multus_py.models import objects
from multus_py.models.objects import Node

if TYPE_CHECKING:
    from collections.abc import Callable

    from multus_py.adapters.credentials import Access
    from multus_py.core.ports import Event
    from multus_py.daemon.metrics import Metrics
    from multus_py.models.device import Devices
    from multus_py.models.objects import LivePod, NetworkDefinition, ObjectRef, Pod

_WATCH_PACE = watching.Pace()
_EVENT_PACE = events.Pace()


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long is waited for the API server; in seconds."""

    question: float = 10.0
    """By a request whose pod or definition is not known."""
    status: float = 3.0
    """By a request whose pod asked for networks. Later the status follows by itself."""
    event: float = 5.0
    end: float = 5.0
    """For statuses and events that wait when the daemon ends."""


class CachedCluster:
    """See :class:`multus_py.core.ports.Cluster`. All threads of the daemon share one.

    ``node`` is the name that pods are bound to. ``devices`` asks the kubelet.
    """

    def __init__(  # noqa: PLR0913 - one composition, all by keyword
        self,
        *,
        connect: Callable[[], Access],
        node: str,
        devices: Callable[[Pod], Devices],
        metrics: Metrics,
        patience: Patience = Patience(),
        pace: watching.Pace = _WATCH_PACE,
        event_pace: events.Pace = _EVENT_PACE,
    ) -> None:
        def count(verb: str, resource: str, status: int) -> None:
            metrics.api_requests.labels(verb, resource, str(status)).inc()

        connection = Connection(connect, on_answer=count)
        self._patience = patience
        self._node = Node(node)
        self._questions = ApiServer(connection, devices=devices, patience=patience.question)
        self._writes = ApiServer(connection, devices=devices, patience=patience.status)
        self._statuses = Statuses(self._writes.publish_status)
        self._events = Events(
            lambda event: self._writes.send_event(event, seconds=patience.event),
            on_lost=metrics.events_lost.inc,
            pace=event_pace,
        )
        self._pods: Watch[LivePod] = Watch(
            connection,
            watching.PODS,
            trim=objects.live_pod,
            selector=f"spec.nodeName={node}",
            on_change=self._tell_change,
            pace=pace,
        )
        self._networks: Watch[NetworkDefinition] = Watch(
            connection, watching.NETWORKS, trim=objects.network_definition, pace=pace
        )
        self._listeners: list[Callable[[LivePod | None, LivePod | None], None]] = []
        for watch in (self._pods, self._networks):
            _measure(watch, metrics)
        metrics.statuses_deferred.set_function(lambda: len(self._statuses))

    def start(self) -> None:
        """Begin to watch and to write."""
        for part in (self._pods, self._networks, self._statuses, self._events):
            part.start()

    def stop(self) -> None:
        """End, when no request needs it any more; what waits is written and told if that works."""
        self._events.finish(self._patience.end)  # meanwhile the statuses are written
        self._statuses.stop(self._patience.end)
        self._events.stop()
        for watch in (self._pods, self._networks):
            watch.stop()

    def on_change(self, listener: Callable[[LivePod | None, LivePod | None], None]) -> None:
        """Have a listener told what a pod was and is now: None before it came, after it went.

        A pod replaced by another of its name goes first. The listener must not keep its caller.
        """
        self._listeners.append(listener)

    def wait(self, seconds: float) -> bool:
        """Wait until :attr:`ready`; tell whether it is."""
        end = time.monotonic() + seconds
        for watch in (self._pods, self._networks):
            watch.wait(max(end - time.monotonic(), 0.0))
        return self.ready

    @property
    def ready(self) -> bool:
        """Whether everything is known that there was at some time."""
        return self._pods.synced and (self._networks.synced or self._networks.absent)

    @property
    def synced(self) -> bool:
        """Whether :meth:`pods` are all that exist, to the best of the API server's recent word."""
        return self._pods.fresh

    def pods(self) -> list[LivePod]:
        """Return the pods of this node, as far as they are known."""
        return self._pods.items()

    # -- the port

    def get_pod(self, ref: ObjectRef, *, uid: str = "") -> Pod:
        """Return a pod."""
        live = self._pods.get(ref)
        if live and live.is_known_as(uid):
            return live.pod
        return self._questions.get_pod(ref)

    def get_network(self, ref: ObjectRef) -> NetworkDefinition:
        """Return a NetworkAttachmentDefinition."""
        return self._networks.get(ref) or self._questions.get_network(ref)

    def get_first_generation_network(self, ref: ObjectRef) -> NetworkDefinition:
        """Return an object Network of the first generation."""
        return self._questions.get_first_generation_network(ref)

    def devices(self, pod: Pod) -> Devices:
        """Return the devices that the kubelet allocated to the pod."""
        return self._questions.devices(pod)

    def publish_status(self, pod: Pod, annotation: str) -> None:
        """Write the network-status of exactly this pod, or see to it that it will be written.

        Nobody waits for the status of a pod that asked for nothing.
        """
        if objects.asks_for_networks(pod) or not self._statuses.later(pod, annotation):
            self._statuses.now(pod, annotation)

    def edit_status(self, pod: Pod, edit: Callable[[str], str]) -> None:
        """Change the network-status of exactly this pod: the one that waits, or what is there."""
        if not self._statuses.edit(pod, edit):
            self._questions.edit_status(pod, edit)

    def emit(self, pod: Pod, event: Event) -> None:
        """Take an event, to be told later."""
        self._events.tell(pod, event)

    def emit_on_node(self, event: Event) -> None:
        """Take an event about this node, to be told later."""
        self._events.tell(self._node, event)

    def _tell_change(self, was: LivePod | None, now: LivePod | None) -> None:
        if was and now and was.pod.uid != now.pod.uid:
            self._tell_change(was, None)
            was = None
        if was and not now:
            self._statuses.drop(was.pod.uid)
        for listener in self._listeners:
            listener(was, now)


def _measure(watch: Watch[LivePod] | Watch[NetworkDefinition], metrics: Metrics) -> None:
    metrics.cache_synced.labels(watch.name).set_function(lambda: watch.synced)
    metrics.cache_age_seconds.labels(watch.name).set_function(lambda: watch.age)
