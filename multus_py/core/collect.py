"""GC: release what the runtime no longer has, and let plugins clean up behind it.

Specification: "GC: Clean up any stale resources". The runtime lists the attachments of this network
configuration that are valid. Everything else that was attached under it is released from its
record, or from the CNI library's cache where Multus left no record. A runtime that gives no list,
as libcni allows, calls nothing stale; plugins are then told what we know to be attached.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from multus_py.cni import document
from multus_py.cni.errors import CniError, Code, joined
from multus_py.cni.network import VALID_ATTACHMENTS
from multus_py.cni.request import Attachment
from multus_py.core import networks, readiness, recall, release
from multus_py.core.execution import Executor

if TYPE_CHECKING:
    from multus_py.cni.document import JsonObject
    from multus_py.core.recall import Attached
    from multus_py.core.release import Failure
    from multus_py.core.session import Session
    from multus_py.models.delegate import Delegate, Record

_LOG = logging.getLogger(__name__)

_LOCK_SECONDS = 2.0
"""A container whose request takes longer than this is at work, and thus not stale."""


@dataclass(slots=True)
class _Known:
    """What is attached on this node and valid: networks, and the attachments to each of them."""

    delegates: dict[bytes, Delegate] = field(default_factory=dict)
    attachments: dict[str, list[Attachment]] = field(default_factory=dict)

    def add(self, container_id: str, attached: Attached) -> None:
        for delegate, _ in attached:
            self.delegates.setdefault(document.encode(delegate.network.document), delegate)
            valid = self.attachments.setdefault(delegate.network.name, [])
            valid.append(Attachment(container_id, delegate.ifname))


def collect(session: Session) -> None:
    """Answer GC. All failures are reported together, after everything has been tried."""
    valid = _valid_attachments(session.request.config)
    readiness.wait(session)
    known, errors = _Known(), []
    for record in session.store.records():
        if _is_valid(record, valid) or record.owner not in {"", session.config.name}:
            recalled = recall.from_record(session, record)
            known.add(record.attachment.container_id, recalled.attached)
        else:
            errors += _release_record(session, record, known)
    errors += _release_unrecorded(session, valid, known)
    errors += _collect_networks(session, valid or frozenset(), known)
    if errors:
        raise joined(errors)


def _valid_attachments(config: JsonObject) -> frozenset[Attachment] | None:
    """Return what the runtime calls valid, None if it does not say."""
    for key in VALID_ATTACHMENTS:
        items = config.get(key)
        if items is None:
            continue
        try:
            return frozenset(Attachment(item["containerID"], item["ifname"]) for item in items)
        except (TypeError, LookupError) as error:
            raise CniError(
                Code.INVALID_CONFIGURATION,
                f"{key} is not a list of objects with containerID and ifname",
                "the container runtime sets it",
            ) from error
    return None


def _is_valid(record: Record, valid: frozenset[Attachment] | None) -> bool:
    """Tell whether the runtime has what a record is about; Multus did not record the interface."""
    container_id, ifname = record.attachment.container_id, record.attachment.ifname
    if valid is None:
        return True
    if ifname:
        return record.attachment in valid
    return any(attachment.container_id == container_id for attachment in valid)


def _release_record(session: Session, record: Record, known: _Known) -> list[CniError]:
    """Release a container that the runtime does not have, unless a request for it is running."""
    container_id = record.attachment.container_id
    try:
        with session.store.lock(container_id, _LOCK_SECONDS):
            recalled = recall.from_record(session, record)
            attached = recalled.attached or recall.from_cache(session, container_id)
            failures = _released(session, container_id, attached, record.netns)
            known_now = tuple(delegate for delegate, _ in attached)
            return release.settle(session, replace(record, delegates=known_now), failures)
    except CniError as error:
        if error.code != Code.TRY_AGAIN_LATER:
            return [error]
        known.add(container_id, recall.from_record(session, record).attached)
        return []


def _release_unrecorded(
    session: Session, valid: frozenset[Attachment] | None, known: _Known
) -> list[CniError]:
    """Release what only the CNI library's cache knows of: left behind by Multus, or by a crash."""
    errors = []
    valid_containers = {attachment.container_id for attachment in valid or ()}
    cached = {cached.container_id: cached.netns for cached in session.store.results()}
    for container_id, netns in cached.items():
        attached = recall.from_cache(session, container_id)
        if valid is None or container_id in valid_containers:
            known.add(container_id, attached)
        else:
            failures = _released(session, container_id, attached, netns)
            errors += [failure.error for failure in failures]
    return errors


def _released(session: Session, container_id: str, attached: Attached, netns: str) -> list[Failure]:
    executor = Executor(
        session,
        seconds=lambda: session.budget.left,
        container_id=container_id,
        netns=netns,
    )
    return release.release(session.store, executor, attached)


def _collect_networks(
    session: Session, valid: frozenset[Attachment], known: _Known
) -> list[CniError]:
    """Run GC on the plugins of the cluster network, and of every other network that is in use.

    A valid attachment that nothing is known of may have networks that nothing is known of. Then
    only the cluster network is collected, as the others' plugins would release what is in use.
    """
    recorded = {place.container_id for places in known.attachments.values() for place in places}
    of_node = networks.of_node(session)
    primary = networks.complete(session, of_node)[:1] if of_node else ()
    delegates = {document.encode(delegate.network.document): delegate for delegate in primary}
    if all(attachment.container_id in recorded for attachment in valid):
        delegates |= {key: item for key, item in known.delegates.items() if key not in delegates}
    executor = Executor(session, seconds=session.budget.forward)
    errors = []
    for delegate in delegates.values():
        places = set(known.attachments.get(delegate.network.name, ()))
        if delegate in primary:
            places |= valid
        try:
            executor.collect(delegate, _listed(places))
        except CniError as error:
            errors.append(error)
    return errors


def _listed(places: set[Attachment]) -> list[JsonObject]:
    ordered = sorted(places, key=lambda place: (place.container_id, place.ifname))
    return [{"containerID": place.container_id, "ifname": place.ifname} for place in ordered]
