"""Hot attach: one more network for a running pod, a look at it, and its end.

The network is written into the record of the pod's sandbox before its plugins run, so it survives
restarts and is released with the pod like those it was started with. What the pod has already is
not touched by a failure: record, default routes and network-status are what they were.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from multus_py.cni.errors import CniError, Code, NotFoundError, joined, located
from multus_py.cni.request import Attachment
from multus_py.cni.result import address_family
from multus_py.core import devices, displaced, networks, pods, recall, release, routes, sandbox
from multus_py.core.attachment import Attachments
from multus_py.core.execution import Executor
from multus_py.core.ports import Event
from multus_py.models import netstatus, objects, selection
from multus_py.models.delegate import Delegate, Record
from multus_py.models.requests import Requests

if TYPE_CHECKING:
    from multus_py.cni.network import NetworkConfig
    from multus_py.cni.result import Result
    from multus_py.core.session import Session
    from multus_py.models.objects import ObjectRef, Pod

_LOG = logging.getLogger(__name__)

_NO_REQUESTS = Requests()


def attach(session: Session, network: NetworkConfig, requests: Requests = _NO_REQUESTS) -> Result:
    """Attach the request's pod to a network, under the request's interface name.

    ``requests`` count more than what the pod's own annotation asks for that interface.
    """
    release.refuse_own_netns(session)
    pod = pods.find(session)
    place = sandbox.of(session, pod)
    session = place.session
    with session.store.lock(session.request.container_id, session.budget.forward()):
        before = session.store.read_record(place.attachment)
        if before and before.pending:
            raise CniError(
                Code.UNKNOWN_CONTAINER,
                "the pod's sandbox was given back by the runtime and is being released",
                "attach to the pod's present sandbox",
            )
        before = _without_remains(session, before)
        delegate = _resolved(session, pod, before, network, requests)
        return _Addition(session, pod, before, delegate).run()


def detach(session: Session, network: NetworkConfig) -> None:
    """Release the network of the request's interface, by its record; the pod need not exist."""
    release.refuse_own_netns(session)
    pod = pods.find_for_release(session)
    place = sandbox.of(session, pod)
    session = place.session
    errors: list[CniError] = []
    with session.store.lock(session.request.container_id, session.budget.left / 2):
        before = session.store.read_record(place.attachment)
        delegate, last = _known(session, before, network)
        if delegate.master:
            raise CniError(
                Code.INVALID_ENVIRONMENT,
                f"interface {delegate.ifname} is of the pod's default network",
                "delete the pod to release it",
            )
        errors += _release(session, before, delegate, last)
    if pod and session.cluster:
        gone = {delegate.ifname, *_interfaces(last)}
        errors += _tell_release(session, pod, delegate, gone)
    if errors:
        raise joined(errors)


def check(session: Session, network: NetworkConfig) -> None:
    """Ask the plugins of the request's interface whether the pod is still attached."""
    place = sandbox.of(session, pods.find_for_release(session))
    session = place.session
    with session.store.lock(session.request.container_id, session.budget.forward()):
        before = session.store.read_record(place.attachment)
        delegate, last = _known(session, before, network)
        Executor(session, seconds=session.budget.forward).check(delegate, last)


def status(session: Session, network: NetworkConfig) -> None:
    """Ask the plugins of a network whether a pod could be attached to it."""
    delegate = networks.additional(session, Delegate(name=network.name, network=network))
    Executor(session, seconds=session.budget.forward).status(delegate)


# -- attaching


class _Addition:
    """The part of a hot attach that changes the node."""

    def __init__(
        self, session: Session, pod: Pod | None, before: Record | None, delegate: Delegate
    ) -> None:
        self._session = session
        self._pod = pod
        self._before = before
        started_with = recall.from_record(session, before).attached if before else []
        self._others = started_with
        delegate = replace(delegate, displaced=displaced.by(delegate.requests, started_with))
        self._record = _extended(session, before, delegate)
        self._delegate = self._record.delegates[-1]
        self._attachments = Attachments(session, pod)
        self._routes_changed = False

    def run(self) -> Result:
        """Attach the network and tell about it; undo everything if anything of that fails."""
        self._session.store.write_record(self._record)
        try:
            result = self._attachments.attach(self._delegate)
            if result.attached:
                self._settle_routes()
            self._session.store.settle()
            self._publish()
        except CniError as error:
            raise error.leaving(self._undo()) from error
        except BaseException:
            self._undo()
            raise
        return result

    def _settle_routes(self) -> None:
        """Give the network its default routes, or take them, as its pod's networks ask for."""
        new = self._delegate
        everybody = [*(delegate for delegate, _ in self._others), new]
        moved = routes.DefaultRoutes(self._session.host, self._session.request.netns, everybody)
        self._routes_changed = new.requests.default_route is not None
        lost = moved.make_way(new)
        self._attachments.recache(new, moved.settle(new), new.requests.default_route or ())
        lost += moved.settle_unnamed()
        for delegate, families in lost:
            if delegate is new:
                self._attachments.recache(new, families)
            else:
                displaced.recache(self._session, delegate, families, [])

    def _publish(self) -> None:
        """Add to the network-status. A pod that is gone by now needs none: its DEL follows."""
        statuses = self._attachments.statuses()
        if self._pod is None or self._session.cluster is None:
            return
        if not any(status.entries() for status in statuses):
            return
        try:
            self._session.cluster.edit_status(
                self._pod, lambda text: netstatus.edited(text, plus=statuses)
            )
        except NotFoundError:
            _LOG.info("pod %s was deleted while it was attached", self._pod.ref)

    def _undo(self) -> list[CniError]:
        """Put everything back, and return what could not be.

        The record keeps what was not released, for the next detach or the pod's DEL.
        """
        failures = self._attachments.undo()
        errors = [failure.error for failure in failures]
        wanted = self._before
        if errors:
            own = release.owing(self._delegate, failures)
            wanted = replace(self._record, delegates=(*self._record.delegates[:-1], own))
        if self._routes_changed:
            errors += displaced.restore(self._session, self._others, self._delegate.displaced)
        errors += _recorded(self._session, self._record, wanted)
        return errors


def _resolved(
    session: Session,
    pod: Pod | None,
    before: Record | None,
    network: NetworkConfig,
    requests: Requests,
) -> Delegate:
    """Return the network as a delegate, with what the pod's annotation says of its interface."""
    ifname = session.request.ifname
    ref, asked = _element(pod, ifname)
    requests = replace(
        asked,
        ifname=ifname,
        ips=requests.ips or asked.ips,
        mac=requests.mac or asked.mac,
        cni_args=requests.cni_args or asked.cni_args,
        default_route=asked.default_route
        if requests.default_route is None
        else requests.default_route,
    )
    name = str(ref) if ref else network.name
    with located(f"network {name}", f"interface {ifname}"):
        network.validate()
        network = devices.with_cni_args(network, requests.cni_args)
        given = [plugin.get("deviceID") for plugin in network.plugins]
        device_id = next((text for text in given if text and isinstance(text, str)), "")
        resource = _resource(session, ref) if ref else ""
        if resource and pod and session.cluster and not device_id:
            used = {(one.resource_name, one.device_id) for one in _delegates(before)}
            device_id = devices.Allocation(session.cluster, pod, in_use=used).take(resource)
            network = devices.with_device(network, device_id)
    delegate = Delegate(
        name=name,
        network=network,
        requests=requests,
        resource_name=resource,
        device_id=device_id,
    )
    return networks.additional(session, delegate)


def _element(pod: Pod | None, ifname: str) -> tuple[ObjectRef | None, Requests]:
    """Return the definition that the pod names for this interface, and what it asks for there."""
    annotation = pod.annotations.get(objects.NETWORKS, "") if pod else ""
    if pod:
        with suppress(CniError):  # it may have been changed to anything since the pod was started
            for element in selection.parse(annotation, pod.ref.namespace):
                requests = element.requests()
                if requests.ifname == ifname:
                    return element.ref(pod.ref.namespace), requests
    return None, _NO_REQUESTS


def _resource(session: Session, ref: ObjectRef) -> str:
    """Return the resource of a definition, nothing if the definition does not exist (any more)."""
    if session.cluster is None:
        return ""
    try:
        return session.cluster.get_network(ref).resource_name
    except NotFoundError:
        return ""


def _extended(session: Session, before: Record | None, delegate: Delegate) -> Record:
    """Return the record with one network more, or a record of its own where there is none."""
    record = before or Record(
        attachment=Attachment(session.request.container_id, ""), partial=True, delegates=()
    )
    with located(f"network {delegate.label}", f"interface {delegate.ifname}"):
        delegates = routes.filtered([*record.delegates, delegate])
    netns = record.netns or session.request.netns
    return replace(record, netns=netns, delegates=tuple(delegates))


def _without_remains(session: Session, before: Record | None) -> Record | None:
    """Release what an earlier attach left under the interface's name, and return the record.

    It could not be undone then. A network whose interface is there is no remains but in use.
    """
    request = session.request
    remains = [one for one in _delegates(before) if one.ifname == request.ifname]
    if before is None or not remains or session.host.link_exists(request.netns, request.ifname):
        return before
    delegate, last = _known(session, before, remains[0].network)
    errors = _release(session, before, delegate, last)
    if errors:
        raise joined(errors)
    return session.store.read_record(before.attachment)


# -- detaching


def _known(
    session: Session, before: Record | None, network: NetworkConfig
) -> tuple[Delegate, Result | None]:
    """Return the interface's network as it was attached; as the caller says if nobody knows."""
    attached = recall.from_record(session, before).attached if before else []
    attached += recall.from_cache(session, session.request.container_id)
    for delegate, last in attached:
        if delegate.ifname == session.request.ifname:
            return delegate, last
    requests = Requests(ifname=session.request.ifname)
    delegate = Delegate(name=network.name, network=network, requests=requests)
    return networks.additional(session, delegate), None


def _release(
    session: Session, before: Record | None, delegate: Delegate, last: Result | None
) -> list[CniError]:
    """Release a network and forget it; return what went wrong after that."""
    held = displaced.families_of(session, delegate)
    executor = Executor(session, seconds=lambda: session.budget.left)
    executor.delete(delegate, last)
    release.forget(session.store, executor.container_id, delegate)
    _LOG.info("Del: %s(%s):%s", delegate.name, delegate.network.name, delegate.ifname)
    if before is None:
        return []
    errors = _recorded(session, before, _reduced(before, delegate.ifname))
    if held and release.is_there(session.host, session.request.netns):
        others = recall.from_record(session, before).attached
        lost = [pair for pair in delegate.displaced if address_family(pair[1]) in held]
        errors += displaced.restore(session, others, lost)
    return errors


def _reduced(before: Record, ifname: str) -> Record | None:
    """Return the record without the network of an interface, None if it was the last one.

    Multus finds out interface names by counting, so the others keep theirs as requests.
    """
    kept = [
        replace(
            one,
            filter_v4=False,
            filter_v6=False,
            requests=one.requests if one.master else replace(one.requests, ifname=one.ifname),
        )
        for one in before.delegates
        if one.ifname != ifname
    ]
    return replace(before, delegates=tuple(routes.filtered(kept))) if kept else None


def _tell_release(session: Session, pod: Pod, delegate: Delegate, gone: set[str]) -> list[CniError]:
    """Take interfaces out of the network-status; a pod that is gone has none."""
    if session.cluster is None:
        return []
    source = f" from {delegate.name}" if delegate.name else ""
    event = Event("Normal", "RemovedInterface", f"Del {delegate.ifname}{source}")
    session.cluster.emit(pod, event)
    try:
        session.cluster.edit_status(pod, lambda text: netstatus.edited(text, without=gone))
    except CniError as error:
        absent = isinstance(error, NotFoundError) or error.code == Code.POD_REPLACED
        return [] if absent else [error.at("network-status")]
    return []


def _interfaces(last: Result | None) -> list[str]:
    """Return the names of the interfaces in the pod that a result speaks of."""
    links = (last.current.get("interfaces") or []) if last else []
    return [link["name"] for link in links if link.get("sandbox")]


# -- both


def _delegates(record: Record | None) -> tuple[Delegate, ...]:
    return record.delegates if record else ()


def _recorded(session: Session, current: Record, wanted: Record | None) -> list[CniError]:
    """Bring the record on disk to what it is to be; return why that failed, if it did."""
    try:
        if wanted:
            session.store.write_record(wanted)
        else:
            session.store.delete_record(current.attachment)
    except CniError as error:
        return [error]
    return []
