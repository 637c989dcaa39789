"""The file in which the kubelet keeps which devices it has allocated to which pod."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from multus_py.cni import document
from multus_py.cni.errors import Code
from multus_py.models.decoding import Decoded, decoded

if TYPE_CHECKING:
    from multus_py.models.device import Devices


class _Entry(Decoded):
    pod_uid: str = Field(default="", alias="PodUID")
    resource_name: str = Field(default="", alias="ResourceName")
    device_ids: dict[str, list[str] | None] = Field(default={}, alias="DeviceIDs")
    """By NUMA node."""


class _Data(Decoded):
    entries: list[_Entry] = Field(default=[], alias="PodDeviceEntries")


class _Checkpoint(Decoded):
    data: _Data = Field(alias="Data")


def devices(raw: bytes, pod_uid: str) -> Devices:
    """Return the devices of a pod in the kubelet's ``kubelet_internal_checkpoint``."""
    value = document.decode_object(raw, "the kubelet's checkpoint")
    checkpoint = decoded(
        _Checkpoint, value, code=Code.DEVICE, hint="look at the kubelet's device-plugins directory"
    )
    found: Devices = {}
    for entry in checkpoint.data.entries:
        if entry.pod_uid == pod_uid:
            ids = [item for node in entry.device_ids.values() for item in node or []]
            found.setdefault(entry.resource_name, []).extend(ids)
    return {resource: sorted(ids) for resource, ids in found.items()}
