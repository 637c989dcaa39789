"""Delegates: the networks that one pod is attached to, resolved to the last detail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from multus_py.cni import names
from multus_py.cni.errors import CniError, Code, located
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
    begun: int | None = None
    """How many of its plugins, from the first, may have done something that is to be released.

    All of them if nobody knows, as while an ADD is at work and after one that succeeded.
    """
    displaced: Pairs = ()
    """Default routes that it took from other networks of a running pod: interface and gateway."""

    @property
    def label(self) -> str:
        """What messages call the network."""
        own = self.network.name
        if not self.name or own in {self.name, self.name.rpartition("/")[2], ""}:
            return self.name or own
        return f"{self.name} ({own})"

    @property
    def valid(self) -> bool:
        """Whether :meth:`validate` passes it."""
        try:
            self.validate()
        except CniError:
            return False
        return True

    def validate(self) -> None:
        """Raise the error with which libcni refuses a network before any plugin runs."""
        with located(f"network {self.label}"):
            self.network.validate()
            if self.ifname and (fault := names.interface_name_fault(self.ifname)):
                raise CniError(Code.INVALID_CONFIGURATION, fault, "ask for another interface name")

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
    refusals: int = 0
    """How many of them because of networks that, as far as is known, were never attached.

    DELs that were answered with "try again later" (code 11) are not counted here.
    """
    pending: bool = False
    """The runtime was told that all is released; these are the delegates that did not confirm."""
    partial: bool = False
    """Made for a running pod that had no record: what was attached with the pod is not in it."""
    delegates: tuple[Delegate, ...]
