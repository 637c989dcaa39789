"""The network-status annotation: what a pod's networks gave it, for people and programs to read.

Source: "Multi-Network Specification" 1.3, section 5, in the textual form that Multus writes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from multus_py.cni import document
from multus_py.cni.errors import CniError
from multus_py.cni.result import is_default_route, without_prefix

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from multus_py.cni.document import JsonObject

_HTML_SIGNS = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


@dataclass(frozen=True, slots=True)
class NetworkStatus:
    """The entries of one delegate's result, in the newest version of the specification."""

    name: str
    result: JsonObject
    default: bool = False
    device_info: JsonObject | None = None

    def entries(self) -> list[JsonObject]:
        """Return one entry for each interface inside the pod.

        A result without any interface has none. With a single interface all addresses are its own;
        with several an address without an index belongs to the last one inside the pod.
        """
        interfaces = self.result.get("interfaces") or []
        inside = [index for index, link in enumerate(interfaces) if link.get("sandbox")]
        if len(interfaces) == 1:
            link = interfaces[0] if inside else {}
            return [self._entry(link, self._addresses(), default=self.default)]
        default = self._default_interface(inside) if self.default else None
        return [
            self._entry(
                interfaces[index],
                self._addresses(index, unindexed=index == inside[-1]),
                default=index == default,
            )
            for index in inside
        ]

    def _entry(self, link: JsonObject, ips: list[str], *, default: bool) -> JsonObject:
        entry: JsonObject = {
            "name": self.name,
            "interface": link.get("name"),
            "ips": ips,
            "mac": link.get("mac"),
            "mtu": link.get("mtu"),
            "default": default,
            "dns": _filled(self.result.get("dns") or {}),
            "device-info": self.device_info,
            "gateway": self._gateways(),
        }
        return {key: value for key, value in entry.items() if value or key in {"name", "dns"}}

    def _addresses(self, index: int | None = None, *, unindexed: bool = False) -> list[str]:
        return [
            without_prefix(ip["address"])
            for ip in self.result.get("ips") or []
            if index is None
            or ip.get("interface") == index
            or (unindexed and ip.get("interface") is None)
        ]

    def _default_interface(self, inside: list[int]) -> int | None:
        """Return the interface of the first address that has a gateway, else the first inside."""
        for ip in self.result.get("ips") or []:
            if ip.get("gateway") and ip.get("interface") is not None:
                return int(ip["interface"])
        return inside[0] if inside else None

    def _gateways(self) -> list[str]:
        """Return the next hops of the default routes; one without a gateway adds none."""
        routes = self.result.get("routes") or []
        return [route["gw"] for route in routes if is_default_route(route) and route.get("gw")]


def annotation(statuses: Iterable[NetworkStatus]) -> str:
    """Return the annotation's text, or nothing if no delegate has an entry."""
    entries = [entry for status in statuses for entry in status.entries()]
    return _text(entries) if entries else ""


def edited(text: str, *, without: Collection[str] = (), plus: Iterable[NetworkStatus] = ()) -> str:
    """Return an annotation without the entries of some interfaces and with those of networks.

    The entries of other interfaces stay as they are, whoever wrote them.
    """
    added = [entry for status in plus for entry in status.entries()]
    gone = {*without, *(entry.get("interface") for entry in added)}
    kept = [entry for entry in _entries(text) if entry.get("interface") not in gone]
    return _text(kept + added)


def _entries(text: str) -> list[JsonObject]:
    """Return the entries of an annotation; what is none can only be replaced."""
    try:
        value = document.decode(text or "[]", "the network-status")
    except CniError:
        return []
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _text(entries: Iterable[JsonObject]) -> str:
    texts = (json.dumps(entry, indent=4, ensure_ascii=False) for entry in entries)
    return "[" + ",".join(texts).translate(_HTML_SIGNS) + "]"


def _filled(dns: JsonObject) -> JsonObject:
    keys = ("nameservers", "domain", "search", "options")
    return {key: dns[key] for key in keys if dns.get(key)}
