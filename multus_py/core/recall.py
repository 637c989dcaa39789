"""What is attached to a container: from its record, or from whatever else is left of it.

In order: our record or Multus's; the CNI library's cache, which holds everything about networks
that were attached; and, if nothing at all is known, what an ADD would attach today, as plugins have
to accept a DEL for what was never added.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from multus_py.cni.errors import CniError, Code
from multus_py.cni.request import Attachment
from multus_py.core import networks, pods
from multus_py.models.delegate import Delegate, Record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from multus_py.cni.result import Result
    from multus_py.core.session import Session
    from multus_py.models.cached import CachedResult

_LOG = logging.getLogger(__name__)

Attached = list[tuple["Delegate", "Result | None"]]
"""Delegates in the order of their ADD, with the results of their plugins where these are known."""

_USUAL_IFNAME = "eth0"
"""What every container runtime for Kubernetes calls a pod's first interface."""


@dataclass(frozen=True, slots=True)
class Recalled:
    """What is, or may be, attached to a container."""

    attached: Attached
    record: Record
    """The record of it, as it is on disk or would be."""


def recalled(session: Session) -> Recalled:
    """Return what is, or may be, attached to the request's container."""
    record = recorded(session)
    if record and (record.pending or not record.partial):
        return from_record(session, record)
    later = from_record(session, record).attached if record else []
    attached = from_cache(session, session.request.container_id)
    if not attached:
        taken = {delegate.ifname for delegate, _ in later}
        resolved = [delegate for delegate in _resolved(session) if delegate.ifname not in taken]
        # before anything is run there is a record, so most likely nothing was
        attached = [(replace(delegate, begun=0), None) for delegate in resolved]
    attached += later
    made = _record_of(session, attached)
    if record:
        made = replace(
            made,
            netns=made.netns or record.netns,
            attempts=record.attempts,
            refusals=record.refusals,
        )
    return Recalled(attached, made)


def from_record(
    session: Session, record: Record, results: Iterable[CachedResult] | None = None
) -> Recalled:
    """Return what a record says, completed from the cache where Multus wrote it.

    Multus does not write down what it came to: without a result nothing is taken to be attached.
    ``results`` spares reading the whole cache for one interface name, where that was done before.
    """
    container_id = record.attachment.container_id
    found: Attached = []
    for recorded in record.delegates:
        delegate = recorded
        if not delegate.ifname:
            known = session.store.results() if results is None else results
            delegate = replace(delegate, ifname=_cached_ifname(known, container_id, delegate))
        place = Attachment(container_id, delegate.ifname)
        cached = session.store.read_result(place, delegate.network.name)
        if delegate.cni_args is None:
            delegate = _completed(session, delegate, cached)
            delegate = replace(delegate, begun=None if cached else 0)
        found.append((delegate, cached.result if cached else None))
    completed = tuple(delegate for delegate, _ in found)
    return Recalled(found, replace(record, delegates=completed))


def from_cache(session: Session, container_id: str) -> Attached:
    """Return what the CNI library's cache knows of a container and no record mentions."""
    recorded = {
        (delegate.network.name, delegate.ifname)
        for record in session.store.records()
        if record.attachment.container_id == container_id
        for delegate in record.delegates
    }
    return from_results(
        cached
        for cached in session.store.results()
        if cached.container_id == container_id
        and (cached.network_name, cached.ifname) not in recorded
    )


def from_results(results: Iterable[CachedResult]) -> Attached:
    """Return the networks of cached results, as far as these say how they were made."""
    found = ((from_result(cached), cached.result) for cached in results)
    return [(delegate, result) for delegate, result in found if delegate]


def from_result(cached: CachedResult) -> Delegate | None:
    """Return the network of a cached result, None if the result does not say how it was made."""
    if cached.config is None:
        return None
    return Delegate(
        name=cached.network_name,
        network=cached.config,
        ifname=cached.ifname,
        cni_args=cached.cni_args,
        capability_args=cached.capability_args or {},
    )


def recorded(session: Session) -> Record | None:
    """Return the record of the request's attachment, None if there is none that can be read."""
    try:
        return session.store.read_record(session.request.attachment)
    except CniError as error:
        if error.code == Code.IO_FAILURE:
            raise  # it may be whole, and readable the next time
        _LOG.error("%s: the record is lost: %s", session.place, error)
        return None


def _record_of(session: Session, attached: Attached) -> Record:
    return Record(
        attachment=session.request.attachment,
        netns=session.request.netns,
        owner=session.config.name,
        delegates=tuple(delegate for delegate, _ in attached),
    )


def _completed(session: Session, delegate: Delegate, cached: CachedResult | None) -> Delegate:
    """Return a delegate that Multus recorded with what it did not record.

    Multus 4.3 shortens the configuration of a file-based list there; the cache has it whole.
    """
    capability_args = networks.offered(session, delegate, master=delegate.master)
    whole = delegate.network
    if cached and cached.config and whole.chained and cached.config.types == whole.types:
        whole = cached.config
    return replace(
        delegate,
        network=whole,
        cni_args=session.arguments.for_delegates(),
        capability_args=(cached.capability_args if cached else None) or capability_args,
    )


def _cached_ifname(results: Iterable[CachedResult], container_id: str, delegate: Delegate) -> str:
    """Return the interface name of a master whose record, written by Multus, does not have it."""
    for cached in results:
        if (cached.container_id, cached.network_name) == (container_id, delegate.network.name):
            return cached.ifname
    return _USUAL_IFNAME


def _resolved(session: Session) -> tuple[Delegate, ...]:
    """Return what an ADD would attach now, or as much of it as can still be found out."""
    pod = pods.find_for_release(session)
    try:
        return networks.resolve(session, pod)
    except CniError as error:
        _LOG.info("%s: releasing without the pod's own networks: %s", session.place, error)
    try:
        return networks.complete(session, networks.of_node(session))
    except CniError:
        return ()
