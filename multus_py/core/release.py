"""DEL and CHECK: release, or look at, what an earlier ADD attached.

Both work from the record, with the configuration, arguments and capabilities of that ADD. What has
happened in the cluster since then plays no part.

Whatever is no :class:`~multus_py.cni.errors.CniError`, such as the loss of the connection to the
host in the midst of it, ends a release where it is: no try is counted, the record stays as it was.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from multus_py.cni.errors import CniError, Code, joined
from multus_py.cni.request import Attachment
from multus_py.core import pods, recall
from multus_py.core.budget import Shares
from multus_py.core.execution import Executor, NothingOwedError
from multus_py.core.ports import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from multus_py.core.ports import Host, Store
    from multus_py.core.recall import Attached
    from multus_py.core.session import Session
    from multus_py.models.cached import CachedResult
    from multus_py.models.delegate import Delegate, Record

RELEASE_PENDING = "ReleasePending"
"""Reason of the event about a network that was not released although the pod is let go."""

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    """A network whose plugins did not confirm a DEL."""

    delegate: Delegate
    error: CniError
    was_attached: bool
    """Whether its plugins may have done something that is still there."""

    @property
    def later(self) -> bool:
        """Whether the plugin asks to be tried again later, which is no refusal."""
        return self.error.code == Code.TRY_AGAIN_LATER


@dataclass(frozen=True, slots=True)
class Settled:
    """How a release ended."""

    errors: list[CniError]
    """What was not confirmed and remains recorded."""
    pending: bool = False
    """Whether it goes on without the runtime."""

    @property
    def reported(self) -> list[CniError]:
        """What the runtime is to hear."""
        return [] if self.pending else self.errors


def delete(session: Session) -> None:
    """Release the request's container. The record stays until every plugin has confirmed."""
    refuse_own_netns(session)
    request = session.request
    known = _attempts(session)
    with session.store.lock(request.container_id, session.budget.left / 2):
        recalled = recall.recalled(session)
        failures = released(session, request.container_id, recalled.attached, request.netns)
        # those that wait for one another ask at one moment, and are one try
        counts = recalled.record.attempts <= known
        settled = settle(session, recalled.record, failures, counts=counts)
    if settled.reported:
        raise summed(settled.reported)


def check(session: Session) -> None:
    """Ask the plugins of every network whether the container is still attached to it."""
    with session.store.lock(session.request.container_id, session.budget.forward()):
        executor = Executor(session, seconds=session.budget.forward)
        for delegate, last in recall.recalled(session).attached:
            executor.check(delegate, last)


def released(
    session: Session,
    container_id: str,
    attached: Attached,
    netns: str,
    *,
    seconds: Callable[[], float] | None = None,
) -> list[Failure]:
    """Run DEL for networks of a container in reverse order, and return which of them failed.

    The cached result of a network goes with it; that of one that failed is kept for the next try.
    The plugins share the time that is left, unless ``seconds`` gives each of them its own.
    """
    shares = seconds or Shares(lambda: session.budget.left, plugins_of(attached))
    executor = Executor(session, seconds=shares, container_id=container_id, netns=netns)
    failures = []
    for delegate, last in reversed(attached):
        try:
            executor.delete(delegate, last)
            forget(session.store, container_id, delegate)
        except CniError as error:
            was_attached = not isinstance(error, NothingOwedError)
            failures.append(Failure(delegate, error, was_attached=was_attached))
        else:
            _LOG.info("Del: %s(%s):%s", delegate.name, delegate.network.name, delegate.ifname)
    return failures


def plugins_of(attached: Attached) -> int:
    """Return how many plugins it takes to release networks."""
    return sum(len(delegate.network.plugins) for delegate, _ in attached)


def abandoned(
    session: Session,
    record: Record,
    netns: str,
    *,
    results: Sequence[CachedResult] = (),
    seconds: Callable[[], float] | None = None,
) -> Settled:
    """Release what a record says of a container that nobody has any more, as DEL does.

    The caller holds the container's lock. ``results`` are the cached results that belong to the
    record; of a broken one they are all that is known.
    """
    recorded = recall.from_record(session, record, results).attached
    attached = recorded or recall.from_results(results)
    container_id = record.attachment.container_id
    failures = released(session, container_id, attached, netns, seconds=seconds)
    known_now = tuple(delegate for delegate, _ in attached)
    return settle(session, replace(record, delegates=known_now), failures)


def settle(
    session: Session, record: Record, failures: Sequence[Failure], *, counts: bool = True
) -> Settled:
    """Delete the record, or keep it for another try.

    Plugins refuse a DEL for ever if their configuration cannot work, as with the name of a parent
    interface that does not exist. Then they have refused ADD too, and after some tries the pod is
    let go. A network that may be attached is never given up: after as many tries its release is
    pending if somebody goes on with it, and otherwise remains an error. ``counts`` tells whether
    this is a try of its own.
    """
    limit = session.config.release_attempts
    never_attached = [failure for failure in failures if not failure.was_attached]
    refused = bool(never_attached) and not any(failure.later for failure in never_attached)
    attempts, refusals = record.attempts + counts, record.refusals + (refused and counts)
    owed = [
        failure for failure in failures if failure.was_attached or failure.later or refusals < limit
    ]
    tried = replace(record, attempts=attempts, refusals=refusals)
    if owed and not record.pending and not (attempts >= limit and session.keeps_pending):
        session.store.write_record(_remaining(tried, failures))
        return Settled([failure.error for failure in failures])
    for failure in failures:
        if failure not in owed:
            _LOG.error("given up after %d tries, never attached: %s", attempts, failure.error)
    if not owed:
        session.store.delete_record(record.attachment)
        return Settled([])
    session.store.write_record(_pending(tried, owed))
    settled = Settled([failure.error for failure in owed], pending=session.keeps_pending)
    if not record.pending:
        _tell_pending(session, attempts, settled.errors)
    return settled


def undone(record: Record, failures: Sequence[Failure], before: Record | None) -> Record:
    """Return the record of an ADD that failed and was undone, except for some networks.

    ``before`` is that of an earlier ADD which succeeded: it holds again, and has these networks
    too from now on.
    """
    remaining = _remaining(record, failures)
    if before is None:
        return remaining
    known = {(delegate.network.name, delegate.ifname) for delegate in before.delegates}
    more = tuple(
        _by_name(delegate)
        for delegate in remaining.delegates
        if delegate.begun != 0 and (delegate.network.name, delegate.ifname) not in known
    )
    return replace(before, delegates=before.delegates + more)


def owing(delegate: Delegate, failures: Sequence[Failure]) -> Delegate:
    """Return a delegate with what there is still to release of it after a DEL."""
    for failure in failures:
        if replace(failure.delegate, begun=delegate.begun) == delegate:
            return failure.delegate if failure.was_attached else replace(delegate, begun=0)
    return replace(delegate, begun=0)


def finish_earlier(session: Session) -> Record | None:
    """Release what is left of an earlier ADD of the request's attachment, before it is made anew.

    Its record is about to be replaced, and with it all knowledge of what it owes: an ADD that was
    killed or could not be undone, a DEL that failed, a release that is pending. What cannot be
    released is an error. If an earlier ADD succeeded, nothing is released, as Multus does it; what
    the new one does not attach is known by its cached result. Then that record is returned.
    """
    record = recall.recorded(session)
    if record is None:
        return None
    attached = recall.from_record(session, record).attached
    if not record.pending and all(last and one.begun is None for one, last in attached):
        return record
    owed = [(one, last) for one, last in attached if last or one.begun != 0]
    if owed:
        _finish(session, replace(record, delegates=tuple(delegate for delegate, _ in owed)))
    return None


def _finish(session: Session, record: Record) -> None:
    known_netns = record.netns == session.request.netns
    netns = record.netns if known_netns else netns_left(session.host, record.netns)
    settled = abandoned(session, record, netns)
    if settled.errors:
        error = summed(settled.errors)
        where = ("release of an earlier attachment", *error.where)
        raise CniError(Code.TRY_AGAIN_LATER, error.cause, error.hint, where=where)


def summed(errors: Sequence[CniError]) -> CniError:
    """Return one error for several; see :func:`log_several`."""
    log_several(errors)
    return joined(errors)


def log_several(errors: Sequence[CniError]) -> None:
    """Log errors that are answered together: the answer has no room for each in full."""
    if len(errors) > 1:
        for error in errors:
            _LOG.error("%s", error)


def netns_left(host: Host, netns: str) -> str:
    """Return the path of a namespace for a late DEL; nothing if it is gone, or may be another's.

    A path below /proc is that of a process, whose number somebody else may have by now.
    """
    return netns if is_there(host, netns) and not netns.startswith("/proc/") else ""


def is_there(host: Host, netns: str) -> bool:
    """Tell whether a network namespace is on the node."""
    return bool(netns) and host.wait_for_file(netns, 0.0)


def forget(store: Store, container_id: str, delegate: Delegate) -> None:
    """Delete what the node's disk holds about one network that was released."""
    store.delete_result(Attachment(container_id, delegate.ifname), delegate.network.name)
    if delegate.device_info_file:
        store.delete_device_info(delegate.device_info_file)


def refuse_own_netns(session: Session) -> None:
    """Refuse a request about the namespace of the node itself; plugins would take its links."""
    request = session.request
    if request.netns and not request.own_netns_allowed and session.host.own_netns(request.netns):
        raise CniError(
            Code.INVALID_NETNS,
            f"CNI_NETNS {request.netns} is the network namespace of the node itself",
            "name the pod's namespace; pods on the host network need no CNI plugin",
        )


def _attempts(session: Session) -> int:
    """Return how many DELs have failed by now; none if the record is broken."""
    try:
        record = session.store.read_record(session.request.attachment)
    except CniError as error:
        if error.code == Code.IO_FAILURE:
            raise
        return 0
    return record.attempts if record else 0


def _remaining(record: Record, failures: Sequence[Failure]) -> Record:
    """Return a record with what there is still to release of each network."""
    delegates = tuple(owing(delegate, failures) for delegate in record.delegates)
    return replace(record, delegates=delegates)


def _pending(record: Record, owed: Sequence[Failure]) -> Record:
    """Return the record of what is owed alone."""
    kept = [failure.delegate for failure in owed]
    delegates = tuple(_by_name(delegate) for delegate in record.delegates if delegate in kept)
    return replace(record, pending=True, delegates=delegates)


def _by_name(delegate: Delegate) -> Delegate:
    """Return a delegate that has its interface as a request.

    Multus finds out names of interfaces by counting, so what moves in a record would lose its own.
    """
    return replace(delegate, requests=replace(delegate.requests, ifname=delegate.ifname))


def _tell_pending(session: Session, attempts: int, errors: Sequence[CniError]) -> None:
    for error in errors:
        _LOG.error("%s: release pending after %d tries: %s", session.place, attempts, error)
    pod = pods.find_for_release(session)
    if pod and session.cluster:
        session.cluster.emit(pod, Event("Warning", RELEASE_PENDING, joined(errors).message()))
