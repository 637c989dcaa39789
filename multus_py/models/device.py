"""Devices that a pod has, and the files that describe them.

Source: "Device Information Specification" 1.1.0 of the Network Plumbing Working Group.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from multus_py.cni import document
from multus_py.cni.errors import Code
from multus_py.models.decoding import Decoded, decoded

if TYPE_CHECKING:
    from multus_py.cni.document import JsonObject

Devices = dict[str, list[str]]
"""Device IDs by resource name, sorted as text, so that everybody assigns them in the same order."""

INFO_DIRECTORY = "/var/run/k8s.cni.cncf.io/devinfo"


class _Info(Decoded):
    """``type`` says which of the other members is there."""

    type: str = ""
    version: str = ""
    pci: dict[str, Any] | None = None
    vdpa: dict[str, Any] | None = None
    vhost_user: dict[str, Any] | None = Field(default=None, alias="vhost-user")
    memif: dict[str, Any] | None = None


def info(raw: bytes) -> JsonObject:
    """Return the content of a device-info file."""
    value = document.decode_object(raw, "the device information")
    decoded(_Info, value, code=Code.DEVICE, hint="report it to the makers of the device plugin")
    return value


def plugin_info_file(resource_name: str, device_id: str) -> str:
    """Return where a device plugin describes a device."""
    return f"{INFO_DIRECTORY}/dp/{_flat(resource_name)}-{_flat(device_id)}-device.json"


def delegate_info_file(delegate_name: str, container_id: str, ifname: str) -> str:
    """Return where the device of one attachment is described."""
    return f"{INFO_DIRECTORY}/cni/{_flat(delegate_name)}-{_flat(container_id)}_{_flat(ifname)}"


def _flat(text: str) -> str:
    return text.replace("/", "-")
