"""What this node's disk says of each attachment: its record, its cached results, whose it is.

The pod is the one that the runtime named in ``CNI_ARGS``. In records that Multus wrote, arguments
and namespace are missing; the CNI library's cache has them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from multus_py.cni import arguments
from multus_py.cni.errors import CniError, Code
from multus_py.cni.request import Attachment
from multus_py.models.delegate import Delegate, Record
from multus_py.models.objects import CONFIG_HASH, ObjectRef

if TYPE_CHECKING:
    from collections.abc import Iterable

    from multus_py.core.ports import Store
    from multus_py.models.cached import CachedResult
    from multus_py.models.objects import Pod

_REQUESTS = ("MAC", "IP")
"""Arguments of ADD that ask a plugin for something; the runtime did not pass them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One attachment: a record with its cached results, or results that have no record."""

    attachment: Attachment
    """The interface is empty where Multus did not record it."""
    record: Record | None = None
    """Without delegates if it cannot be read."""
    results: tuple[CachedResult, ...] = ()

    @property
    def pending(self) -> bool:
        """Whether the runtime was told that it is released."""
        return self.record is not None and self.record.pending

    @property
    def unreadable(self) -> bool:
        """Whether there is a record that cannot be read: what it names may be in use."""
        return self.record is not None and not self.record.delegates

    @property
    def netns(self) -> str:
        """The network namespace of its ADD, nothing if nobody wrote it down."""
        recorded = self.record.netns if self.record else ""
        return recorded or next((cached.netns for cached in self.results if cached.netns), "")

    @property
    def arguments(self) -> str:
        """The ``CNI_ARGS`` of its ADD."""
        return arguments.joined(tuple(self._pairs().items()))

    @property
    def uid(self) -> str:
        """The UID of its pod, as the runtime knows it."""
        return self._pairs().get(arguments.POD_UID, "")

    @property
    def pod(self) -> ObjectRef:
        """The name of its pod; both parts are empty where the runtime named none."""
        pairs = self._pairs()
        return ObjectRef(pairs.get(arguments.POD_NAMESPACE, ""), pairs.get(arguments.POD_NAME, ""))

    @property
    def attached(self) -> tuple[Delegate, ...]:
        """The recorded networks whose ADD is known to have succeeded."""
        recorded = self.record.delegates if self.record else ()
        return tuple(
            delegate
            for delegate in recorded
            if any(_is_result_of(cached, delegate) for cached in self.results)
        )

    def result_of(self, delegate: Delegate) -> CachedResult:
        """Return the cached result of a network that is attached."""
        return next(cached for cached in self.results if _is_result_of(cached, delegate))

    def _pairs(self) -> dict[str, str]:
        recorded = self.record.delegates if self.record else ()
        known = [delegate.cni_args for delegate in recorded if delegate.cni_args is not None]
        known += [cached.cni_args for cached in self.results]
        return {
            key: value
            for key, value in (known[0] if known else ())
            if key not in _REQUESTS and not {";", "="} & {*key, *value}
        }


class Pods:
    """Pods, found by what the runtime calls them: static ones have another UID there."""

    def __init__(self, pods: Iterable[Pod]) -> None:
        self._by_ref = {pod.ref: pod for pod in pods}
        known = self._by_ref.values()
        hashes = {pod.annotations.get(CONFIG_HASH, ""): pod for pod in known if pod.static}
        self._by_uid = hashes | {pod.uid: pod for pod in known}

    def of(self, entry: Entry) -> Pod | None:
        """Return the pod of an attachment, None if it is not among them."""
        if not entry.uid:
            return self._by_ref.get(entry.pod)
        return self._by_uid.get(entry.uid)


def entries(store: Store) -> list[Entry]:
    """Return every attachment that is on the disk."""
    results: dict[str, list[CachedResult]] = {}
    for cached in store.results():
        if cached.container_id and cached.config:
            results.setdefault(cached.container_id, []).append(cached)
    found = []
    for record in sorted(store.records(), key=lambda record: not record.delegates):
        unclaimed = results.get(record.attachment.container_id, [])
        claimed = tuple(cached for cached in unclaimed if _is_result_in(cached, record))
        unclaimed[:] = [cached for cached in unclaimed if cached not in claimed]
        found.append(Entry(attachment=record.attachment, record=record, results=claimed))
    for container_id, left in results.items():
        if left:
            place = Attachment(container_id, left[0].ifname)
            found.append(Entry(attachment=place, results=tuple(left)))
    return found


def current(store: Store, entry: Entry) -> Entry:
    """Return what is on the disk of an attachment by now."""
    place = entry.attachment
    try:
        record = store.read_record(place)
    except CniError as error:
        if error.code != Code.DECODING_FAILURE:
            raise
        record = Record(attachment=place, delegates=())
    return replace(entry, record=record, results=results_left(store, entry))


def results_left(store: Store, entry: Entry) -> tuple[CachedResult, ...]:
    """Return those of an attachment's cached results that are on the disk by now."""
    read = (
        store.read_result(
            Attachment(entry.attachment.container_id, cached.ifname), cached.network_name
        )
        for cached in entry.results
    )
    return tuple(cached for cached in read if cached)


def _is_result_in(cached: CachedResult, record: Record) -> bool:
    """Tell whether a result belongs to a record; to a broken one belongs what is left."""
    return not record.delegates or any(
        _is_result_of(cached, delegate) for delegate in record.delegates
    )


def _is_result_of(cached: CachedResult, delegate: Delegate) -> bool:
    same_name = cached.network_name == delegate.network.name
    return same_name and delegate.ifname in {"", cached.ifname}
