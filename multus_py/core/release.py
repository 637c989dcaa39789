"""DEL and CHECK: release, or look at, what an earlier ADD attached.

Both work from the record, with the configuration, arguments and capabilities of that ADD. What has
happened in the cluster since then plays no part.
"""

from __future__ import annotations

import logging
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
    from multus_py.models.delegate import Delegate

_LOG = logging.getLogger(__name__)


def delete(session: Session) -> None:
    """Release the request's container. The record stays until every plugin has confirmed."""
    refuse_own_netns(session)
    store, attachment = session.store, session.request.attachment
    with store.lock(attachment.container_id, session.budget.left / 2):
        attached = recall.attached(session)
        executor = Executor(session, seconds=lambda: session.budget.left)
        errors = release(store, executor, attached)
        if errors:
            raise joined(errors)
        store.delete_record(attachment)


def check(session: Session) -> None:
    """Ask the plugins of every network whether the container is still attached to it."""
    with session.store.lock(session.request.container_id, session.budget.forward()):
        executor = Executor(session, seconds=session.budget.forward)
        for delegate, last in recall.attached(session):
            executor.check(delegate, last)


def release(
    store: Store, executor: Executor, attached: Sequence[tuple[Delegate, Result | None]]
) -> list[CniError]:
    """Run DEL for networks in reverse order, and return the errors of those that failed.

    The cached result of a network goes with it; that of one that failed is kept for the next try.
    """
    errors = []
    for delegate, last in reversed(attached):
        try:
            executor.delete(delegate, last)
            forget(store, executor.container_id, delegate)
        except CniError as error:
            errors.append(error)
        else:
            _LOG.info("Del: %s(%s):%s", delegate.name, delegate.network.name, delegate.ifname)
    return errors


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
