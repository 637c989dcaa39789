"""Delegates: the networks that one pod is attached to, resolved to the last detail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from multus_py.models.requests import Requests

if TYPE_CHECKING:
    from multus_py.cni.arguments import Pairs
    from multus_py.cni.document import JsonObject
    from multus_py.cni.network import NetworkConfig
    from multus_py.cni.request import Attachment


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegate:
    """One network of one pod, as it is attached, recorded, checked and released."""

    name: str
    """As status and events show it: ``namespace/name`` of the definition, or the network's name."""
    network: NetworkConfig
    requests: Requests = Requests()
    resource_name: str = ""
    device_id: str = ""
    """The device that was assigned for the definition's resource."""
    master: bool = False
    """Gives the pod's result and is its default network."""
    ifname: str = ""
    filter_v4: bool = False
    filter_v6: bool = False
    """Whether its default route of that family gives way to another network's."""
    cni_args: Pairs | None = None
    capability_args: JsonObject | None = None
    """What plugins are told. None only in a delegate that Multus recorded and nobody completed."""

    @property
    def label(self) -> str:
        """What messages call the network."""
        own = self.network.name
        if not self.name or own in {self.name, self.name.rpartition("/")[2], ""}:
            return self.name or own
        return f"{self.name} ({own})"

    @property
    def device_info_file(self) -> str:
        """The path of its device information, empty without a device."""
        return str((self.capability_args or {}).get("CNIDeviceInfoFile") or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What is on disk about one ADD: everything that is needed to undo it."""

    attachment: Attachment
    netns: str = ""
    owner: str = ""
    """Name of the configuration it was made under; empty in a record that Multus wrote."""
    attempts: int = 0
    """How many DELs have failed so far."""
    delegates: tuple[Delegate, ...]
