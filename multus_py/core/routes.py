"""The pod's default route, where an annotation says which network is to have it.

A selection element with ``default-route`` names gateways: for the families of these gateways its
network gets the pod's default route, through them, and every other network's default route goes.
With an empty list the network keeps whatever default route its plugins made, and the others' go.
Other families and other routes stay. Results and network-status show what plugins answered.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from multus_py.cni.errors import CniError, Code, located
from multus_py.cni.result import IPV4, IPV6, Result, address_family, is_default_route

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from multus_py.cni.document import JsonObject
    from multus_py.core.ports import Host
    from multus_py.models.delegate import Delegate

_EVERYWHERE = {IPV4: "0.0.0.0/0", IPV6: "::/0"}


def filtered(delegates: list[Delegate]) -> list[Delegate]:
    """Return the delegates, marked with the families in which they give way to another.

    Raises an error if more than one gateway of a family is asked for.
    """
    asked = [family for delegate in delegates for family in _families(delegate)]
    if len(asked) != len(set(asked)):
        raise CniError(
            Code.DEFAULT_ROUTE,
            "default-route is asked for more than once in one address family (no ECMP)",
            "name one IPv4 and one IPv6 gateway at most in all networks of the pod",
        )
    if all(delegate.requests.default_route is None for delegate in delegates):
        return delegates
    return [
        replace(
            delegate,
            filter_v4=IPV4 not in _families(delegate),
            filter_v6=IPV6 not in _families(delegate),
        )
        for delegate in delegates
    ]


class DefaultRoutes:
    """Moves the default routes of one pod, network by network as they are attached."""

    def __init__(self, host: Host, netns: str, delegates: Sequence[Delegate]) -> None:
        self._host = host
        self._netns = netns
        self._delegates = delegates
        self._asked = {family for delegate in delegates for family in _families(delegate)}

    def make_way(self, owner: Delegate) -> list[tuple[Delegate, frozenset[int]]]:
        """Remove what is in the way of the default routes that a network names.

        Returns which networks lost the routes of which families.
        """
        families = _families(owner)
        others = [delegate for delegate in self._delegates if delegate is not owner]
        return [(delegate, self._replace(delegate, families, ())) for delegate in others]

    def settle(self, delegate: Delegate) -> frozenset[int]:
        """Give a network that was just attached its place: its routes go, or the asked ones come.

        Returns the families that were touched. Right after the attachment, so that the next
        network's plugins do not collide with a route that is to go anyway.
        """
        gateways = delegate.requests.default_route or ()
        return self._replace(delegate, self._asked, gateways)

    def settle_unnamed(self) -> list[tuple[Delegate, frozenset[int]]]:
        """Let networks with an empty ``default-route`` keep theirs, once all are attached.

        Returns which networks lost the routes of which families.
        """
        lost = []
        for owner in self._delegates:
            if owner.requests.default_route != ():
                continue
            kept = self._host.default_route_families(self._netns, owner.ifname) - self._asked
            self._asked |= kept
            others = [delegate for delegate in self._delegates if delegate is not owner]
            lost += [(delegate, self._replace(delegate, kept, ())) for delegate in others]
        return lost

    def _replace(
        self, delegate: Delegate, families: Iterable[int], gateways: Sequence[str]
    ) -> frozenset[int]:
        touched = frozenset(families)
        if touched:
            with located(f"network {delegate.label}", f"interface {delegate.ifname}"):
                self._host.replace_default_routes(
                    self._netns, delegate.ifname, families=touched, gateways=gateways
                )
        return touched


def gateways(result: Result, families: Iterable[int]) -> list[str]:
    """Return the gateways of the default routes of these families that a result speaks of."""
    routes = result.current.get("routes") or []
    through = [route["gw"] for route in routes if is_default_route(route) and route.get("gw")]
    return [gateway for gateway in through if address_family(gateway) in families]


def edited(result: Result, families: frozenset[int], gateways: Sequence[str]) -> Result:
    """Return a result, for the cache, with the default routes that are in the pod now."""
    if "ip4" in result.document or "ip6" in result.document:
        return _edited_first_shape(result, families, gateways)
    routes = _without_default(result.document.get("routes"), families) + _added(gateways)
    return Result(result.version, _with_routes(result.document, routes))


def _edited_first_shape(
    result: Result, families: frozenset[int], gateways: Sequence[str]
) -> Result:
    changed = dict(result.document)
    for family, key in ((IPV4, "ip4"), (IPV6, "ip6")):
        if changed.get(key) and family in families:
            added = _added(gateway for gateway in gateways if address_family(gateway) == family)
            kept = _without_default(changed[key].get("routes"), families)
            changed[key] = _with_routes(changed[key], kept + added)
    return Result(result.version, changed)


def _without_default(routes: list[JsonObject] | None, families: frozenset[int]) -> list[JsonObject]:
    return [
        route
        for route in routes or []
        if not (is_default_route(route) and address_family(route["dst"]) in families)
    ]


def _with_routes(holder: JsonObject, routes: list[JsonObject]) -> JsonObject:
    kept = {key: value for key, value in holder.items() if key != "routes"}
    return kept | {"routes": routes} if routes else kept


def _added(gateways: Iterable[str]) -> list[JsonObject]:
    return [{"dst": _EVERYWHERE[address_family(gw)], "gw": gw} for gw in gateways]


def _families(delegate: Delegate) -> list[int]:
    return [address_family(gateway) for gateway in delegate.requests.default_route or ()]
