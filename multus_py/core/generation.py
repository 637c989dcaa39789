"""Configurations and pods of the first generation (Multus 1.x and 2.x), with the meaning they had.

The master runs first, gets the runtime's interface name and gives the result; the others are
``net0``, ``net1``, ... or what their configuration's ``if0name`` says. Names become requests here,
so everything behind this module, and Multus itself should it read the record, treats them alike.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING

from multus_py.cni import network
from multus_py.cni.errors import CniError, Code, located
from multus_py.core import definitions
from multus_py.models import objects, selection
from multus_py.models.delegate import Delegate
from multus_py.models.requests import Requests

if TYPE_CHECKING:
    from multus_py.cni.document import JsonObject
    from multus_py.cni.network import NetworkConfig
    from multus_py.core.session import Session
    from multus_py.models.config import MultusConfig
    from multus_py.models.objects import NetworkDefinition, Pod


def inline(config: MultusConfig) -> list[NetworkConfig]:
    """Return the networks of ``delegates``, the one with ``masterplugin`` first."""
    ordered = sorted(
        config.delegates or [], key=lambda delegate: delegate.get("masterplugin") is not True
    )
    return [network.parse(_modern(config, delegate)) for delegate in ordered]


def first(session: Session, pod: Pod, delegates: list[Delegate]) -> list[Delegate]:
    """Return the delegates as the pod's bare annotation ``networks`` changes them.

    The networks it names replace the delegates, or follow them with ``always_use_default``.
    """
    named = _named(session, pod)
    if named and not session.config.always_use_default:
        delegates = []
    if not (delegates or named or objects.DEFAULT_NETWORK in pod.annotations):
        raise CniError(
            Code.INVALID_CONFIGURATION,
            "nothing to attach: the pod has no annotation networks, the configuration no delegates",
            "add the annotation to the pod, or delegates to the configuration",
        )
    return numbered([*delegates, *named])


def numbered(delegates: list[Delegate]) -> list[Delegate]:
    """Return the delegates with the interface names of the first generation asked for."""
    return delegates[:1] + [
        replace(delegate, requests=Requests(ifname=_ifname(delegate, index)))
        for index, delegate in enumerate(delegates[1:])
    ]


def _named(session: Session, pod: Pod) -> list[Delegate]:
    annotation = pod.annotations.get(objects.FIRST_GENERATION_NETWORKS, "")
    if session.cluster is None or not annotation:
        return []
    with located(f"annotation {objects.FIRST_GENERATION_NETWORKS}"):
        elements = selection.parse(annotation, pod.ref.namespace)
    find = functools.cache(functools.partial(definitions.get_first_generation, session.cluster))
    named = []
    for element in elements:
        session.budget.forward()
        named.append(_from_network(session, find(element.ref(pod.ref.namespace))))
    return named


def _from_network(session: Session, definition: NetworkDefinition) -> Delegate:
    ref = definition.ref
    parsed = definitions.configured(definition, session.store, session.config.conf_dir)
    with located(f"network {ref}"):
        return Delegate(
            name=str(ref), network=network.parse(_modern(session.config, parsed.document))
        )


def _modern(config: MultusConfig, delegate: JsonObject) -> JsonObject:
    """Return a configuration with what plugins of that time did without: a name and a version."""
    completed = dict(delegate)
    if not completed.get("name"):
        completed["name"] = f"{config.name}-{completed.get('type', 'list')}"
    if not completed.get("cniVersion") and config.cni_version:
        completed["cniVersion"] = config.cni_version
    return completed


def _ifname(delegate: Delegate, index: int) -> str:
    wanted = delegate.network.plugins[0].get("if0name")
    return wanted if isinstance(wanted, str) and wanted else f"net{index}"
