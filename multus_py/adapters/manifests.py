"""A cluster made of manifests: YAML files or directories of them, without any API server.

Serves ``multus-py try``, examples, and CI that drives the plugin with cnitool. What would be
written to the API server goes into files of a directory, if one is named.
"""

from __future__ import annotations

import json
import logging
import os
import uuid
from typing import TYPE_CHECKING, Any

from multus_py.cni.errors import CniError, Code, NotFoundError, located
from multus_py.models import objects
from multus_py.models.objects import ObjectRef, Pod

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from multus_py.cni.document import JsonObject
    from multus_py.core.ports import Event
    from multus_py.models.device import Devices
    from multus_py.models.objects import NetworkDefinition

_LOG = logging.getLogger(__name__)

SUFFIXES = (".yaml", ".yml", ".json")

_TEMPLATES = ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job")
_DEFINITION = ("k8s.cni.cncf.io", "NetworkAttachmentDefinition")
_FIRST_GENERATION = ("kubernetes-network.cni.cncf.io", "Network")


class Manifests:
    """See :class:`multus_py.core.ports.Cluster`. Reads the files when it is first asked."""

    def __init__(self, paths: Iterable[str], *, status_directory: str = "") -> None:
        self._paths = tuple(paths)
        self._status_directory = status_directory
        self._objects: list[JsonObject] | None = None

    def pods(self) -> list[Pod]:
        """Return all pods in the order of the manifests, those of workloads included."""
        return [pod for item in self._all() for pod in _pods(item)]

    def networks(self) -> list[NetworkDefinition]:
        """Return all NetworkAttachmentDefinitions."""
        found = [item for item in self._all() if _is(item, *_DEFINITION)]
        return [objects.network_definition(item) for item in found]

    def first_generation_networks(self) -> list[NetworkDefinition]:
        """Return all objects Network of the first generation."""
        found = [item for item in self._all() if _is(item, *_FIRST_GENERATION)]
        return [objects.first_generation_network(item) for item in found]

    def get_pod(self, ref: ObjectRef) -> Pod:
        """Return a pod."""
        for pod in self.pods():
            if pod.ref == ref:
                return pod
        raise NotFoundError(Code.NETWORK_NOT_FOUND, f"no manifest has a pod {ref}")

    def get_network(self, ref: ObjectRef) -> NetworkDefinition:
        """Return a NetworkAttachmentDefinition."""
        return objects.network_definition(self._one(ref, *_DEFINITION))

    def get_first_generation_network(self, ref: ObjectRef) -> NetworkDefinition:
        """Return an object Network of the first generation."""
        return objects.first_generation_network(self._one(ref, *_FIRST_GENERATION))

    def devices(self, pod: Pod) -> Devices:
        """Return no devices: there is no kubelet that allocates any."""
        del pod
        return {}

    def publish_status(self, pod: Pod, annotation: str) -> None:
        """Write the network-status into ``<namespace>.<name>.status.json``."""
        self._write(f"{pod.ref.namespace}.{pod.ref.name}.status.json", annotation, mode="w")

    def emit(self, pod: Pod, event: Event) -> None:
        """Append the event to ``<namespace>.<name>.events.jsonl``."""
        line = json.dumps({"type": event.type, "reason": event.reason, "message": event.message})
        try:
            self._write(f"{pod.ref.namespace}.{pod.ref.name}.events.jsonl", line + "\n", mode="a")
        except CniError as error:
            _LOG.error("event %r is lost: %s", event.message, error)

    def close(self) -> None:
        """Nothing is pending."""

    def _one(self, ref: ObjectRef, group: str, kind: str) -> JsonObject:
        for item in self._all():
            if _is(item, group, kind) and _ref(item) == ref:
                return item
        raise NotFoundError(Code.NETWORK_NOT_FOUND, f"no manifest has a {kind} {ref}")

    def _all(self) -> list[JsonObject]:
        if self._objects is None:
            self._objects = [item for path in self._paths for item in _load(path)]
        return self._objects

    def _write(self, name: str, content: str, *, mode: str) -> None:
        if not self._status_directory:
            return
        try:
            os.makedirs(self._status_directory, mode=0o700, exist_ok=True)
            with open(os.path.join(self._status_directory, name), mode) as file:
                file.write(content)
        except OSError as error:
            raise CniError(
                Code.IO_FAILURE, f"cannot write {name}: {error.strerror}", "look at statusDir"
            ) from error


def _load(path: str) -> Iterator[JsonObject]:
    """Yield the objects of a file, or of the manifests of a directory by name."""
    if os.path.isdir(path):
        for name in sorted(os.listdir(path)):
            if name.endswith(SUFFIXES):
                yield from _load(os.path.join(path, name))
        return
    import yaml

    with located(path):
        try:
            with open(path, "rb") as file:
                documents = list(yaml.safe_load_all(file))
        except OSError as error:
            raise _unreadable(f"it cannot be read: {error.strerror}") from error
        except (yaml.YAMLError, ValueError) as error:
            raise _unreadable(f"it is not YAML: {error}") from error
        for item in documents:
            yield from _unpacked(item)


def _unpacked(item: Any) -> Iterator[JsonObject]:
    """Yield an object, or the objects in a list of them."""
    if item is None:
        return
    if not isinstance(item, dict) or not isinstance(item.get("kind"), str):
        raise _unreadable("it holds something that is no Kubernetes object")
    if item["kind"].endswith("List") and isinstance(item.get("items"), list):
        for inner in item["items"]:
            yield from _unpacked(inner)
    else:
        yield item


def _pods(item: JsonObject) -> list[Pod]:
    if item["kind"] == "Pod":
        return [_identified(objects.pod(item))]
    spec = item.get("spec")
    if item["kind"] not in _TEMPLATES or not isinstance(spec, dict):
        return []
    template = objects.pod(spec.get("template") or {})
    replicas = spec.get("replicas", 1)
    ref = _ref(item)
    return [
        _identified(Pod(ObjectRef(ref.namespace, f"{ref.name}-{n}"), "", template.annotations))
        for n in range(replicas if isinstance(replicas, int) else 1)
    ]


def _identified(pod: Pod) -> Pod:
    """Return the pod with a UID: that of its manifest, or one that follows from its name."""
    uid = pod.uid or str(uuid.uuid5(uuid.NAMESPACE_URL, f"multus-py:{pod.ref}"))
    return Pod(pod.ref, uid, pod.annotations)


def _is(item: JsonObject, group: str, kind: str) -> bool:
    return item["kind"] == kind and str(item.get("apiVersion")).partition("/")[0] == group


def _ref(item: JsonObject) -> ObjectRef:
    return objects.pod(item).ref


def _unreadable(cause: str) -> CniError:
    return CniError(Code.INVALID_CONFIGURATION, cause, "correct the manifest")
