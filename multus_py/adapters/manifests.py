"""A cluster made of manifests: YAML files or directories of them, without any API server.

Serves ``multus-py try``, examples, and CI that drives the plugin with cnitool. What would be
written to the API server goes into files of a directory, if one is named.
"""

from __future__ import annotations

import json
import logging
import os
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from multus_py.cni import document
from multus_py.cni.errors import CniError, Code, NotFoundError, located
from multus_py.models import objects
from multus_py.models.objects import ObjectRef, Pod

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from multus_py.cni.document import JsonObject
    from multus_py.core.ports import Event
    from multus_py.models.device import Devices
    from multus_py.models.objects import NetworkDefinition

_LOG = logging.getLogger(__name__)

SUFFIXES = (".yaml", ".yml", ".json")

_TEMPLATES = ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job")
_DEFINITION = ("k8s.cni.cncf.io", "NetworkAttachmentDefinition")
_FIRST_GENERATION = ("kubernetes-network.cni.cncf.io", "Network")


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


@dataclass(frozen=True, slots=True)
class _Object:
    """An object of the Kubernetes API, and the manifest that it is in."""

    path: str
    content: JsonObject

    @property
    def ref(self) -> ObjectRef:
        return objects.reference(self.content)

    def is_a(self, group: str, kind: str) -> bool:
        """Tell whether it is of this kind, in any version."""
        version = str(self.content.get("apiVersion"))
        return self.content["kind"] == kind and version.partition("/")[0] == group

    def definition(self) -> NetworkDefinition:
        """Return the network definition that it is; errors name it and its manifest."""
        first = self.is_a(*_FIRST_GENERATION)
        made = objects.first_generation_network if first else objects.network_definition
        with located(self.path, f"network {self.ref}"):
            return made(self.content)

    def pods(self) -> list[Pod]:
        """Return the pod that it is, or the pods that a controller makes of it."""
        kind, spec = self.content["kind"], self.content.get("spec")
        if kind == "Pod":
            return [_identified(objects.pod(self.content))]
        if kind not in _TEMPLATES or not isinstance(spec, dict):
            return []
        template, replicas = spec.get("template") or {}, spec.get("replicas", 1)
        if not isinstance(template, dict):
            with located(self.path, f"{kind} {self.ref}"):
                raise _unreadable(f"spec.template is {document.kind(template)}, not an object")
        annotations = objects.pod(template).annotations
        names = (f"{self.ref.name}-{number}" for number in range(_count(replicas)))
        return [_identified(Pod(ObjectRef(self.ref.namespace, n), "", annotations)) for n in names]


class Manifests:
    """See :class:`multus_py.core.ports.Cluster`. Reads the files when it is first asked.

    ``read`` returns the content of a file; whoever reads files in another way tells it.
    """

    def __init__(
        self,
        paths: Iterable[str],
        *,
        status_directory: str = "",
        read: Callable[[str], bytes] = _content,
    ) -> None:
        self._paths = tuple(paths)
        self._status_directory = status_directory
        self._read = read
        self._objects: list[_Object] | None = None

    def pods(self) -> list[Pod]:
        """Return all pods in the order of the manifests, those of workloads included."""
        return [pod for item in self._all() for pod in item.pods()]

    def networks(self) -> list[NetworkDefinition]:
        """Return all NetworkAttachmentDefinitions."""
        return [item.definition() for item in self._all() if item.is_a(*_DEFINITION)]

    def first_generation_networks(self) -> list[NetworkDefinition]:
        """Return all objects Network of the first generation."""
        return [item.definition() for item in self._all() if item.is_a(*_FIRST_GENERATION)]

    def definitions(self) -> list[tuple[str, NetworkDefinition]]:
        """Return the definitions of both kinds, each with the path of its manifest."""
        kinds = (_DEFINITION, _FIRST_GENERATION)
        found = [item for item in self._all() if any(item.is_a(*kind) for kind in kinds)]
        return [(item.path, item.definition()) for item in found]

    def get_pod(self, ref: ObjectRef, *, uid: str = "") -> Pod:
        """Return a pod."""
        del uid  # there is one of that name
        for pod in self.pods():
            if pod.ref == ref:
                return pod
        raise NotFoundError(Code.NETWORK_NOT_FOUND, f"no manifest has a pod {ref}")

    def get_network(self, ref: ObjectRef) -> NetworkDefinition:
        """Return a NetworkAttachmentDefinition."""
        return self._one(ref, *_DEFINITION).definition()

    def get_first_generation_network(self, ref: ObjectRef) -> NetworkDefinition:
        """Return an object Network of the first generation."""
        return self._one(ref, *_FIRST_GENERATION).definition()

    def devices(self, pod: Pod) -> Devices:
        """Return no devices: there is no kubelet that allocates any."""
        del pod
        return {}

    def publish_status(self, pod: Pod, annotation: str) -> None:
        """Write the network-status into ``<namespace>.<name>.status.json``."""
        self._write(_status_file(pod), annotation, mode="w")

    def edit_status(self, pod: Pod, edit: Callable[[str], str]) -> None:
        """Change what :meth:`publish_status` has written, or the annotation in the manifest."""
        path = os.path.join(self._status_directory, _status_file(pod))
        try:
            with open(path) as file:
                written = file.read()
        except OSError:
            written = pod.annotations.get(objects.NETWORK_STATUS, "")
        self.publish_status(pod, edit(written))

    def emit(self, pod: Pod, event: Event) -> None:
        """Append the event to ``<namespace>.<name>.events.jsonl``."""
        line = json.dumps({"type": event.type, "reason": event.reason, "message": event.message})
        try:
            self._write(f"{pod.ref.namespace}.{pod.ref.name}.events.jsonl", line + "\n", mode="a")
        except CniError as error:
            _LOG.error("event %r is lost: %s", event.message, error)

    def close(self) -> None:
        """Nothing is pending."""

    def _one(self, ref: ObjectRef, group: str, kind: str) -> _Object:
        for item in self._all():
            if item.is_a(group, kind) and item.ref == ref:
                return item
        raise NotFoundError(Code.NETWORK_NOT_FOUND, f"no manifest has a {kind} {ref}")

    def _all(self) -> list[_Object]:
        if self._objects is None:
            self._objects = [
                _Object(file, item)
                for path in self._paths
                for file in _files(path)
                for item in _load(file, self._read)
            ]
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


def _status_file(pod: Pod) -> str:
    return f"{pod.ref.namespace}.{pod.ref.name}.status.json"


def _files(path: str) -> list[str]:
    """Return a file, or the manifests of a directory by name."""
    if not os.path.isdir(path):
        return [path]
    with located(path), _reading():
        names = sorted(name for name in os.listdir(path) if name.endswith(SUFFIXES))
    return [file for name in names for file in _files(os.path.join(path, name))]


def _load(path: str, read: Callable[[str], bytes]) -> Iterator[JsonObject]:
    """Yield the objects of a file."""
    import yaml  # slow to import, and few have manifests

    with located(path):
        try:
            with _reading():
                documents = list(yaml.safe_load_all(read(path)))
        except (yaml.YAMLError, ValueError) as error:
            cause = str(error).replace(' in "<byte string>",', " at")
            raise _unreadable(f"it is not YAML: {cause}") from error
        for item in documents:
            yield from _unpacked(item)


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unreadable(f"it cannot be read: {error.strerror}") from error


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


def _count(replicas: object) -> int:
    return replicas if isinstance(replicas, int) else 1


def _identified(pod: Pod) -> Pod:
    """Return the pod with a UID: that of its manifest, or one that follows from its name."""
    uid = pod.uid or str(uuid.uuid5(uuid.NAMESPACE_URL, f"multus-py:{pod.ref}"))
    return Pod(pod.ref, uid, pod.annotations)


def _unreadable(cause: str) -> CniError:
    return CniError(Code.INVALID_CONFIGURATION, cause, "correct the manifest")
