"""Where the time of one request goes."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from multus_py.cni.errors import CniError, Code
from multus_py.core.mishaps import KeptOffError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from multus_py.core.ports import Cluster, Event, Host, PluginCall, PluginExit
    from multus_py.daemon.metrics import Metrics
    from multus_py.models.device import Devices
    from multus_py.models.objects import NetworkDefinition, ObjectRef, Pod

QUEUE, RESOLVE, DELEGATES, PUBLISH = "queue", "resolve", "delegates", "publish"

NOT_EXECUTED = "not executed"
"""Stands for types that are no plugins of this node: users can invent them without end."""

_EXECUTED = frozenset({Code.DELEGATE_TIMEOUT, Code.DELEGATE_OUTPUT})


class Stages:
    """A stopwatch with a hand for each stage. Used by one thread."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self.seconds: dict[str, float] = {}

    @property
    def total(self) -> float:
        """Seconds since the request came."""
        return time.monotonic() - self._begun

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        """Count the time of the body towards a stage."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self.add(stage, time.monotonic() - begun)

    def add(self, stage: str, seconds: float) -> None:
        """Count seconds towards a stage."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    def observe(self, metrics: Metrics, verb: str) -> None:
        """Hand the seconds to the metrics."""
        for stage, seconds in self.seconds.items():
            metrics.stage_seconds.labels(verb, stage).observe(seconds)

    def __str__(self) -> str:
        return " ".join(f"{stage}={seconds * 1000:.0f}" for stage, seconds in self.seconds.items())


class StagedCluster:
    """A :class:`~multus_py.core.ports.Cluster` whose questions are timed."""

    def __init__(self, cluster: Cluster, stages: Stages) -> None:
        self._cluster = cluster
        self._stages = stages

    def get_pod(self, ref: ObjectRef, *, uid: str = "") -> Pod:
        """Return a pod."""
        with self._stages.of(RESOLVE):
            return self._cluster.get_pod(ref, uid=uid)

    def get_network(self, ref: ObjectRef) -> NetworkDefinition:
        """Return a NetworkAttachmentDefinition."""
        with self._stages.of(RESOLVE):
            return self._cluster.get_network(ref)

    def get_first_generation_network(self, ref: ObjectRef) -> NetworkDefinition:
        """Return an object Network of the first generation."""
        with self._stages.of(RESOLVE):
            return self._cluster.get_first_generation_network(ref)

    def devices(self, pod: Pod) -> Devices:
        """Return the devices of a pod."""
        with self._stages.of(RESOLVE):
            return self._cluster.devices(pod)

    def publish_status(self, pod: Pod, annotation: str) -> None:
        """Write the network-status."""
        with self._stages.of(PUBLISH):
            self._cluster.publish_status(pod, annotation)

    def edit_status(self, pod: Pod, edit: Callable[[str], str]) -> None:
        """Change the network-status."""
        with self._stages.of(PUBLISH):
            self._cluster.edit_status(pod, edit)

    def emit(self, pod: Pod, event: Event) -> None:
        """Tell an event."""
        self._cluster.emit(pod, event)


class StagedHost:
    """A :class:`~multus_py.core.ports.Host` whose plugins are timed and counted."""

    def __init__(self, host: Host, stages: Stages, metrics: Metrics) -> None:
        self._host = host
        self._stages = stages
        self._metrics = metrics

    def run(self, call: PluginCall) -> PluginExit:
        """Find and run a plugin. One that is kept off is none of those that are counted."""
        begun = time.monotonic()
        kind, outcome = call.plugin, "error"
        try:
            ended = self._host.run(call)
            outcome = "error" if ended.status else "ok"
        except KeptOffError:
            kind = ""
            raise
        except CniError as error:
            if error.code not in _EXECUTED:
                kind = NOT_EXECUTED
            raise
        finally:
            seconds = time.monotonic() - begun
            self._stages.add(DELEGATES, seconds)
            if kind:
                self._count(call, kind, outcome, seconds)
        return ended

    def _count(self, call: PluginCall, kind: str, outcome: str, seconds: float) -> None:
        verb = call.environment.get("CNI_COMMAND", "")
        self._metrics.delegates.labels(kind, verb, outcome).inc()
        self._metrics.delegate_seconds.labels(kind, verb).observe(seconds)

    def own_netns(self, netns: str) -> bool:
        """Tell whether the path leads to the network namespace that plugins are executed in."""
        return self._host.own_netns(netns)

    def link_exists(self, netns: str, ifname: str) -> bool:
        """Tell whether a link of this name is in the namespace at this path."""
        return self._host.link_exists(netns, ifname)

    def default_route_families(self, netns: str, ifname: str) -> frozenset[int]:
        """Return the address families for which a default route leads through the link."""
        return self._host.default_route_families(netns, ifname)

    def replace_default_routes(
        self, netns: str, ifname: str, *, families: Iterable[int], gateways: Sequence[str]
    ) -> None:
        """Remove the link's default routes of these families, then add one for each gateway."""
        self._host.replace_default_routes(netns, ifname, families=families, gateways=gateways)

    def wait_for_file(self, path: str, seconds: float) -> bool:
        """Wait until the file exists; tell whether it does."""
        return self._host.wait_for_file(path, seconds)
