"""The cluster of a node that has lost its credential: whatever is asked, the answer is why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

    from multus_py.cni.errors import CniError
    from multus_py.core.ports import Event
    from multus_py.models.device import Devices
    from multus_py.models.objects import NetworkDefinition, ObjectRef, Pod


@dataclass(frozen=True, slots=True)
class AbsentCluster:
    """See :class:`multus_py.core.ports.Cluster`."""

    reason: CniError

    def get_pod(self, ref: ObjectRef, *, uid: str = "") -> Pod:
        """Fail."""
        del ref, uid
        self._fail()

    def get_network(self, ref: ObjectRef) -> NetworkDefinition:
        """Fail."""
        del ref
        self._fail()

    def get_first_generation_network(self, ref: ObjectRef) -> NetworkDefinition:
        """Fail."""
        del ref
        self._fail()

    def devices(self, pod: Pod) -> Devices:
        """Fail."""
        del pod
        self._fail()

    def publish_status(self, pod: Pod, annotation: str) -> None:
        """Fail."""
        del pod, annotation
        self._fail()

    def edit_status(self, pod: Pod, edit: Callable[[str], str]) -> None:
        """Fail."""
        del pod, edit
        self._fail()

    def emit(self, pod: Pod, event: Event) -> None:
        """Do nothing: there is nobody to tell."""

    def close(self) -> None:
        """Do nothing."""

    def _fail(self) -> NoReturn:
        raise self.reason
