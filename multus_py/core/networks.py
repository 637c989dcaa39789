"""Which networks a pod is attached to, in which order, and by which names.

The order is: cluster network (or the configuration's delegates), default networks, networks of the
pod's annotation, auxiliary chain. Everything is resolved before the first plugin runs, so a name
that does not exist costs nothing but an error.
"""

from __future__ import annotations

import functools
import posixpath
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from multus_py.cni.errors import CniError, Code, NotFoundError, located
from multus_py.core import definitions, devices, generation, routes
from multus_py.core.definitions import NoDefinitionError
from multus_py.core.ports import Event
from multus_py.models import cached, device, objects, selection
from multus_py.models.delegate import Delegate
from multus_py.models.objects import ObjectRef
from multus_py.models.requests import POD_ANNOTATIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from multus_py.cni.document import JsonObject
    from multus_py.cni.network import NetworkConfig
    from multus_py.core.devices import Allocation
    from multus_py.core.ports import Cluster
    from multus_py.core.session import Session
    from multus_py.models.objects import NetworkDefinition, Pod
    from multus_py.models.selection import NetworkSelectionElement


@dataclass(frozen=True, slots=True)
class _Sources:
    """Where the networks of one request come from."""

    find: Callable[[ObjectRef], NetworkDefinition]
    """Looks a definition up, each once for a request, however often it is named."""
    allocation: Allocation | None = None


def resolve(session: Session, pod: Pod | None) -> tuple[Delegate, ...]:
    """Return everything that the request's pod is to be attached to, ready to run."""
    if pod is None or session.cluster is None:
        return complete(session, _auxiliary(session, of_node(session)))
    sources = _sources(session.cluster, devices.Allocation(session.cluster, pod))
    try:
        delegates = _of_cluster(session, pod, sources)
        if session.config.first_generation:
            delegates = generation.first(session, pod, delegates)
        delegates = _of_pod(session, pod, sources, delegates)
    except NoDefinitionError as error:
        session.cluster.emit(pod, Event("Warning", "NoNetworkFound", error.cause))
        raise
    delegates = routes.filtered(delegates)
    return complete(session, _auxiliary(session, delegates))


def of_node(session: Session) -> list[Delegate]:
    """Return what every pod is attached to, as far as that does not depend on the pod."""
    config = session.config
    if config.cluster_network:
        sources = _sources(session.cluster) if session.cluster else None
        return [_named_network(session, config.cluster_network, sources)]
    if config.first_generation:
        return generation.numbered([_inline(network) for network in generation.inline(config)])
    return [_inline(network) for network in config.inline_networks()]


def complete(session: Session, delegates: list[Delegate]) -> tuple[Delegate, ...]:
    """Return the delegates with interface names, arguments and capabilities."""
    if not delegates:
        raise CniError(
            Code.INVALID_CONFIGURATION,
            "nothing to attach: the pod names no network, the configuration no delegates",
            "add clusterNetwork or delegates to the configuration",
        )
    for delegate in delegates:
        _refuse_recursion(session, delegate)
    return tuple(_completed(session, index, delegate) for index, delegate in enumerate(delegates))


def additional(session: Session, delegate: Delegate) -> Delegate:
    """Return a delegate that is not the pod's first one, complete; it names its interface."""
    _refuse_recursion(session, delegate)
    return _completed(session, 1, delegate)


def offered(session: Session, delegate: Delegate, *, master: bool) -> JsonObject:
    """Return the values by capability that a delegate's plugins may declare."""
    runtime_config = session.config.runtime_config
    values = runtime_config.capability_args()
    if runtime_config.pod_annotations and delegate.network.declares(POD_ANNOTATIONS):
        values[POD_ANNOTATIONS] = runtime_config.pod_annotations
    if not master:
        values |= delegate.requests.capability_args()
        if delegate.device_id:
            values["deviceID"] = delegate.device_id
    return values


def _sources(cluster: Cluster, allocation: Allocation | None = None) -> _Sources:
    return _Sources(functools.cache(functools.partial(definitions.get, cluster)), allocation)


def _of_cluster(session: Session, pod: Pod, sources: _Sources) -> list[Delegate]:
    """Return the cluster network, or the delegates, and the default networks for this pod."""
    config = session.config
    if not config.cluster_network:
        return of_node(session)
    names = [config.cluster_network]
    if pod.ref.namespace not in config.system_namespaces:
        names += config.default_networks
    return [_named_network(session, name, sources) for name in names]


def _of_pod(
    session: Session, pod: Pod, sources: _Sources, delegates: list[Delegate]
) -> list[Delegate]:
    """Return the delegates as the pod's annotations change them."""
    override = pod.annotations.get(objects.DEFAULT_NETWORK)
    if override is not None:
        with located(f"annotation {objects.DEFAULT_NETWORK}"):
            element = _only(override, session.config.multus_namespace)
            ref = element.ref(session.config.multus_namespace)
            _check_isolation(session, pod, ref, own=session.config.multus_namespace)
            first = _selected(session, sources, ref, element)
        delegates = [first, *delegates[1:]]
    annotation = pod.annotations.get(objects.NETWORKS, "")
    with located(f"annotation {objects.NETWORKS}"):
        elements = selection.parse(annotation, pod.ref.namespace)
        for element in elements:
            _check_isolation(session, pod, element.ref(pod.ref.namespace), own=pod.ref.namespace)
    selected = []
    for element in elements:
        session.budget.forward()
        selected.append(_selected(session, sources, element.ref(pod.ref.namespace), element))
    return [*delegates, *selected]


def _only(annotation: str, default_namespace: str) -> NetworkSelectionElement:
    elements = selection.parse(annotation, default_namespace)
    if len(elements) != 1:
        raise CniError(
            Code.ANNOTATION,
            f"{annotation!r} names {len(elements)} networks instead of one",
            "name one network, or remove the annotation",
        )
    return elements[0]


def _check_isolation(session: Session, pod: Pod, ref: ObjectRef, *, own: str) -> None:
    """Refuse definitions of other namespaces, where the configuration isolates namespaces."""
    allowed = {pod.ref.namespace, own, *session.config.shared_namespaces}
    if session.config.namespace_isolation and ref.namespace not in allowed:
        raise CniError(
            Code.NETWORK_FORBIDDEN,
            f"network {ref} is not for pods of namespace {pod.ref.namespace} (namespaceIsolation)",
            f"use a definition of namespace {pod.ref.namespace}",
        )


def _selected(
    session: Session, sources: _Sources, ref: ObjectRef, element: NetworkSelectionElement
) -> Delegate:
    delegate = _from_definition(session, sources, ref)
    requests = element.requests()
    with located(f"network {ref}"):
        network = devices.with_cni_args(delegate.network, requests.cni_args)
    return replace(delegate, network=network, requests=requests)


def _from_definition(session: Session, sources: _Sources, ref: ObjectRef) -> Delegate:
    definition = sources.find(ref)
    network = definitions.configured(definition, session.store, session.config.conf_dir)
    device_id = ""
    if definition.resource_name and sources.allocation:
        with located(f"network {definition.ref}"):
            device_id = sources.allocation.take(definition.resource_name)
    return Delegate(
        name=str(definition.ref),
        network=devices.with_device(network, device_id),
        resource_name=definition.resource_name,
        device_id=device_id,
    )


def _named_network(session: Session, name: str, sources: _Sources | None) -> Delegate:
    """Return a network of the configuration: a definition, a file's network by name, or a path."""
    if sources is None:
        raise CniError(
            Code.INVALID_CONFIGURATION,
            "must have either Kubernetes config or delegates",
            "set kubeconfig, or write the network into delegates",
        )
    if "/" in name:
        with located(f"network {name}"):
            return _inline(definitions.by_path(session.store, name))
    ref = ObjectRef(session.config.multus_namespace, name)
    try:
        return _from_definition(session, sources, ref)
    except NoDefinitionError as error:
        if not error.absent:
            raise
        try:
            return _inline(definitions.by_name(session.store, session.config.conf_dir, name))
        except NotFoundError:
            raise error from None


def _inline(network: NetworkConfig) -> Delegate:
    return Delegate(name=network.name, network=network)


def _auxiliary(session: Session, delegates: list[Delegate]) -> list[Delegate]:
    """Append the auxiliary chain, if the configuration has one and its directory holds plugins."""
    config = session.config
    if not config.auxiliary_chain:
        return delegates
    if "/" not in config.cluster_network:
        raise CniError(
            Code.INVALID_CONFIGURATION,
            f"auxiliaryCNIChainName needs a clusterNetwork that is a path; "
            f"{config.cluster_network!r} is none",
            "name the file of the cluster network by its path",
        )
    network = definitions.chained(
        session.store,
        directory=posixpath.dirname(config.cluster_network),
        name=config.auxiliary_chain,
        version=config.cni_version,
    )
    return [*delegates, _inline(network)] if network else delegates


def _refuse_recursion(session: Session, delegate: Delegate) -> None:
    for plugin_type in delegate.network.types:
        if plugin_type in session.config.own_types:
            raise CniError(
                Code.RECURSION,
                f"network {delegate.label} runs {plugin_type}, which is this plugin itself",
                "name the plugin that makes the network, not the one that was asked for it",
            )


def _completed(session: Session, index: int, delegate: Delegate) -> Delegate:
    """Return a delegate with everything its plugins are told; the first one is the master."""
    master = index == 0
    own_name = session.request.ifname if master else f"net{index}"
    ifname = delegate.requests.ifname or own_name
    capability_args = offered(session, delegate, master=master)
    if capability_args.get("deviceID"):
        capability_args["CNIDeviceInfoFile"] = device.delegate_info_file(
            delegate.name, session.request.container_id, ifname
        )
    completed = replace(
        delegate,
        master=master,
        ifname=ifname,
        cni_args=session.arguments.for_delegates(),
        capability_args=capability_args,
    )
    _refuse_invalid(session, completed)
    return completed


def _refuse_invalid(session: Session, delegate: Delegate) -> None:
    """Refuse what cannot be run, or not be remembered, before anything is run or written down."""
    delegate.validate()
    container_id = session.request.container_id
    name = cached.file_name(container_id, delegate.ifname, delegate.network.name)
    with located(f"network {delegate.label}"):
        if fault := cached.file_name_fault(name):
            raise CniError(
                Code.INVALID_CONFIGURATION,
                f"with the container ID, the name of its cached result {fault}",
                "give the network a shorter name",
            )
