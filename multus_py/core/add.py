"""ADD: attach a pod to all its networks, or to none of them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from multus_py.cni.errors import CniError, NotFoundError
from multus_py.core import networks, pods, readiness, release
from multus_py.core.attachment import Attachments
from multus_py.core.routes import DefaultRoutes
from multus_py.models import netstatus
from multus_py.models.delegate import Record

if TYPE_CHECKING:
    from multus_py.cni.result import Result
    from multus_py.core.ports import Cluster
    from multus_py.core.session import Session
    from multus_py.models.delegate import Delegate
    from multus_py.models.objects import Pod

_LOG = logging.getLogger(__name__)


def add(session: Session) -> Result:
    """Attach the request's pod to its networks and return the master's result.

    The record is on disk before the first plugin runs. Whatever fails after that is undone in
    reverse order, and the error says both what failed and what could not be undone.
    """
    readiness.wait(session)
    release.refuse_own_netns(session)
    pod = pods.find(session)
    record = Record(
        attachment=session.request.attachment,
        netns=session.request.netns,
        owner=session.config.name,
        delegates=networks.resolve(session, pod),
    )
    with session.store.lock(session.request.container_id, session.budget.forward()):
        before = release.finish_earlier(session)
        session.store.write_record(record)
        return _Addition(session, pod, record, before).run()


class _Addition:
    """The part of an ADD that changes the node."""

    def __init__(
        self, session: Session, pod: Pod | None, record: Record, before: Record | None
    ) -> None:
        self._session = session
        self._pod = pod
        self._record = record
        self._before = before
        self._routes = DefaultRoutes(session.host, session.request.netns, record.delegates)
        self._attachments = Attachments(session, pod)

    def run(self) -> Result:
        """Attach everything and tell about it; undo everything if anything of that fails."""
        try:
            results = [self._attach(delegate) for delegate in self._record.delegates]
            for delegate, families in self._routes.settle_unnamed():
                self._attachments.recache(delegate, families)
            self._settle_and_publish()
        except CniError as error:
            raise error.leaving(self._undo()) from error
        except BaseException:
            self._undo()
            raise
        return results[0]

    def _undo(self) -> list[CniError]:
        """Release what was attached, and return what could not be.

        The record stays: a DEL is told to all plugins, whatever ADD came to. But it says from now
        on which of them have done nothing, so that none of these can hold up the pod.
        """
        failures = self._attachments.undo()
        try:
            self._session.store.write_record(release.undone(self._record, failures, self._before))
        except CniError as error:
            _LOG.error("%s: its record says less than is known: %s", self._session.place, error)
        return [failure.error for failure in failures]

    def _attach(self, delegate: Delegate) -> Result:
        result = self._attachments.attach(delegate)
        if result.attached:
            families = self._routes.settle(delegate)
            gateways = delegate.requests.default_route or ()
            self._attachments.recache(delegate, families, gateways)
        return result

    def _settle_and_publish(self) -> None:
        """Have the results survive a power cut, and write the network-status meanwhile.

        The answer waits for both. If the disk fails, the status is that of an ADD that is undone,
        until the next try writes its own.
        """
        pod, cluster, store = self._pod, self._session.cluster, self._session.store
        if pod and cluster and (text := netstatus.annotation(self._attachments.statuses())):
            with store.settling():
                self._publish(cluster, pod, text)
        else:
            store.settle()

    @staticmethod
    def _publish(cluster: Cluster, pod: Pod, annotation: str) -> None:
        """Write the network-status. A pod that is gone by now needs none: its DEL follows.

        A pod that had to start without anybody being asked has to start without one as well.
        """
        try:
            cluster.publish_status(pod, annotation)
        except NotFoundError:
            _LOG.info("pod %s was deleted while it was attached", pod.ref)
        except CniError as error:
            if not pod.by_runtime:
                raise
            _LOG.error("pod %s has no network-status: %s", pod.ref, error)
