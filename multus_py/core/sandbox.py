"""Finding a running pod's sandbox for callers that name the pod in another way.

multus-dynamic-networks-controller names one of the pod's containers and the namespace of one of its
processes. What plugins are told has to be what the runtime will say when the pod is released.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from multus_py.cni import arguments
from multus_py.cni.arguments import Arguments
from multus_py.cni.errors import CniError, Code
from multus_py.cni.request import Attachment
from multus_py.core import inventory, release
from multus_py.models import objects

if TYPE_CHECKING:
    from multus_py.core.inventory import Entry
    from multus_py.core.session import Session
    from multus_py.models.objects import Pod


@dataclass(frozen=True, slots=True)
class Sandbox:
    """The sandbox of a pod."""

    session: Session
    """The request as if it had named the sandbox."""
    attachment: Attachment
    """What its record is about, or would be."""


def of(session: Session, pod: Pod | None) -> Sandbox:
    """Return the sandbox that a request is about, as the caller names it if nothing is known."""
    entry = _entry(session, pod)
    if entry is None:
        known = session.arguments
        if pod and not known.get(arguments.POD_UID):
            known = Arguments((*known.pairs, (arguments.POD_UID, pod.uid)))
        attachment = Attachment(session.request.container_id, "")
        return Sandbox(replace(session, arguments=known), attachment)
    request = replace(
        session.request,
        container_id=entry.attachment.container_id,
        netns=entry.netns or session.request.netns,
    )
    said = entry.arguments
    told = arguments.parse(said) if said else session.arguments
    attachment = entry.attachment if entry.record else Attachment(request.container_id, "")
    return Sandbox(replace(session, request=request, arguments=told), attachment)


def _entry(session: Session, pod: Pod | None) -> Entry | None:
    """Return what is on disk of the sandbox: that of this container ID, or the pod's living one."""
    uids = _uids(session, pod)
    request = session.request
    entries = inventory.entries(session.store)
    own = [one for one in entries if one.attachment.container_id == request.container_id]
    if any(uids and one.uid and one.uid not in uids for one in own):
        raise CniError(
            Code.INVALID_ENVIRONMENT,
            f"container {request.container_id} is of pod {own[0].pod}, not of {session.pod_ref}",
            "name the container of this pod",
        )
    of_pod = [one for one in entries if not one.pending and _is_of(one, session, uids)]
    found = own or of_pod
    return max(found, key=lambda one: _likeness(session, one)) if found else None


def _likeness(session: Session, entry: Entry) -> tuple[bool, bool, bool]:
    """Return how well an entry fits; a pod may have sandboxes that are not released yet."""
    same = bool(entry.netns) and entry.netns == session.request.netns
    return same, release.is_there(session.host, entry.netns), entry.record is not None


def _is_of(entry: Entry, session: Session, uids: set[str]) -> bool:
    if entry.uid:
        return entry.uid in uids
    return bool(entry.pod.name) and entry.pod == session.pod_ref


def _uids(session: Session, pod: Pod | None) -> set[str]:
    """Return what the pod's UID may be; the runtime knows static pods by a hash of their file."""
    known = {session.arguments.get(arguments.POD_UID)}
    if pod:
        known |= {pod.uid, pod.annotations.get(objects.CONFIG_HASH, "")}
    return known - {""}
