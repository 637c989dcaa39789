"""Objects of the Kubernetes API, trimmed to what is read of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from multus_py.cni import document
from multus_py.cni.errors import CniError, Code

if TYPE_CHECKING:
    from collections.abc import Mapping

    from multus_py.cni.document import JsonObject

NETWORKS = "k8s.v1.cni.cncf.io/networks"
DEFAULT_NETWORK = "v1.multus-cni.io/default-network"
NETWORK_STATUS = "k8s.v1.cni.cncf.io/network-status"
RESOURCE_NAME = "k8s.v1.cni.cncf.io/resourceName"
CONFIG_SOURCE = "kubernetes.io/config.source"
CONFIG_HASH = "kubernetes.io/config.hash"
FIRST_GENERATION_NETWORKS = "networks"

_READ = frozenset(
    {
        NETWORKS,
        DEFAULT_NETWORK,
        NETWORK_STATUS,
        CONFIG_SOURCE,
        CONFIG_HASH,
        FIRST_GENERATION_NETWORKS,
    }
)
"""The annotations of a pod that anything of ours looks at."""

_NAME_LIMIT = 253
_DNS_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


@dataclass(frozen=True, slots=True, order=True)
class ObjectRef:
    """What a namespaced object is called. A pod's, a definition's: the two never mix."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    @property
    def valid(self) -> bool:
        """Whether there can be an object of that name (RFC 1123), so that it is safe in a URL."""
        return is_object_name(self.namespace) and is_object_name(self.name)


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod."""

    ref: ObjectRef
    uid: str
    annotations: Mapping[str, str]
    by_runtime: bool = False
    """Whether the runtime alone vouches for it, as nobody else can be asked."""

    @property
    def static(self) -> bool:
        """Whether the object mirrors a pod from a file, which the runtime knows by another UID."""
        return self.annotations.get(CONFIG_SOURCE, "api") != "api"


@dataclass(frozen=True, slots=True)
class Node:
    """A node, as events are told of it."""

    name: str

    @property
    def uid(self) -> str:
        """What the kubelet gives for one in its own events, and what is looked for."""
        return self.name

    @property
    def ref(self) -> ObjectRef:
        """Where events of what has no namespace are."""
        return ObjectRef("default", self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class LivePod:
    """A pod as it is watched: what it is, and how far it is in its life."""

    pod: Pod
    """With those annotations only that are read."""
    phase: str
    """``Pending``, ``Running``, ``Succeeded``, ``Failed`` or ``Unknown``."""
    host_network: bool
    """Whether it has no network namespace of its own, so that no CNI plugin ever runs for it."""
    deleting: bool
    """Whether its deletion was asked for; it may still run for long."""

    @property
    def ended(self) -> bool:
        """Whether its containers have ended for good."""
        return self.phase in {"Succeeded", "Failed"}

    def is_known_as(self, uid: str) -> bool:
        """Tell whether the runtime means this pod; it knows static pods by a hash of their file.

        Without a UID it can only be this one as long as nothing is about to replace it.
        """
        if not uid:
            return not (self.deleting or self.ended)
        return uid in {self.pod.uid, self.pod.annotations.get(CONFIG_HASH)}


@dataclass(frozen=True, slots=True)
class NetworkDefinition:
    """A NetworkAttachmentDefinition, or an object Network of the first generation made one."""

    ref: ObjectRef
    config: str
    """JSON; empty if the definition leaves it to a file of its name."""
    resource_name: str = ""
    """The device plugin's resource that an attachment needs one device of."""


def is_object_name(text: str) -> bool:
    """Tell whether an object or a namespace may have this name."""
    return len(text) <= _NAME_LIMIT and _DNS_SUBDOMAIN.fullmatch(text) is not None


def reference(value: JsonObject) -> ObjectRef:
    """Return what an API object is called."""
    return _ref(_object(value, "metadata"))


def pod(value: JsonObject) -> Pod:
    """Return the pod in an API object."""
    metadata = _object(value, "metadata")
    return Pod(
        ref=_ref(metadata),
        uid=str(metadata.get("uid") or ""),
        annotations=_annotations(metadata),
    )


def live_pod(value: JsonObject) -> LivePod:
    """Return what is kept of a watched pod."""
    whole = pod(value)
    read = {key: text for key, text in whole.annotations.items() if key in _READ}
    return LivePod(
        pod=Pod(whole.ref, whole.uid, read),
        phase=str(_object(value, "status").get("phase") or ""),
        host_network=_object(value, "spec").get("hostNetwork") is True,
        deleting=bool(_object(value, "metadata").get("deletionTimestamp")),
    )


def asks_for_networks(pod: Pod) -> bool:
    """Tell whether a pod names networks itself, instead of leaving all to the configuration."""
    return any(pod.annotations.get(key) for key in (NETWORKS, DEFAULT_NETWORK))


def network_definition(value: JsonObject) -> NetworkDefinition:
    """Return the definition in an API object NetworkAttachmentDefinition."""
    metadata = _object(value, "metadata")
    config = _object(value, "spec").get("config")
    if config is not None and not isinstance(config, str):
        raise _invalid(f"spec.config is {document.kind(config)}, not a text")
    return NetworkDefinition(
        ref=_ref(metadata),
        config=config or "",
        resource_name=_annotations(metadata).get(RESOURCE_NAME, ""),
    )


def first_generation_network(value: JsonObject) -> NetworkDefinition:
    """Return the definition in an object Network of kubernetes-network.cni.cncf.io/v1.

    Its ``plugin`` is the type; its ``args`` a text with a list of objects, each merged into the
    configuration. A plugin of that time reads the version of its own, so none is added.
    """
    metadata = _object(value, "metadata")
    plugin, args = value.get("plugin"), value.get("args") or "[]"
    if not isinstance(plugin, str) or not plugin:
        raise _invalid("plugin is not set", "name the type of a plugin")
    if not isinstance(args, str):
        raise _invalid(f"args is {document.kind(args)}, not a text")
    parts = document.decode(args, "args")
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        raise _invalid("args is not a list of objects", "write it as '[{...}]'")
    config: dict[str, Any] = {"name": str(metadata.get("name") or "")}
    for part in parts:
        config |= part
    return NetworkDefinition(_ref(metadata), document.encode(config | {"type": plugin}).decode())


def _ref(metadata: JsonObject) -> ObjectRef:
    return ObjectRef(str(metadata.get("namespace") or "default"), str(metadata.get("name") or ""))


def _annotations(metadata: JsonObject) -> dict[str, str]:
    items = _object(metadata, "annotations").items()
    return {key: value for key, value in items if isinstance(value, str)}


def _object(holder: JsonObject, key: str) -> JsonObject:
    value = holder.get(key)
    return value if isinstance(value, dict) else {}


def _invalid(cause: str, hint: str = "correct the object") -> CniError:
    return CniError(Code.INVALID_CONFIGURATION, cause, hint)
