"""What a pod may ask for on one network, and how that is written for plugins.

The same members appear in a network selection element and in the runtime's ``runtimeConfig``
(CNI conventions, "Dynamic Plugin specific Fields").
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import Field

from multus_py.cni import names
from multus_py.models.decoding import Decoded

if TYPE_CHECKING:
    from multus_py.cni.document import JsonObject

# EUI-48, EUI-64 or 20 bytes, as pairs with colons or dashes, or as quads with dots
_HARDWARE_ADDRESS = re.compile(
    r"(?:[0-9a-f]{2}(?P<s>[:-])(?:[0-9a-f]{2}(?P=s)){4}[0-9a-f]{2}"
    r"|[0-9a-f]{2}(?P<t>[:-])(?:[0-9a-f]{2}(?P=t)){6}[0-9a-f]{2}"
    r"|[0-9a-f]{2}(?P<u>[:-])(?:[0-9a-f]{2}(?P=u)){18}[0-9a-f]{2}"
    r"|[0-9a-f]{4}\.(?:[0-9a-f]{4}\.){1,2}[0-9a-f]{4}"
    r"|[0-9a-f]{4}\.(?:[0-9a-f]{4}\.){8}[0-9a-f]{4})",
    re.IGNORECASE,
)


POD_ANNOTATIONS = "io.kubernetes.cri.pod-annotations"
"""The capability by which containerd and CRI-O pass the annotations of the pod."""


class PortMapping(Decoded):
    """A port of the host that leads to one of the pod."""

    host_port: int = Field(default=0, alias="hostPort")
    container_port: int = Field(default=0, alias="containerPort")
    protocol: str = ""
    host_ip: str = Field(default="", alias="hostIP")

    def document(self) -> JsonObject:
        """Return the mapping as plugins read it."""
        ports: JsonObject = {"hostPort": self.host_port, "containerPort": self.container_port}
        texts = {"protocol": self.protocol, "hostIP": self.host_ip}
        return ports | {key: value for key, value in texts.items() if value}


class Bandwidth(Decoded):
    """Limits in bits per second and bits."""

    ingress_rate: int = Field(default=0, alias="ingressRate")
    ingress_burst: int = Field(default=0, alias="ingressBurst")
    egress_rate: int = Field(default=0, alias="egressRate")
    egress_burst: int = Field(default=0, alias="egressBurst")

    def document(self) -> JsonObject:
        """Return the limits as plugins read them, all four of them."""
        return {
            "ingressRate": self.ingress_rate,
            "ingressBurst": self.ingress_burst,
            "egressRate": self.egress_rate,
            "egressBurst": self.egress_burst,
        }


class RuntimeConfig(Decoded):
    """``runtimeConfig`` from the runtime. Capabilities that are not listed here pass unchanged."""

    port_mappings: list[PortMapping] = Field(default=[], alias="portMappings")
    bandwidth: Bandwidth | None = None
    ips: list[str] = []
    mac: str = ""
    infiniband_guid: str = Field(default="", alias="infinibandGUID")
    device_id: str = Field(default="", alias="deviceID")
    device_info_file: str = Field(default="", alias="CNIDeviceInfoFile")
    pod_annotations: dict[str, str] | None = Field(default=None, alias=POD_ANNOTATIONS)
    """None if the runtime does not pass them; they may be large, so they are no common argument."""

    def capability_args(self) -> JsonObject:
        """Return the values on offer by capability, without those that say nothing."""
        offered: JsonObject = {
            "portMappings": [mapping.document() for mapping in self.port_mappings],
            "bandwidth": self.bandwidth.document() if self.bandwidth else None,
            "ips": list(self.ips),
            "mac": self.mac,
            "infinibandGUID": self.infiniband_guid,
            "deviceID": self.device_id,
            "CNIDeviceInfoFile": self.device_info_file,
            **(self.model_extra or {}),
        }
        return {key: value for key, value in offered.items() if value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """What one network selection element asks for. Empty means: not asked for."""

    ifname: str = ""
    mac: str = ""
    infiniband_guid: str = ""
    ips: tuple[str, ...] = ()
    port_mappings: tuple[JsonObject, ...] = ()
    bandwidth: JsonObject | None = None
    cni_args: JsonObject | None = None
    default_route: tuple[str, ...] | None = None
    """Gateways. None: nothing said; empty: the network's own default route is to be the pod's."""
    device_id: str = ""

    def capability_args(self) -> dict[str, Any]:
        """Return what is asked for by capability."""
        asked: JsonObject = {
            "portMappings": list(self.port_mappings),
            "bandwidth": self.bandwidth,
            "ips": list(self.ips),
            "mac": self.mac,
            "infinibandGUID": self.infiniband_guid,
            "deviceID": self.device_id,
        }
        return {key: value for key, value in asked.items() if value}


def hardware_address(text: str) -> str:
    """Return a hardware address as it was written; ``ValueError`` if it is none."""
    if text and not _HARDWARE_ADDRESS.fullmatch(text):
        raise ValueError(f"{text!r} is no hardware address")
    return text


def interface_name(text: str) -> str:
    """Return the name of an interface as it was written; ``ValueError`` if no link can have it."""
    if text and (fault := names.interface_name_fault(text)):
        raise ValueError(fault)
    return text


def ip_or_cidr(text: str) -> str:
    """Return an IP address, with or without prefix length, as written; ``ValueError`` otherwise."""
    address, slash, length = text.partition("/")
    if slash and not length.isdecimal():
        raise ValueError(f"{text!r} has no prefix length after the slash")
    try:
        ipaddress.ip_interface(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no IP address") from error
    ip_address(address)
    return text


def ip_address(text: str) -> str:
    """Return an IP address as it was written; ``ValueError`` if it is none, or has a zone."""
    if "%" in text:
        raise ValueError(f"{text!r} has a zone, which means nothing in a pod")
    try:
        ipaddress.ip_address(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no IP address") from error
    return text
