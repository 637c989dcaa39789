"""DEL and CHECK: release, or look at, what an earlier ADD attached.

Both work from the record, with the configuration, arguments and capabilities of that ADD. What has
happened in the cluster since then plays no part.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from multus_py.cni.errors import CniError, Code, joined
from multus_py.cni.request import Attachment
from multus_py.core import recall
from multus_py.core.execution import Executor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from multus_py.cni.result import Result
    from multus_py.core.ports import Store
    from multus_py.core.session import Session
    from multus_py.models.delegate import Delegate, Record

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    """A network whose plugins did not confirm a DEL."""

    error: CniError
    was_attached: bool
    """Whether its ADD is known to have succeeded."""


def delete(session: Session) -> None:
    """Release the request's container. The record stays until every plugin has confirmed."""
    refuse_own_netns(session)
    container_id = session.request.container_id
    with session.store.lock(container_id, session.budget.left / 2):
        recalled = recall.recalled(session)
        executor = Executor(session, seconds=lambda: session.budget.left)
        failures = release(session.store, executor, recalled.attached)
        errors = settle(session, recalled.record, failures)
    if errors:
        raise joined(errors)


def check(session: Session) -> None:
    """Ask the plugins of every network whether the container is still attached to it."""
    with session.store.lock(session.request.container_id, session.budget.forward()):
        executor = Executor(session, seconds=session.budget.forward)
        for delegate, last in recall.recalled(session).attached:
            executor.check(delegate, last)


def release(
    store: Store, executor: Executor, attached: Sequence[tuple[Delegate, Result | None]]
) -> list[Failure]:
    """Run DEL for networks in reverse order, and return which of them failed.

    The cached result of a network goes with it; that of one that failed is kept for the next try.
    """
    failures = []
    for delegate, last in reversed(attached):
        try:
            executor.delete(delegate, last)
            forget(store, executor.container_id, delegate)
        except CniError as error:
            _LOG.error("%s", error)  # the answer has room for a few only
            failures.append(Failure(error, was_attached=last is not None))
        else:
            _LOG.info("Del: %s(%s):%s", delegate.name, delegate.network.name, delegate.ifname)
    return failures


def settle(session: Session, record: Record, failures: Sequence[Failure]) -> list[CniError]:
    """Delete the record, or keep it for another try; return the errors that are to be reported.

    Plugins refuse a DEL for ever if their configuration cannot work, as with the name of a parent
    interface that does not exist. Then their ADD never succeeded either, and after some tries the
    pod is let go. A network that was attached is never given up.
    """
    attempts = record.attempts + 1
    never_attached = not any(failure.was_attached for failure in failures)
    if failures and not (never_attached and attempts >= session.config.release_attempts):
        session.store.write_record(replace(record, attempts=attempts))
        return [failure.error for failure in failures]
    for failure in failures:
        _LOG.error("given up after %d tries, never attached: %s", attempts, failure.error)
    session.store.delete_record(record.attachment)
    return []


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
