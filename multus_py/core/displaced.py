"""Default routes that a network of a running pod takes from the others, and gives back.

Only those come back whose gateways plugins have reported. A default route without a gateway, or one
that no result speaks of, cannot be told from here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from multus_py.cni.errors import CniError, located
from multus_py.cni.request import Attachment
from multus_py.cni.result import IPV4, IPV6, address_family
from multus_py.core import routes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from multus_py.cni.arguments import Pairs
    from multus_py.core.recall import Attached
    from multus_py.core.session import Session
    from multus_py.models.delegate import Delegate
    from multus_py.models.requests import Requests


def by(requests: Requests, others: Attached) -> Pairs:
    """Return interfaces and gateways of the default routes that are to go for a network."""
    wanted = requests.default_route
    if wanted is None:
        return ()
    families = {address_family(gateway) for gateway in wanted} or {IPV4, IPV6}
    return tuple(
        (other.ifname, gateway)
        for other, last in others
        if last
        for gateway in routes.gateways(last, families)
    )


def families_of(session: Session, delegate: Delegate) -> frozenset[int]:
    """Return the families in which an attached network has the pod's default route."""
    named = frozenset(map(address_family, delegate.requests.default_route or ()))
    if named or not delegate.displaced:
        return named
    try:
        return session.host.default_route_families(session.request.netns, delegate.ifname)
    except CniError:
        return frozenset()  # without the namespace there is nothing to give back


def restore(session: Session, others: Attached, pairs: Iterable[tuple[str, str]]) -> list[CniError]:
    """Set the default routes of other networks again; return which could not be set."""
    lost = list(pairs)
    errors = []
    for delegate, _ in others:
        gateways = [gateway for ifname, gateway in lost if ifname == delegate.ifname]
        families = frozenset(map(address_family, gateways))
        if not families:
            continue
        try:
            with located(f"network {delegate.label}", f"interface {delegate.ifname}"):
                session.host.replace_default_routes(
                    session.request.netns, delegate.ifname, families=families, gateways=gateways
                )
            recache(session, delegate, families, gateways)
        except CniError as error:
            errors.append(error)
    try:
        session.store.settle()
    except CniError as error:
        errors.append(error)
    return errors


def recache(
    session: Session, delegate: Delegate, families: frozenset[int], gateways: list[str]
) -> None:
    """Keep the cached result of another network in step with its default routes."""
    place = Attachment(session.request.container_id, delegate.ifname)
    cached = session.store.read_result(place, delegate.network.name)
    if cached and families:
        changed = routes.edited(cached.result, families, gateways)
        session.store.write_result(replace(cached, result=changed))
