"""Pods that run without the networks that their annotations ask for.

Such a pod was started while another CNI configuration was first, or before this plugin was there at
all: its sandbox never came by. Only what annotations say is looked at, and only networks whose ADD
is known to have succeeded count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from multus_py.cni.errors import CniError, clip
from multus_py.models import objects, selection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from multus_py.core.inventory import Entry
    from multus_py.models.delegate import Delegate
    from multus_py.models.objects import LivePod, ObjectRef, Pod

_NEVER_CAME_BY = (
    "it was started by another CNI configuration, or before multus-py was installed here"
)
_CHANGED = "they were not among what it was started with"
_REMEDY = "delete the pod; its controller makes a new one that gets its networks"
_STATIC = "move the pod's file out of the kubelet's directory and back"
_NAMES_LIMIT = 80


def concerns(live: LivePod) -> bool:
    """Tell whether a pod should have networks of its own choice by now."""
    running = live.phase == "Running" and not live.deleting
    return running and not live.host_network and objects.asks_for_networks(live.pod)


def lack(pod: Pod, entries: Sequence[Entry], multus_namespace: str) -> str:
    """Return what a pod runs without, and what to do; nothing if it has all that it asks for.

    ``entries`` are what is known of the pod's own sandboxes.
    """
    sandboxes: dict[str, list[Entry]] = {}
    for entry in entries:
        if not entry.pending:
            sandboxes.setdefault(entry.attachment.container_id, []).append(entry)
    try:
        asked = _asked(pod, multus_namespace)
    except CniError as error:
        # a pod that has come by was asking for something else then, and may well have it
        return "" if sandboxes else f"its annotation names no networks: {error.cause}"
    override = bool(pod.annotations.get(objects.DEFAULT_NETWORK))
    missing = [_missing(asked, known, override=override) for known in sandboxes.values()]
    least = min(missing, key=len, default=asked)
    if not least:
        return ""
    names = clip(", ".join(dict.fromkeys(map(str, least))), _NAMES_LIMIT)
    reason = _CHANGED if missing else _NEVER_CAME_BY
    return f"it runs without {names}: {reason}. Next: {_STATIC if pod.static else _REMEDY}"


def _asked(pod: Pod, multus_namespace: str) -> list[ObjectRef]:
    """Return the definitions that a pod's annotations name."""
    places = (
        (objects.DEFAULT_NETWORK, multus_namespace),
        (objects.NETWORKS, pod.ref.namespace),
    )
    return [
        element.ref(namespace)
        for key, namespace in places
        for element in selection.parse(pod.annotations.get(key, ""), namespace)
    ]


def _missing(
    asked: Sequence[ObjectRef], entries: Sequence[Entry], *, override: bool
) -> list[ObjectRef]:
    """Return what of this is not attached to a sandbox."""
    attached = [delegate for entry in entries for delegate in entry.attached]
    missing = list(asked)
    for delegate in attached:
        ref = next((ref for ref in missing if _is_of(delegate, ref)), None)
        if ref:
            missing.remove(ref)
    return missing[_nameless(entries, attached, override=override) :]


def _is_of(delegate: Delegate, ref: ObjectRef) -> bool:
    """Tell whether a network is that of a definition; who attaches it later may not say which."""
    name = delegate.name
    return name == str(ref) or ("/" not in name and delegate.network.name == ref.name)


def _nameless(entries: Sequence[Entry], attached: Sequence[Delegate], *, override: bool) -> int:
    """Return how many networks are attached of which only the cache knows.

    It does not have the names of definitions. One of them is what every pod has.
    """
    unnamed = [entry for entry in entries if entry.record is None or entry.unreadable]
    found = sum(len(entry.results) for entry in unnamed)
    usual = not override and not any(delegate.master for delegate in attached)
    return max(found - usual, 0)
