"""What ``multus-py try`` is given: manifests, configuration files for ``confDir``, a configuration.

Everything is read before the throw-away node is made, as that covers the places files came from.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from multus_py.adapters.manifests import SUFFIXES, Manifests
from multus_py.cni import document, network
from multus_py.models import objects
from multus_py.models.config import OUR_TYPES
from multus_py.models.objects import ObjectRef, Pod

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from multus_py.cni.document import JsonObject
    from multus_py.models.objects import NetworkDefinition

_CONFIG_SUFFIXES = (".conf", ".conflist")
_PARENT_KEYS = ("master", "if0", "device")

_PRIMARY = {
    "cniVersion": "1.0.0",
    "name": "primary",
    "type": "bridge",
    "bridge": "cni0",
    "isDefaultGateway": True,
    "ipam": {"type": "host-local", "subnet": "10.244.0.0/24"},
}
_CONFIG = {
    "cniVersion": "1.0.0",
    "name": "multus-py-try",
    "type": "multus-py",
    "delegates": [_PRIMARY],
}


@dataclass(slots=True)
class Inputs:
    """The content of files by name."""

    manifests: dict[str, bytes] = field(default_factory=dict)
    conf_files: dict[str, bytes] = field(default_factory=dict)
    config: JsonObject | None = None
    """Ours; a file is taken for it by the type in it."""
    _beside: dict[str, bytes] = field(default_factory=dict)

    def add(self, path: str) -> None:
        """Read a file, or the files of a directory that may be meant."""
        if os.path.isdir(path):
            for inner in _listed(path, (*SUFFIXES, *_CONFIG_SUFFIXES)):
                self.add(inner)
            return
        content = _content(path)
        if not path.endswith(_CONFIG_SUFFIXES):
            self.manifests[f"{len(self.manifests):03}-{os.path.basename(path)}"] = content
            for inner in _listed(os.path.dirname(path) or ".", _CONFIG_SUFFIXES):
                self._beside[os.path.basename(inner)] = _content(inner)
            return
        config = document.decode_object(content, path)
        if config.get("type") in OUR_TYPES:
            self.config = config
        else:
            self.conf_files[os.path.basename(path)] = content

    def write(self, directory: str) -> Manifests:
        """Write the files below a directory and return the cluster that the manifests make up.

        Definitions without a configuration leave it to files of the node. If none was given, those
        beside the manifests are meant.
        """
        _write(os.path.join(directory, "manifests"), self.manifests)
        cluster = Manifests([os.path.join(directory, "manifests")])
        if not self.conf_files and not all(item.config for item in cluster.networks()):
            self.conf_files = self._beside
        _write(os.path.join(directory, "net.d"), self.conf_files)
        return cluster

    def plugin_config(self, cluster: Manifests) -> JsonObject:
        """Return the configuration to try: the one given, or one with a bridge for all pods."""
        if self.config is not None:
            return self.config
        old = bool(cluster.first_generation_networks())
        return {**_CONFIG, "legacyNetworks": True} if old else _CONFIG


def pods(cluster: Manifests, config: JsonObject | None, directory: str) -> list[Pod]:
    """Return the pods to try: those of the manifests, or one that asks for all definitions.

    ``config`` is ours if one was given: its delegates are something to try as well. A pod that we
    make up is added to the manifests in ``directory``.
    """
    found = cluster.pods()
    definitions = [definition.ref for definition in cluster.networks()]
    old = [definition.ref for definition in cluster.first_generation_networks()]
    if found or not (definitions or old or (config or {}).get("delegates")):
        return found
    annotations = {}
    if definitions:
        annotations[objects.NETWORKS] = ",".join(map(str, definitions))
    if old:
        annotations[objects.FIRST_GENERATION_NETWORKS] = ",".join(map(str, old))
    pod = Pod(ObjectRef("default", "made-up"), "made-up", annotations)
    metadata = {"name": "made-up", "namespace": "default", "uid": "made-up"}
    manifest = {"kind": "Pod", "metadata": {**metadata, "annotations": annotations}}
    with open(os.path.join(directory, "manifests", "made-up.json"), "w") as file:
        json.dump(manifest, file)
    return [pod]


def plugins(cluster: Manifests, inputs: Inputs, config: JsonObject) -> list[JsonObject]:
    """Return the configuration of every plugin that is named anywhere."""
    definitions: list[NetworkDefinition] = cluster.networks() + cluster.first_generation_networks()
    texts: list[bytes | str] = [definition.config for definition in definitions]
    texts += inputs.conf_files.values()
    configs = [document.decode_object(text, "a definition") for text in texts if text]
    configs += config.get("delegates") or []
    return [plugin for item in configs for plugin in network.parse(item).plugins]


def parents(configs: Sequence[JsonObject]) -> list[str]:
    """Return the interfaces that plugins have as their parent, each once."""
    names = (plugin.get(key) for plugin in configs for key in _PARENT_KEYS)
    return list(dict.fromkeys(name for name in names if isinstance(name, str) and name))


def missing(configs: Sequence[JsonObject], path: str) -> list[str]:
    """Return the plugins that are not installed in any directory of ``path``."""
    return sorted({kind for kind in _kinds(configs) if not shutil.which(kind, path=path)})


def _kinds(configs: Sequence[JsonObject]) -> Iterator[str]:
    for plugin in configs:
        yield plugin["type"]
        ipam = plugin.get("ipam")
        if isinstance(ipam, dict) and isinstance(ipam.get("type"), str):
            yield ipam["type"]


def _listed(directory: str, suffixes: tuple[str, ...]) -> list[str]:
    names = sorted(name for name in os.listdir(directory) if name.endswith(suffixes))
    return [os.path.join(directory, name) for name in names]


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _write(directory: str, files: dict[str, bytes]) -> None:
    os.makedirs(directory)
    for name, content in files.items():
        with open(os.path.join(directory, name), "wb") as file:
            file.write(content)
