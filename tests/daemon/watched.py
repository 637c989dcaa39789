"""A watch of this node's pods that shows what a test says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from multus_py.models.objects import NETWORK_STATUS, NETWORKS, LivePod, ObjectRef, Pod

if TYPE_CHECKING:
    from multus_py.cni.errors import CniError
    from multus_py.core.ports import Event


@dataclass
class FakeLivePods:
    """See :class:`multus_py.daemon.livepods.LivePods`."""

    live: dict[str, LivePod] = field(default_factory=dict)
    synced: bool = True
    events: list[tuple[str, Event]] = field(default_factory=list)
    statuses: list[tuple[str, str]] = field(default_factory=list)
    status_error: CniError | None = None

    def pods(self) -> list[LivePod]:
        return list(self.live.values())

    def publish_status(self, pod: Pod, annotation: str) -> None:
        if self.status_error:
            raise self.status_error
        self.statuses.append((pod.ref.name, annotation))

    def emit(self, pod: Pod, event: Event) -> None:
        self.events.append((pod.ref.name, event))

    # -- what tests write

    def run(
        self,
        name: str,
        networks: str = "",
        uid: str = "",
        phase: str = "Running",
        status: str = "",
    ) -> None:
        written = {NETWORKS: networks, NETWORK_STATUS: status}
        annotations = {key: value for key, value in written.items() if value}
        self.live[name] = LivePod(
            pod=Pod(ObjectRef("default", name), uid or f"uid-{name}", annotations),
            phase=phase,
            host_network=False,
            deleting=False,
        )
