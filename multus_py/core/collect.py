"""GC: release what the runtime no longer has, and let plugins clean up behind it.

Specification: "GC: Clean up any stale resources". The runtime lists the attachments of this network
configuration that are valid. Everything else that was attached under it is released from its
record, or from the CNI library's cache where Multus left no record.

Of a record that cannot be read nobody knows under which configuration it was made, nor all that it
names. Unless its network namespace is gone, nothing of it is released, by us or by a plugin that
was not told of it; that is said instead. What only the cache knows of is left alone as long, too.

libcni writes an empty list of Go as ``null``, and leaves the key out where its caller has none to
give; for both it takes everything for stale. That would be fatal if the caller had just not filled
it in. Here both mean that only those attachments are stale whose network namespace is gone.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from multus_py.cni import document, names
from multus_py.cni.errors import CniError, Code
from multus_py.cni.network import VALID_ATTACHMENTS
from multus_py.cni.request import Attachment
from multus_py.core import inventory, networks, readiness, recall, release
from multus_py.core.budget import Shares
from multus_py.core.execution import Executor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from multus_py.cni.document import JsonObject
    from multus_py.core.inventory import Entry
    from multus_py.core.recall import Attached
    from multus_py.core.session import Session
    from multus_py.models.delegate import Delegate

_LOCK_SECONDS = 2.0
"""A container whose request takes longer than this is at work, and thus not stale."""


@dataclass(slots=True)
class _Known:
    """What is attached on this node and valid: networks, and the attachments to each of them."""

    delegates: dict[bytes, Delegate] = field(default_factory=dict)
    attachments: dict[str, list[Attachment]] = field(default_factory=dict)
    containers: set[str] = field(default_factory=set)
    """Of which everything is known."""
    doubtful: set[str] = field(default_factory=set)
    """Containers that may be at work and have more than is known."""

    def add(self, container_id: str, attached: Attached, *, partial: bool = False) -> None:
        if attached and not partial:
            self.containers.add(container_id)
        for delegate, _ in attached:
            self.delegates.setdefault(document.encode(delegate.network.document), delegate)
            valid = self.attachments.setdefault(delegate.network.name, [])
            valid.append(Attachment(container_id, delegate.ifname))


def collect(session: Session) -> None:
    """Answer GC. All failures are reported together, after everything has been tried."""
    valid = _valid_attachments(session.request.config)
    readiness.wait(session)
    errors = _Collection(session, valid).run()
    if errors:
        raise release.summed(errors)


class _Collection:
    """One GC. The disk is read once, however many containers there are."""

    def __init__(self, session: Session, valid: frozenset[Attachment] | None) -> None:
        self._session = session
        self._valid = valid
        self._valid_containers = {attachment.container_id for attachment in valid or ()}
        self._known = _Known()
        self._errors: list[CniError] = []

    def run(self) -> list[CniError]:
        """Do all of it; return what failed."""
        stale = [one for one in inventory.entries(self._session.store) if not self._kept(one)]
        primary = self._primary()
        to_run = [*self._networks(primary), *chain(*map(_delegates, stale))]
        plugins = sum(len(delegate.network.plugins) for delegate in to_run)
        shares = Shares(lambda: self._session.budget.left, plugins)
        for entry in stale:
            self._release(entry, shares)
        self._collect(primary)
        return self._errors

    # -- what is valid

    def _kept(self, entry: Entry) -> bool:
        """Tell whether something on the disk is left as it is, and know it if it is valid."""
        owner = entry.record.owner if entry.record else ""
        foreign = owner not in {"", self._session.config.name}
        unowned = entry.record is None or entry.unreadable
        in_doubt = unowned and not self._is_gone(entry)
        if self._is_valid(entry) or foreign or in_doubt or self._in_use(entry):
            self._know(entry)
            return True
        return False

    def _is_valid(self, entry: Entry) -> bool:
        """Tell whether the runtime has it; Multus did not record the interface."""
        attachment = entry.attachment
        if self._valid is None:
            return not self._is_gone(entry)
        if entry.record and attachment.ifname:
            return attachment in self._valid
        return attachment.container_id in self._valid_containers

    def _is_gone(self, entry: Entry) -> bool:
        """Tell whether its network namespace was written down and is not there any more."""
        return bool(entry.netns) and not release.is_there(self._session.host, entry.netns)

    def _in_use(self, entry: Entry) -> bool:
        """Tell whether the container of a hot attachment lives, by whichever ID it was named."""
        record = entry.record
        partial = record is not None and record.partial and not record.pending
        return partial and release.is_there(self._session.host, entry.netns)

    def _know(self, entry: Entry) -> None:
        record, whole = entry.record, False
        with self._gathered():
            attached = recall.from_results(entry.results)
            if record and record.delegates:
                attached = recall.from_record(self._session, record, entry.results).attached
            partial = entry.unreadable or (record is not None and record.partial)
            self._known.add(entry.attachment.container_id, attached, partial=partial)
            whole = not entry.unreadable
        if not whole:
            self._known.doubtful.add(entry.attachment.container_id)
        if entry.unreadable:
            self._errors.append(_unreadable(entry))

    # -- what is stale

    def _release(self, entry: Entry, seconds: Callable[[], float]) -> None:
        """Release what the runtime does not have, unless a request for the container is running."""
        try:
            with self._session.store.lock(entry.attachment.container_id, _LOCK_SECONDS):
                self._errors += self._released(entry, seconds)
        except CniError as error:
            if error.code == Code.TRY_AGAIN_LATER:
                self._know(entry)
            else:
                self._errors.append(error)

    def _released(self, entry: Entry, seconds: Callable[[], float]) -> list[CniError]:
        """Release what is there by now: the runtime may have done it itself meanwhile."""
        if entry.record is None:
            left = inventory.results_left(self._session.store, entry)
            failures = release.released(
                self._session,
                entry.attachment.container_id,
                recall.from_results(left),
                entry.netns,
                seconds=seconds,
            )
            return [failure.error for failure in failures]
        now = inventory.current(self._session.store, entry)
        if now.record is None:
            return []
        if now.unreadable and not entry.unreadable:
            self._know(now)
            return []
        return release.abandoned(
            self._session, now.record, entry.netns, results=now.results, seconds=seconds
        ).reported

    # -- plugins

    def _primary(self) -> tuple[Delegate, ...]:
        """Return the network that every pod has."""
        with self._gathered():
            of_node = networks.of_node(self._session)
            return networks.complete(self._session, of_node)[:1] if of_node else ()
        return ()

    def _networks(self, primary: Sequence[Delegate]) -> list[Delegate]:
        """Return the networks to collect: the primary one, and every other that is in use.

        A valid attachment that nothing is known of may have networks that nothing is known of. Then
        only the primary one is collected, as the others' plugins would release what is in use; and
        not even that, if somebody may be attached to it under an interface that nobody knows.
        """
        known = self._known
        if not known.doubtful <= self._valid_containers | self._attached_to(primary):
            return []
        if known.doubtful or not self._valid_containers <= known.containers:
            return list(primary)
        of_primary = {document.encode(one.network.document) for one in primary}
        others = known.delegates.items()
        return [*primary, *(one for key, one in others if key not in of_primary)]

    def _attached_to(self, networks: Sequence[Delegate]) -> set[str]:
        """Return the containers that are known to be attached to one of these."""
        places = (self._known.attachments.get(one.network.name, ()) for one in networks)
        return {place.container_id for place in chain(*places)}

    def _collect(self, primary: Sequence[Delegate]) -> None:
        delegates = self._networks(primary)
        plugins = sum(len(delegate.network.plugins) for delegate in delegates)
        executor = Executor(self._session, seconds=Shares(self._session.budget.forward, plugins))
        for delegate in delegates:
            places = set(self._known.attachments.get(delegate.network.name, ()))
            if delegate in primary:
                places |= self._valid or frozenset()
            with self._gathered():
                executor.collect(delegate, _listed(places))

    @contextmanager
    def _gathered(self) -> Iterator[None]:
        """Keep an error for the end: what is broken in one place must not keep the others."""
        try:
            yield
        except CniError as error:
            self._errors.append(error)


def _unreadable(entry: Entry) -> CniError:
    return CniError(
        Code.DECODING_FAILURE,
        f"the record of container {entry.attachment.container_id} cannot be read, so it is left "
        "alone, and networks that it may have are not collected",
        "if there is no such container, delete the file of that name in cniDir",
    )


def _delegates(entry: Entry) -> tuple[Delegate, ...]:
    """Return what is on the disk of something, nothing if it is not ours at all."""
    if entry.record and entry.record.delegates:
        return entry.record.delegates
    return tuple(delegate for delegate, _ in recall.from_results(entry.results))


def _valid_attachments(config: JsonObject) -> frozenset[Attachment] | None:
    """Return what the runtime calls valid, None if it does not say."""
    for key in VALID_ATTACHMENTS:
        items = config.get(key)
        if items is None:
            continue
        if not isinstance(items, list):
            raise _invalid(f"{key} is {document.kind(items)}, not a list")
        return frozenset(_attachment(item, f"{key}[{index}]") for index, item in enumerate(items))
    return None


def _attachment(item: object, place: str) -> Attachment:
    """Return one element. A wrong one would make a running container look stale."""
    members = item if isinstance(item, dict) else {}
    container_id, ifname = members.get("containerID"), members.get("ifname")
    if not isinstance(container_id, str) or not names.is_container_id(container_id):
        raise _invalid(f"{place} has no containerID that a container can have")
    if not isinstance(ifname, str) or names.interface_name_fault(ifname):
        raise _invalid(f"{place} has no ifname that an interface can have")
    return Attachment(container_id, ifname)


def _invalid(cause: str) -> CniError:
    return CniError(Code.INVALID_CONFIGURATION, cause, "the container runtime sets it")


def _listed(places: set[Attachment]) -> list[JsonObject]:
    ordered = sorted(places, key=lambda place: (place.container_id, place.ifname))
    return [{"containerID": place.container_id, "ifname": place.ifname} for place in ordered]
