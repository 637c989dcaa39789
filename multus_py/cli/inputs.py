"""What ``multus-py try`` is given: manifests, configuration files for ``confDir``, a configuration.

Everything is read before the throw-away node is made, as that covers the places files came from.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from multus_py.adapters.manifests import SUFFIXES, Manifests
from multus_py.cni import document, network
from multus_py.cni.errors import CniError, Code, located
from multus_py.models import objects
from multus_py.models.config import OUR_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from multus_py.cni.document import JsonObject

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
    """The content of files by path, as they were named."""

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
            self.manifests[path] = content
            self._look_beside(path)
            return
        config = _ours(document.decode_object(content, path))
        if config is None:
            self.conf_files[path] = content
        else:
            self.config = config

    def cluster(self) -> Manifests:
        """Return the cluster that the manifests make up.

        Definitions without a configuration leave it to files of the node. Those beside the
        manifests are meant, unless one was given.
        """
        cluster = Manifests(self.manifests, read=self.manifests.__getitem__)
        bare = {item.ref.name for item in cluster.networks() if not item.config}
        wanted = bare - {_name(content) for content in self.conf_files.values()}
        for path, content in self._beside.items():
            if _name(content) in wanted:
                self.conf_files[path] = content
        return cluster

    def plugin_config(self, cluster: Manifests) -> JsonObject:
        """Return the configuration to try: the one given, or one with a bridge for all pods."""
        if self.config is not None:
            return self.config
        old = bool(cluster.first_generation_networks())
        return {**_CONFIG, "legacyNetworks": True} if old else _CONFIG

    def write(self, directory: str, *further: JsonObject) -> None:
        """Write the files, and further manifests, where the plugin looks for them."""
        made = {f"made-up-{n}": document.encode(item) for n, item in enumerate(further)}
        _write(os.path.join(directory, "manifests"), self.manifests | made, SUFFIXES)
        _write(os.path.join(directory, "net.d"), self.conf_files, _CONFIG_SUFFIXES)

    def require_file(self, name: str) -> None:
        """Raise an error unless one of the configuration files is that of the network."""
        if any(_name(content) == name for content in self.conf_files.values()):
            return
        broken = [os.path.basename(path) for path in self._beside if not _name(self._beside[path])]
        others = f" ({', '.join(broken)}: no name in it)" if broken else ""
        raise CniError(
            Code.NETWORK_NOT_FOUND,
            f"it has no spec.config, and no file beside it or given has the name {name}{others}",
            f'put a .conf file with "name": "{name}" there',
        )

    def _look_beside(self, path: str) -> None:
        """Keep the configuration files beside a manifest; nobody has asked for any of them yet."""
        with suppress(CniError):
            for inner in _listed(os.path.dirname(path) or ".", _CONFIG_SUFFIXES):
                with suppress(CniError):
                    self._beside[inner] = _content(inner)


def made_up_pod(cluster: Manifests, config: JsonObject) -> JsonObject | None:
    """Return the manifest of a pod that asks for all definitions, if there is anything to try.

    The delegates of the configuration are something to try as well.
    """
    definitions = [definition.ref for definition in cluster.networks()]
    old = [definition.ref for definition in cluster.first_generation_networks()]
    if not (definitions or old or config.get("delegates")):
        return None
    annotations = {}
    if definitions:
        annotations[objects.NETWORKS] = ",".join(map(str, definitions))
    if old:
        annotations[objects.FIRST_GENERATION_NETWORKS] = ",".join(map(str, old))
    metadata = {"name": "made-up", "namespace": "default", "uid": "made-up"}
    return {"kind": "Pod", "metadata": {**metadata, "annotations": annotations}}


def plugins(cluster: Manifests, inputs: Inputs) -> list[JsonObject]:
    """Return the configuration of every plugin that is named anywhere.

    Errors name what is wrong in the user's words: the file, and the definition in it.
    """
    found: list[JsonObject] = []
    for path, definition in cluster.definitions():
        with located(path, f"network {definition.ref}"):
            if definition.config:
                config = document.decode_object(definition.config, "the configuration")
                found += network.parse(config).plugins
            else:
                inputs.require_file(definition.ref.name)
    for path, content in inputs.conf_files.items():
        with located(path):
            config = document.decode_object(content, "the configuration")
            found += network.parse(config).plugins
    return found + _delegates(inputs.config or _CONFIG)


def _delegates(config: JsonObject) -> list[JsonObject]:
    """Return the plugins of a configuration's delegates, as far as they are right."""
    found: list[JsonObject] = []
    delegates = config.get("delegates")
    for delegate in delegates if isinstance(delegates, list) else []:
        with suppress(CniError):  # the plugin will say what is wrong
            found += network.parse(delegate).plugins if isinstance(delegate, dict) else []
    return found


def _ours(config: JsonObject) -> JsonObject | None:
    """Return what the plugin would be given, if this is a configuration of multus-py."""
    if config.get("type") in OUR_TYPES:
        return config
    listed = config.get("plugins")
    for plugin in listed if isinstance(listed, list) else []:
        if isinstance(plugin, dict) and plugin.get("type") in OUR_TYPES:
            named = {key: config[key] for key in ("name", "cniVersion") if key in config}
            return {**plugin, **named}
    return None


def _name(content: bytes) -> object:
    """Return the name of the network in a configuration file; None if it has none."""
    try:
        return document.decode_object(content, "a file").get("name")
    except CniError:
        return None


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
    with _reading(directory):
        names = sorted(name for name in os.listdir(directory) if name.endswith(suffixes))
    return [os.path.join(directory, name) for name in names]


def _content(path: str) -> bytes:
    with _reading(path), open(path, "rb") as file:
        return file.read()


@contextmanager
def _reading(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        cause = f"it cannot be read: {error.strerror}"
        raise CniError(Code.IO_FAILURE, cause, "look at its permissions", where=(path,)) from error


def _write(directory: str, files: dict[str, bytes], suffixes: tuple[str, ...]) -> None:
    """Write files under names that keep their order, and end as they have to."""
    os.makedirs(directory)
    for number, (path, content) in enumerate(files.items()):
        name = f"{number:03}-{os.path.basename(path)}"
        if not name.endswith(suffixes):
            name += suffixes[0]
        with open(os.path.join(directory, name), "wb") as file:
            file.write(content)
