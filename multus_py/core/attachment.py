"""Attaching networks to one container, one after the other, and undoing it.

What a network's plugins make is cached, told and remembered here, whether it is attached with its
pod or later. In which order, and what is written down about the whole, is for the caller to decide.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from multus_py.cni import document
from multus_py.cni.errors import CniError
from multus_py.core import release
from multus_py.core.execution import Executor, Progress, requested_arguments
from multus_py.core.ports import Event
from multus_py.core.routes import edited
from multus_py.models import device
from multus_py.models.cached import CachedResult
from multus_py.models.netstatus import NetworkStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from multus_py.cni.result import Result
    from multus_py.core.ports import Store
    from multus_py.core.release import Failure
    from multus_py.core.session import Session
    from multus_py.models.delegate import Delegate
    from multus_py.models.objects import Pod

_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class _Started:
    """One network whose plugins were started. Without a result they have not succeeded (yet)."""

    delegate: Delegate
    progress: Progress = field(default_factory=Progress)
    result: Result | None = None
    """What the plugins answered; for the runtime and the network-status."""
    cached: Result | None = None
    """The same with the default routes that are in the pod; for CHECK and DEL."""
    kept: bool = False
    """Whether that is on the disk."""


class Attachments:
    """The networks that one request attaches to the container it is about."""

    def __init__(self, session: Session, pod: Pod | None) -> None:
        self._session = session
        self._pod = pod
        self._executor = Executor(session, seconds=session.budget.forward)
        self._started: list[_Started] = []

    def attach(self, delegate: Delegate) -> Result:
        """Run a network's plugins and keep what they answer. What they make can be undone."""
        self._offer_device_info(delegate)
        started = _Started(delegate)
        self._started.append(started)
        try:
            result = started.result = self._executor.add(delegate, started.progress)
        except BaseException:
            if started.progress.kept_off:  # what is there is not ours to release
                self._started.remove(started)
            raise
        self._cache(started, result)
        self._tell(delegate, result)
        return result

    def recache(
        self, delegate: Delegate, families: frozenset[int], gateways: Sequence[str] = ()
    ) -> None:
        """Keep the default routes of a network's cached result in step with those in the pod."""
        for started in self._started:
            if started.delegate is delegate and started.cached and families:
                self._cache(started, edited(started.cached, families, gateways))

    def undo(self) -> list[Failure]:
        """Release what was started, last first, and return what could not be released.

        The next try needs the result of that. If it is not on the disk, it may be that there is
        room by now.
        """
        attached = [
            (replace(started.delegate, begun=started.progress.begun), started.cached)
            for started in self._started
        ]
        request = self._session.request
        failures = release.released(self._session, request.container_id, attached, request.netns)
        release.log_several([failure.error for failure in failures])
        self._keep_results({failure.delegate.ifname for failure in failures})
        return failures

    def _keep_results(self, ifnames: set[str]) -> None:
        for started in self._started:
            if started.cached and not started.kept and started.delegate.ifname in ifnames:
                try:
                    self._cache(started, started.cached)
                except CniError as error:
                    _LOG.error("%s: its result is not kept: %s", started.delegate.label, error)
        try:
            self._session.store.settle()
        except CniError as error:
            _LOG.error("%s: a power cut may lose results: %s", self._session.place, error)

    def statuses(self) -> list[NetworkStatus]:
        """Return what the network-status tells about each network that is attached."""
        return [
            status(started.delegate, started.result, self._session.store)
            for started in self._started
            if started.result
        ]

    def _offer_device_info(self, delegate: Delegate) -> None:
        """Give the network's plugins the device plugin's description of their device.

        Not if the link is there already: the description may be of the device that it leads to.
        """
        if delegate.device_info_file and delegate.resource_name and delegate.device_id:
            if self._session.host.link_exists(self._session.request.netns, delegate.ifname):
                return  # so the plugins are not run either
            source = device.plugin_info_file(delegate.resource_name, delegate.device_id)
            self._session.store.copy_device_info(source, delegate.device_info_file)

    def _cache(self, started: _Started, result: Result) -> None:
        request, delegate = self._session.request, started.delegate
        started.cached, started.kept = result, False
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
        started.kept = True

    def _tell(self, delegate: Delegate, result: Result) -> None:
        place = f"{delegate.name}({delegate.network.name}):{delegate.ifname}"
        pod = self._session.pod_label(self._pod)
        _LOG.info("Add: %s:%s %s", pod, place, document.encode(result.document).decode())
        if self._pod and self._session.cluster and result.attached:
            addresses = " ".join(ip["address"] for ip in result.current.get("ips") or [])
            source = f" from {delegate.name}" if delegate.name else ""
            message = f"Add {delegate.ifname} [{addresses}]{source}"
            self._session.cluster.emit(self._pod, Event("Normal", "AddedInterface", message))


def status(delegate: Delegate, result: Result, store: Store) -> NetworkStatus:
    """Return what the network-status says of an attachment."""
    path = delegate.device_info_file
    return NetworkStatus(
        name=delegate.name,
        result=result.current,
        default=delegate.master,
        device_info=store.read_device_info(path) if path else None,
    )
