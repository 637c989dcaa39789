"""What those who look after this node's pods need to know of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from multus_py.core.ports import Event
    from multus_py.models.objects import LivePod, Pod


class LivePods(Protocol):
    """The pods of this node, as they are watched."""

    @property
    def synced(self) -> bool:
        """Whether all of them are known."""

    def pods(self) -> Sequence[LivePod]:
        """Return all of them that exist."""

    def publish_status(self, pod: Pod, annotation: str) -> None:
        """Write the network-status of exactly this pod."""

    def emit(self, pod: Pod, event: Event) -> None:
        """Tell an event. Never fails."""


class NoPods:
    """Stand-alone, where no pod is known and nothing can be concluded from that."""

    synced = False

    def pods(self) -> Sequence[LivePod]:
        """Return nothing."""
        return ()

    def publish_status(self, pod: Pod, annotation: str) -> None:
        """Write nothing."""

    def emit(self, pod: Pod, event: Event) -> None:
        """Tell nobody."""
