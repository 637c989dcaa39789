"""Results of ADD in every version of the specification ("Section 5: Result Types").

There are three shapes: 0.1.0 and 0.2.0 (``ip4``, ``ip6``), 0.3.0 to 0.4.0 (``interfaces`` and
``ips`` that carry their IP ``version``), 1.0.0 and later (without it, with more optional members).
A :class:`Result` keeps what the plugin printed, members we do not know included; it is converted
only when somebody asks for another version.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from multus_py.cni import document, version
from multus_py.cni.errors import CniError, Code

if TYPE_CHECKING:
    from collections.abc import Callable

    from multus_py.cni.document import JsonObject


class _Shape(IntEnum):
    FIRST = 1
    MIDDLE = 2
    NEWEST = 3


_SHAPES = dict.fromkeys(("0.1.0", "0.2.0"), _Shape.FIRST) | dict.fromkeys(
    ("0.3.0", "0.3.1", "0.4.0"), _Shape.MIDDLE
)

_ADDED_IN_1 = {
    "interfaces": ("mtu", "socketPath", "pciID"),
    "routes": ("mtu", "advmss", "priority", "table", "scope"),
}
"""Members of 1.x that the middle shape does not have."""

_OF_SHAPES = ("ip4", "ip6", "interfaces", "ips", "routes")
"""Members that mean something in one shape only; strays of another shape are not converted."""

IPV4, IPV6 = 4, 6
"""Address families, as the specification writes them."""


@dataclass(frozen=True, slots=True)
class Result:
    """A result that has been checked. ``document`` has the shape of ``version``."""

    version: str
    document: JsonObject

    def as_version(self, target: str) -> Result:
        """Return the result in another version (empty: 0.1.0), itself if it has it already.

        Raises an error with code 1 if the target is unknown or cannot express the result.
        """
        target = target or version.UNNAMED
        _check_supported(target)
        if target == self.version:
            return self
        if _shape(target) == _shape(self.version):
            return Result(target, {**self.document, "cniVersion": target})
        return Result(target, {**_lower(_raise(self), target), "cniVersion": target})

    @property
    def current(self) -> JsonObject:
        """The result in the newest version."""
        return self.as_version(version.CURRENT).document

    @property
    def attached(self) -> bool:
        """Whether the plugin says that it made an interface or assigned an address."""
        return bool(self.current.get("interfaces") or self.current.get("ips"))


def parse(stdout: bytes, config_version: str) -> Result:
    """Return the result a plugin printed; one without a version has its configuration's.

    The text ``null`` counts as an empty result, as it does with libcni.
    """
    if not stdout.strip():
        raise _invalid("it printed no result")
    value = document.decode(stdout, "its result")
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise _invalid(f"its result is {document.kind(value)}, not an object")
    return checked(value, config_version)


def checked(value: JsonObject, config_version: str) -> Result:
    """Return the result that a JSON object holds, or raise an error that says what is wrong."""
    stated = value.get("cniVersion")
    actual = stated if isinstance(stated, str) and stated else config_version or version.UNNAMED
    _check_supported(actual)
    if _shape(actual) is _Shape.FIRST:
        _check_first_shape(value)
    else:
        _check_later_shapes(value)
    return Result(actual, {**value, "cniVersion": actual})


def address_family(text: str) -> int:
    """Return 4 or 6 for an address with or without prefix length."""
    return ipaddress.ip_interface(text).version


def is_default_route(route: JsonObject) -> bool:
    """Tell whether a route of a result leads everywhere, of whichever family."""
    return ipaddress.ip_interface(route["dst"]).network.prefixlen == 0


def without_prefix(cidr: str) -> str:
    """Return the address of ``address/prefix length``."""
    return cidr.partition("/")[0]


def _shape(known: str) -> _Shape:
    return _SHAPES.get(known, _Shape.NEWEST)


def _check_supported(actual: str) -> None:
    if actual not in version.SUPPORTED:
        raise CniError(
            Code.INCOMPATIBLE_VERSION,
            f"unsupported CNI result version {actual!r}",
            f"use a plugin that speaks one of {', '.join(version.SUPPORTED)}",
        )


# -- conversion


def _raise(result: Result) -> JsonObject:
    """Return the result in the newest shape, ``cniVersion`` not yet right."""
    old = result.document
    if _shape(result.version) is _Shape.NEWEST:
        return old
    if _shape(result.version) is _Shape.MIDDLE:
        return {**old, "ips": [_without(entry, ("version",)) for entry in old.get("ips") or []]}
    kept = _without(old, _OF_SHAPES)
    families = [old[key] for key in ("ip4", "ip6") if old.get(key)]
    foreign = ("ip", "routes", "interface", "version")
    ips = [_without({**entry, "address": entry["ip"]}, foreign) for entry in families]
    routes = [route for entry in families for route in entry.get("routes") or []]
    return {**kept, "ips": ips, "routes": routes}


def _lower(newest: JsonObject, target: str) -> JsonObject:
    """Return a result of the newest shape in the shape of ``target``."""
    if _shape(target) is _Shape.NEWEST:
        return newest
    if _shape(target) is _Shape.FIRST:
        return _to_first_shape(newest)
    ips = [{**ip, "version": str(address_family(ip["address"]))} for ip in newest.get("ips") or []]
    older = {**newest, "ips": ips}
    for key, added in _ADDED_IN_1.items():
        if newest.get(key):
            older[key] = [_without(entry, added) for entry in newest[key]]
    return older


def _to_first_shape(newest: JsonObject) -> JsonObject:
    """Keep the first address of each family and the routes of the families that have one."""
    older = _without(newest, _OF_SHAPES)
    for family, key in ((IPV4, "ip4"), (IPV6, "ip6")):
        own = [ip for ip in newest.get("ips") or [] if address_family(ip["address"]) == family]
        if not own:
            continue
        older[key] = {"ip": own[0]["address"]}
        if own[0].get("gateway"):
            older[key]["gateway"] = own[0]["gateway"]
        routes = [
            {name: route[name] for name in ("dst", "gw") if name in route}
            for route in newest.get("routes") or []
            if address_family(route["dst"]) == family
        ]
        if routes:
            older[key]["routes"] = routes
    if "ip4" not in older and "ip6" not in older:
        raise CniError(
            Code.INCOMPATIBLE_VERSION,
            "the result has no IP address, which cniVersion 0.2.0 cannot express",
            "use a newer cniVersion",
        )
    return older


def _without(entry: JsonObject, keys: tuple[str, ...]) -> JsonObject:
    return {key: value for key, value in entry.items() if key not in keys}


# -- checking


def _check_first_shape(value: JsonObject) -> None:
    for key in ("ip4", "ip6"):
        entry = value.get(key)
        if entry is None:
            continue
        _expect(isinstance(entry, dict), key, entry, "an object")
        _check_network(entry.get("ip"), f"{key}.ip", required=True)
        _check_address(entry.get("gateway"), f"{key}.gateway")
        _check_routes(entry, f"{key}.routes")
    _check_dns(value)


def _check_later_shapes(value: JsonObject) -> None:
    for index, entry in enumerate(_objects(value, "interfaces", "interfaces")):
        for key in ("name", "mac", "sandbox", "socketPath", "pciID"):
            _check_optional(entry, key, str, f"interfaces[{index}]")
        _check_optional(entry, "mtu", int, f"interfaces[{index}]")
    for index, entry in enumerate(_objects(value, "ips", "ips")):
        _check_network(entry.get("address"), f"ips[{index}].address", required=True)
        _check_address(entry.get("gateway"), f"ips[{index}].gateway")
        _check_optional(entry, "interface", int, f"ips[{index}]")
        _check_optional(entry, "version", str, f"ips[{index}]")
    _check_routes(value, "routes")
    _check_dns(value)


def _check_routes(holder: JsonObject, place: str) -> None:
    for index, route in enumerate(_objects(holder, "routes", place)):
        _check_network(route.get("dst"), f"{place}[{index}].dst", required=True)
        _check_address(route.get("gw"), f"{place}[{index}].gw")


def _check_dns(value: JsonObject) -> None:
    dns = value.get("dns")
    if dns is None:
        return
    _expect(isinstance(dns, dict), "dns", dns, "an object")
    _check_optional(dns, "domain", str, "dns")
    for key in ("nameservers", "search", "options"):
        for index, item in enumerate(_list(dns, key, f"dns.{key}")):
            _expect(isinstance(item, str), f"dns.{key}[{index}]", item, "a text")


def _list(holder: JsonObject, key: str, place: str) -> list[Any]:
    items = holder.get(key)
    if items is None:
        return []
    _expect(isinstance(items, list), place, items, "a list")
    return list(items)


def _objects(holder: JsonObject, key: str, place: str) -> list[Any]:
    items = _list(holder, key, place)
    for index, item in enumerate(items):
        _expect(isinstance(item, dict), f"{place}[{index}]", item, "an object")
    return items


def _check_optional(entry: JsonObject, key: str, kind: type, place: str) -> None:
    value = entry.get(key)
    right = value is None or (isinstance(value, kind) and not isinstance(value, bool))
    _expect(right, f"{place}.{key}", value, "a text" if kind is str else "an integer")


def _check_network(value: object, place: str, *, required: bool) -> None:
    _check_ip(ipaddress.ip_interface, value, place, required=required, slash=True)


def _check_address(value: object, place: str) -> None:
    _check_ip(ipaddress.ip_address, value, place, required=False, slash=False)


def _check_ip(
    read: Callable[[str], object], value: object, place: str, *, required: bool, slash: bool
) -> None:
    if value is None and not required:
        return
    if not slash and value == "":
        return
    _expect(isinstance(value, str), place, value, "a text")
    text = str(value)
    try:
        read(text)
    except ValueError as error:
        raise _invalid(f"its result has {place} {text!r}, which is no address") from error
    if "%" in text:
        raise _invalid(f"its result has {place} {text!r} with a zone")
    if slash and not text.partition("/")[2].isdecimal():
        raise _invalid(f"its result has {place} {text!r} without a prefix length")


def _expect(right: bool, place: str, value: object, wanted: str) -> None:  # noqa: FBT001
    if not right:
        raise _invalid(f"its result has {place} that is {document.kind(value)}, not {wanted}")


def _invalid(cause: str) -> CniError:
    return CniError(Code.DELEGATE_OUTPUT, cause, "report it to the makers of the plugin")
