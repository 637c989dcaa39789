"""Releasing what nobody uses any more, although no runtime has asked for it.

Two things are released: what is pending, and what is dead. Dead is an attachment whose network
namespace is gone: then no container can use it, whether its pod is gone as well or has, or will
get, another sandbox. While the namespace is there nothing is touched, as the container may run even
if the API server has lost its pod. Where nobody wrote the namespace down, the pod decides: then a
list that lacks it is a reason to ask the API server for it by name, and its answer is what counts.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from multus_py.cni.errors import CniError, Code
from multus_py.cni.request import Request
from multus_py.core import inventory, pods, recall, release
from multus_py.models.delegate import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from multus_py.cni.document import JsonObject
    from multus_py.core.inventory import Entry, Pods
    from multus_py.core.ports import Host
    from multus_py.core.release import Settled
    from multus_py.core.session import Session

PENDING = "its release is pending"
POD_GONE = "its pod is gone"
SANDBOX_GONE = "its sandbox is gone"

_LOCK_SECONDS = 0.5
"""A container whose request takes longer than this is at work."""


@dataclass(frozen=True, slots=True)
class Dead:
    """What is to be released, and why."""

    entry: Entry
    cause: str
    unconfirmed: bool = False
    """Whether nothing but a list of pods that lacks its own says so, which may be of another node
    or of another time. It is released if the API server, asked for the pod, does not have it."""


def found(entries: Sequence[Entry], known: Pods | None, host: Host) -> list[Dead]:
    """Return what is to be released. Without knowledge of the pods nothing is called dead."""
    pending = [Dead(entry, PENDING) for entry in entries if entry.pending]
    if known is None:
        return pending
    others = [entry for entry in entries if not entry.pending]
    there = {
        netns: release.is_there(host, netns) for netns in {entry.netns for entry in others} - {""}
    }
    blind = bool(there) and not any(there.values())
    if blind and any(known.of(entry) for entry in others):
        # a view of the node in which not one pod has a namespace is not the node's
        return pending
    causes = ((entry, _cause(entry, known, there)) for entry in others)
    return pending + [
        Dead(entry, cause, unconfirmed=blind or not entry.netns) for entry, cause in causes if cause
    ]


def request(entry: Entry, *, path: tuple[str, ...], config: JsonObject) -> Request:
    """Return the request that a runtime would make, had it not forgotten about it."""
    return Request(
        command="DEL",
        container_id=entry.attachment.container_id,
        ifname=entry.attachment.ifname,
        args=entry.arguments,
        path=path,
        config=config,
    )


def perform(session: Session, dead: Dead) -> Settled | None:
    """Release an attachment; None if it is in use, at work or changed by now.

    ADD works under the same lock, so what is looked at here stays as it is. An error as well if the
    API server has to be asked and does not answer.
    """
    entry = dead.entry
    if dead.unconfirmed and not pods.is_gone(session):
        return None
    with ExitStack() as held:
        try:
            held.enter_context(session.store.lock(entry.attachment.container_id, _LOCK_SECONDS))
        except CniError as error:
            if error.code != Code.TRY_AGAIN_LATER:
                raise
            return None
        if inventory.current(session.store, entry) != entry:
            return None
        if not entry.pending and release.is_there(session.host, entry.netns):
            return None
        netns = release.netns_left(session.host, entry.netns)
        record = _record(session, entry)
        return release.abandoned(session, record, netns, results=entry.results)


def _cause(entry: Entry, known: Pods, there: dict[str, bool]) -> str:
    """Return why an attachment is dead, nothing if it may be in use."""
    pod = known.of(entry)
    if entry.netns:
        gone = SANDBOX_GONE if pod else POD_GONE
        return "" if there[entry.netns] else gone
    return POD_GONE if entry.uid and not pod else ""


def _record(session: Session, entry: Entry) -> Record:
    if entry.record:
        return replace(entry.record, netns=entry.netns)
    return Record(
        attachment=entry.attachment,
        netns=entry.netns,
        owner=session.config.name,
        delegates=tuple(filter(None, map(recall.from_result, entry.results))),
    )
