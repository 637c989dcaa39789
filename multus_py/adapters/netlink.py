"""Looking and acting inside a pod's network namespace.

A thread of its own enters the namespace and ends there, so the rest of the process never moves.
pyroute2 is imported for default routes only; whether a link exists is a plain system call.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from multus_py.cni.errors import CniError, Code
from multus_py.cni.result import IPV4, IPV6, address_family
from multus_py.core import mishaps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pyroute2 import IPRoute

_OWN = "/proc/self/ns/net"
_MAIN_TABLE = 254
_UNICAST = 1
"""RTN_UNICAST; an unreachable or blackhole route is no way out."""
_ANY_SCOPE = 255
"""RT_SCOPE_NOWHERE, which in the removal of a route means that its scope plays no part."""
_FAMILIES = {IPV4: socket.AF_INET, IPV6: socket.AF_INET6}
_EVERYWHERE = {IPV4: "0.0.0.0/0", IPV6: "::/0"}

_Answer = TypeVar("_Answer")


class Namespaces:
    """Network namespaces of this node, by path."""

    def own_netns(self, netns: str) -> bool:
        """Tell whether the path leads to the namespace of this process."""
        try:
            own, other = os.stat(_OWN), os.stat(netns)
        except OSError:
            return False
        return (own.st_dev, own.st_ino) == (other.st_dev, other.st_ino)

    def link_exists(self, netns: str, ifname: str) -> bool:
        """Tell whether a link of this name is in the namespace."""
        return inside(netns, lambda: bool(_index(ifname)))

    def default_route_families(self, netns: str, ifname: str) -> frozenset[int]:
        """Return the families for which a default route leads through the link."""

        def look() -> frozenset[int]:
            index = _index(ifname)
            with _netlink() as netlink:
                return frozenset(
                    family for family in _FAMILIES if _default_hops(netlink, family, index)
                )

        return inside(netns, look)

    def replace_default_routes(
        self, netns: str, ifname: str, *, families: Iterable[int], gateways: Sequence[str]
    ) -> None:
        """Remove the link's default routes of these families, then add one for each gateway."""

        def change() -> None:
            index = _index(ifname)
            if not index and gateways:
                raise CniError(
                    Code.DEFAULT_ROUTE,
                    f"there is no interface {ifname} for the default route",
                    "ask for default-route only on networks that make an interface",
                )
            with _netlink() as netlink:
                for family in families:
                    # looked for anew each time: IPv4 removes a shared route at once, IPv6 in parts
                    while hops := _default_hops(netlink, family, index):
                        _delete(netlink, family, index, hops[0])
                for gateway in gateways:
                    _add(netlink, index, ifname, gateway)

        inside(netns, change)


def inside(netns: str, action: Callable[[], _Answer]) -> _Answer:
    """Return what ``action`` returns in the network namespace at this path."""
    outcome: list[_Answer] = []
    failure: list[BaseException] = []

    def enter() -> None:
        try:
            _set_netns(netns)
            outcome.append(action())
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
            failure.append(error)

    thread = threading.Thread(target=enter, name=f"netns {netns}")
    thread.start()
    thread.join()
    if not failure:
        return outcome[0]
    if isinstance(failure[0], OSError):
        raise mishaps.blind(netns, str(failure[0].strerror)) from failure[0]
    raise failure[0]


def _set_netns(netns: str) -> None:
    descriptor = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _setns(descriptor)
    finally:
        os.close(descriptor)


if sys.version_info >= (3, 12):

    def _setns(descriptor: int) -> None:
        os.setns(descriptor, os.CLONE_NEWNET)

else:

    def _setns(descriptor: int) -> None:
        import ctypes  # not needed from Python 3.12 on

        if ctypes.CDLL(None, use_errno=True).setns(descriptor, 0x40000000):  # CLONE_NEWNET
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))


def _netlink() -> IPRoute:
    from pyroute2 import IPRoute  # a quarter of a second, for few pods

    return IPRoute()


def _index(ifname: str) -> int:
    """Return the index of a link, or 0, which is no link's, if it does not exist."""
    return {name: index for index, name in socket.if_nameindex()}.get(ifname, 0)


@dataclass(frozen=True, slots=True)
class _Hop:
    """One way out: a default route, or a part of one that is shared between links."""

    gateway: str | None
    priority: int | None


def _default_hops(netlink: IPRoute, family: int, index: int) -> list[_Hop]:
    """Return the ways to everywhere in the main table that lead through the link."""
    hops = []
    for route in netlink.get_routes(family=_FAMILIES[family], table=_MAIN_TABLE):
        if route["dst_len"] != 0 or route.get("type") != _UNICAST:
            continue
        hops += [
            _Hop(hop.get("gateway"), route.get("priority"))
            for hop in route.get("multipath") or [route]
            if hop.get("oif") == index
        ]
    return hops


def _delete(netlink: IPRoute, family: int, index: int, hop: _Hop) -> None:
    optional = {"gateway": hop.gateway, "priority": hop.priority}
    wanted = {key: value for key, value in optional.items() if value is not None}
    with _explained(f"cannot remove the default route through {hop.gateway or 'the link'}"):
        netlink.route(
            "del",
            dst=_EVERYWHERE[family],
            family=_FAMILIES[family],
            table=_MAIN_TABLE,
            scope=_ANY_SCOPE,
            oif=index,
            **wanted,
        )


def _add(netlink: IPRoute, index: int, ifname: str, gateway: str) -> None:
    family = address_family(gateway)
    with _explained(f"cannot set the default route through {gateway} on {ifname}"):
        netlink.route(
            "add",
            dst=_EVERYWHERE[family],
            family=_FAMILIES[family],
            table=_MAIN_TABLE,
            oif=index,
            gateway=gateway,
        )


@contextmanager
def _explained(what: str) -> Iterator[None]:
    from pyroute2 import NetlinkError

    try:
        yield
    except NetlinkError as error:
        raise CniError(
            Code.DEFAULT_ROUTE,
            f"{what}: {os.strerror(error.code)}",
            "name a gateway in the subnet of the network's own address",
        ) from error
