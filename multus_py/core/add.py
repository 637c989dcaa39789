"""ADD: attach a pod to all its networks, or to none of them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from multus_py.cni import document
from multus_py.cni.errors import CniError, Code, NotFoundError, located
from multus_py.core import networks, pods, readiness, release
from multus_py.core.execution import Executor, requested_arguments
from multus_py.core.ports import Event
from multus_py.core.routes import DefaultRoutes, edited
from multus_py.models import device, netstatus
from multus_py.models.cached import CachedResult
from multus_py.models.delegate import Record
from multus_py.models.netstatus import NetworkStatus

if TYPE_CHECKING:
    from multus_py.cni.document import JsonObject
    from multus_py.cni.result import Result
    from multus_py.core.session import Session
    from multus_py.models.delegate import Delegate
    from multus_py.models.objects import Pod

_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class _Started:
    """One network whose plugins were started. Without a result they have not succeeded (yet)."""

    delegate: Delegate
    result: Result | None = None
    """What the plugins answered; for the runtime and the network-status."""
    cached: Result | None = None
    """The same with the default routes that are in the pod; for CHECK and DEL."""


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
        session.store.write_record(record)
        return _Attachment(session, pod, record.delegates).run()


class _Attachment:
    """The part of an ADD that changes the node."""

    def __init__(self, session: Session, pod: Pod | None, delegates: tuple[Delegate, ...]) -> None:
        self._session = session
        self._pod = pod
        self._delegates = delegates
        self._executor = Executor(session, seconds=session.budget.forward)
        self._routes = DefaultRoutes(session.host, session.request.netns, delegates)
        self._started: list[_Started] = []

    def run(self) -> Result:
        """Attach everything and tell about it; undo everything if anything of that fails."""
        try:
            results = [self._attach(delegate) for delegate in self._delegates]
            self._keep_unnamed_default_routes()
            self._publish()
        except CniError as error:
            raise error.leaving(self._undo()) from error
        except BaseException:
            self._undo()
            raise
        return results[0]

    def _attach(self, delegate: Delegate) -> Result:
        self._refuse_taken_name(delegate)
        self._offer_device_info(delegate)
        started = _Started(delegate)
        self._started.append(started)
        result = started.result = self._executor.add(delegate)
        self._cache(started, result)
        self._tell(delegate, result)
        if result.attached:
            families = self._routes.settle(delegate)
            self._recache(started, families, delegate.requests.default_route or ())
        return result

    def _undo(self) -> list[CniError]:
        """Release what was started, last first, and return what could not be released."""
        executor = Executor(self._session, seconds=lambda: self._session.budget.left)
        attached = [(started.delegate, started.cached) for started in self._started]
        failures = release.release(self._session.store, executor, attached)
        return [failure.error for failure in failures]

    def _refuse_taken_name(self, delegate: Delegate) -> None:
        """Refuse a name that is in use. The link may be anybody's, so nothing is started there."""
        request = self._session.request
        with located(f"network {delegate.label}", f"interface {delegate.ifname}"):
            if self._session.host.link_exists(request.netns, delegate.ifname):
                raise CniError(
                    Code.INTERFACE_TAKEN,
                    f"the pod already has an interface {delegate.ifname}",
                    "ask for another interface name, or for none",
                )

    def _offer_device_info(self, delegate: Delegate) -> None:
        """Give the network's plugins the device plugin's description of their device."""
        if delegate.device_info_file and delegate.resource_name and delegate.device_id:
            source = device.plugin_info_file(delegate.resource_name, delegate.device_id)
            self._session.store.copy_device_info(source, delegate.device_info_file)

    def _keep_unnamed_default_routes(self) -> None:
        for delegate, families in self._routes.settle_unnamed():
            started = self._started[self._delegates.index(delegate)]
            self._recache(started, families, ())

    def _recache(
        self, started: _Started, families: frozenset[int], gateways: tuple[str, ...]
    ) -> None:
        """Keep the default routes of the cached result in step with those in the pod."""
        if families and started.cached:
            self._cache(started, edited(started.cached, families, gateways))

    def _cache(self, started: _Started, result: Result) -> None:
        request, delegate = self._session.request, started.delegate
        started.cached = result
        self._session.store.write_result(
            CachedResult(
                container_id=request.container_id,
                ifname=delegate.ifname,
                network_name=delegate.network.name,
                netns=request.netns,
                config=delegate.network,
                cni_args=requested_arguments(delegate),
                capability_args=delegate.capability_args,
                result=result,
            )
        )

    def _tell(self, delegate: Delegate, result: Result) -> None:
        place = f"{delegate.name}({delegate.network.name}):{delegate.ifname}"
        pod = self._session.pod_label(self._pod)
        _LOG.info("Add: %s:%s %s", pod, place, document.encode(result.document).decode())
        if self._pod and self._session.cluster and result.attached:
            addresses = " ".join(ip["address"] for ip in result.current.get("ips") or [])
            source = f" from {delegate.name}" if delegate.name else ""
            message = f"Add {delegate.ifname} [{addresses}]{source}"
            self._session.cluster.emit(self._pod, Event("Normal", "AddedInterface", message))

    def _publish(self) -> None:
        """Write the network-status. A pod that is gone by now needs none: its DEL follows."""
        if self._pod is None or self._session.cluster is None:
            return
        annotation = netstatus.annotation(self._statuses())
        if not annotation:
            return
        try:
            self._session.cluster.publish_status(self._pod, annotation)
        except NotFoundError:
            _LOG.info("pod %s was deleted while it was attached", self._pod.ref)

    def _statuses(self) -> list[NetworkStatus]:
        return [
            NetworkStatus(
                name=started.delegate.name,
                result=started.result.current,
                default=started.delegate.master,
                device_info=self._device_info(started.delegate),
            )
            for started in self._started
            if started.result
        ]

    def _device_info(self, delegate: Delegate) -> JsonObject | None:
        path = delegate.device_info_file
        return self._session.store.read_device_info(path) if path else None
