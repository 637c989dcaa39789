"""GC: release what the runtime no longer has, and let plugins clean up behind it.

Specification: "GC: Clean up any stale resources". The runtime lists the attachments of this network
configuration that are valid. Everything else that was attached under it is released from its
record, or from the CNI library's cache where Multus left no record.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
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
            known.add(record.attachment.container_id, recall.from_record(session, record))
        else:
            errors += _release_record(session, record, known)
    errors += _release_unrecorded(session, valid, known)
    errors += _collect_networks(session, valid, known)
    if errors:
        raise joined(errors)


def _valid_attachments(config: JsonObject) -> frozenset[Attachment]:
    """Return what the runtime calls valid. Without a list nothing may be called stale."""
    for key in VALID_ATTACHMENTS:
        items = config.get(key)
        if items is None:
            continue
        try:
            return frozenset(
                Attachment(str(item["containerID"]), str(item["ifname"])) for item in items
            )
        except (TypeError, LookupError) as error:
            raise CniError(
                Code.INVALID_CONFIGURATION,
                f"{key} is not a list of objects with containerID and ifname",
                "the container runtime sets it",
            ) from error
    raise CniError(
        Code.INVALID_CONFIGURATION,
        f"GC needs {VALID_ATTACHMENTS[0]}, the attachments that are still valid",
        "the container runtime sets it",
    )


def _is_valid(record: Record, valid: frozenset[Attachment]) -> bool:
    """Tell whether the runtime has what a record is about; Multus did not record the interface."""
    container_id, ifname = record.attachment.container_id, record.attachment.ifname
    if ifname:
        return record.attachment in valid
    return any(attachment.container_id == container_id for attachment in valid)


def _release_record(session: Session, record: Record, known: _Known) -> list[CniError]:
    """Release a container that the runtime does not have, unless a request for it is running."""
    container_id = record.attachment.container_id
    try:
        with session.store.lock(container_id, _LOCK_SECONDS):
            attached = recall.from_record(session, record)
            attached = attached or recall.from_cache(session, container_id)
            errors = _release(session, container_id, attached, record.netns)
            if not errors:
                session.store.delete_record(record.attachment)
            return errors
    except CniError as error:
        if error.code != Code.TRY_AGAIN_LATER:
            return [error]
        known.add(container_id, recall.from_record(session, record))
        return []


def _release_unrecorded(
    session: Session, valid: frozenset[Attachment], known: _Known
) -> list[CniError]:
    """Release what only the CNI library's cache knows of: left behind by Multus, or by a crash."""
    errors = []
    valid_containers = {attachment.container_id for attachment in valid}
    cached = {cached.container_id: cached.netns for cached in session.store.results()}
    for container_id, netns in cached.items():
        attached = recall.from_cache(session, container_id)
        if container_id in valid_containers:
            known.add(container_id, attached)
        else:
            errors += _release(session, container_id, attached, netns)
    return errors


def _release(session: Session, container_id: str, attached: Attached, netns: str) -> list[CniError]:
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
