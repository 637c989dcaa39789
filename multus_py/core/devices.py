"""Devices for networks: one device of a definition's resource for each attachment to it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from multus_py.cni import document
from multus_py.cni.errors import CniError, Code

if TYPE_CHECKING:
    from collections.abc import Collection

    from multus_py.cni.document import JsonObject
    from multus_py.cni.network import NetworkConfig
    from multus_py.core.ports import Cluster
    from multus_py.models.device import Devices
    from multus_py.models.objects import Pod

_LOG = logging.getLogger(__name__)


class Allocation:
    """Hands out the devices that a pod was allocated, each once, in sorted order.

    One object serves all networks of a pod, whichever annotation or configuration named them, so
    that no two of them get the same device. The kubelet is asked when the first one needs a device.
    """

    def __init__(
        self, cluster: Cluster, pod: Pod, *, in_use: Collection[tuple[str, str]] = ()
    ) -> None:
        """``in_use`` has resource and device of networks that the pod is attached to already."""
        self._cluster = cluster
        self._pod = pod
        self._in_use = in_use
        self._devices: Devices | None = None
        self._taken: dict[str, int] = {}

    def take(self, resource: str) -> str:
        """Return the next device of a resource.

        Nothing if the pod has no device of that resource at all: a definition may be used by pods
        with and without one, and plugins decide. An error if it had some and all are taken.
        """
        if self._devices is None:
            self._devices = self._cluster.devices(self._pod)
        devices = self._devices.get(resource, [])
        free = [device for device in devices if (resource, device) not in self._in_use]
        taken = self._taken.get(resource, 0)
        if not devices:
            _LOG.error("pod %s has no device of %s: plugin runs without", self._pod.ref, resource)
            return ""
        if taken == len(free):
            raise CniError(
                Code.DEVICE,
                f"the pod has {len(devices)} device(s) of {resource}, and its networks use all",
                f"request more of {resource} in the pod, or ask for fewer networks",
            )
        self._taken[resource] = taken + 1
        return free[taken]


def with_device(network: NetworkConfig, device_id: str) -> NetworkConfig:
    """Return the network with the device's ID in every plugin's configuration."""
    if not device_id:
        return network
    return network.changed(lambda plugin: {**plugin, "deviceID": device_id, "pciBusID": device_id})


def with_cni_args(network: NetworkConfig, cni_args: JsonObject | None) -> NetworkConfig:
    """Return the network with ``args.cni`` of every plugin extended (CNI conventions, "args")."""
    if not cni_args:
        return network
    return network.changed(lambda plugin: {**plugin, "args": _merged(plugin, cni_args)})


def _merged(plugin: JsonObject, cni_args: JsonObject) -> JsonObject:
    args = _object(plugin.get("args"), "args")
    return {**args, "cni": {**_object(args.get("cni"), "args.cni"), **cni_args}}


def _object(value: object, place: str) -> JsonObject:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise CniError(
            Code.INVALID_CONFIGURATION,
            f"{place} is {document.kind(value)}, not an object, so cni-args cannot be added",
            "correct the network's configuration",
        )
    return value
