"""From a name to a network: definitions in the cluster, and configuration files of this node."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from multus_py.cni import document, names, network
from multus_py.cni.errors import CniError, Code, NotFoundError, located

if TYPE_CHECKING:
    from multus_py.cni.document import JsonObject
    from multus_py.cni.network import NetworkConfig
    from multus_py.core.ports import Cluster, ConfigFile, Store
    from multus_py.models.objects import NetworkDefinition, ObjectRef

_LIST_SUFFIX = ".conflist"


class NoDefinitionError(CniError):
    """A definition cannot be had: it does not exist (``absent``), or the cluster does not say."""

    absent = False


def get(cluster: Cluster, ref: ObjectRef) -> NetworkDefinition:
    """Return a NetworkAttachmentDefinition, or raise :class:`NoDefinitionError`, which names it."""
    try:
        if not ref.valid:
            raise NotFoundError(Code.NETWORK_NOT_FOUND, "that is no name of an object")
        return cluster.get_network(ref)
    except CniError as error:
        raise _no_definition("network-attachment-definition", ref, error) from error


def get_first_generation(cluster: Cluster, ref: ObjectRef) -> NetworkDefinition:
    """Return the definition in an object Network, or raise :class:`NoDefinitionError`."""
    try:
        if not ref.valid:
            raise NotFoundError(Code.NETWORK_NOT_FOUND, "that is no name of an object")
        return cluster.get_first_generation_network(ref)
    except CniError as error:
        raise _no_definition("Network", ref, error) from error


def configured(definition: NetworkDefinition, store: Store, conf_dir: str) -> NetworkConfig:
    """Return the network that a definition describes, itself or by a file of its name.

    A configuration without a name gets the definition's.
    """
    with located(f"network {definition.ref}"):
        if not definition.config:
            return by_name(store, conf_dir, definition.ref.name)
        config = document.decode_object(definition.config, "spec.config")
        return network.parse(config if config.get("name") else _named(config, definition))


def by_name(store: Store, directory: str, name: str) -> NetworkConfig:
    """Return the network of this name from the files of a directory.

    A file that cannot be read keeps nobody from finding another one, but is named if none is found.
    """
    broken = []
    for file in store.config_files(directory):
        try:
            config = _read(file)
        except CniError as error:
            broken.append(error)
            continue
        if config.get("name") == name:
            return _parsed(file, config)
    others = f" ({broken[0].message(120)})" if broken else ""
    raise NotFoundError(
        Code.NETWORK_NOT_FOUND,
        f"no configuration of the name {name} is in {directory}{others}",
        f'put a file with "name": "{name}" there',
    )


def by_path(store: Store, path: str) -> NetworkConfig:
    """Return the network of a configuration file, or of the first one in a directory."""
    if not store.is_directory(path):
        return _from_file(store, store.config_file(path))
    files = store.config_files(path)
    if not any(file.path.endswith((".conf", _LIST_SUFFIX)) for file in files):
        raise NotFoundError(
            Code.NETWORK_NOT_FOUND, f"no configuration file is in {path}", "put one there"
        )
    return _from_file(store, files[0])


def chained(store: Store, *, directory: str, name: str, version: str) -> NetworkConfig | None:
    """Return the auxiliary chain: a passthru and the plugins of a directory; None without any."""
    further = _plugins_in(store, posixpath.join(directory, name))
    if not further:
        return None
    head = {"type": "passthru", "name": "passthru-cni"}
    chain = {"cniVersion": version, "name": name, "plugins": [head]}
    return network.parse_list(chain, further)


def _from_file(store: Store, file: ConfigFile) -> NetworkConfig:
    config = _read(file)
    if not file.path.endswith(_LIST_SUFFIX):
        with located(file.path):
            if not config.get("type"):
                raise CniError(
                    Code.INVALID_CONFIGURATION,
                    "no 'type'; perhaps this is supposed to be a .conflist",
                    "rename the file or add a type",
                )
        return _parsed(file, config)
    further: list[JsonObject] = []
    name = config.get("name")
    with located(file.path):
        if not network.flag(config, "loadOnlyInlinedPlugins"):
            if not isinstance(name, str) or not names.is_network_name(name):
                raise CniError(
                    Code.INVALID_CONFIGURATION, f"invalid network name {name!r}", "correct it"
                )
            further = _plugins_in(store, posixpath.join(posixpath.dirname(file.path), name))
        return network.parse_list(config, further)


def _plugins_in(store: Store, directory: str) -> list[JsonObject]:
    """Return the plugins to append to a chain: the ``.conf`` files of a directory by name."""
    return [_read(file) for file in store.config_files(directory) if file.path.endswith(".conf")]


def _read(file: ConfigFile) -> JsonObject:
    with located(file.path):
        return document.decode_object(file.content, "the configuration")


def _parsed(file: ConfigFile, config: JsonObject) -> NetworkConfig:
    with located(file.path):
        parse = network.parse_list if file.path.endswith(_LIST_SUFFIX) else network.parse
        return parse(config)


def _named(config: JsonObject, definition: NetworkDefinition) -> JsonObject:
    return {**config, "name": definition.ref.name}


def _no_definition(kind: str, ref: ObjectRef, error: CniError) -> NoDefinitionError:
    absent = isinstance(error, NotFoundError)
    refused = NoDefinitionError(
        Code.NETWORK_NOT_FOUND if absent else error.code,
        f"cannot find a {kind} ({ref.name}) in namespace ({ref.namespace}): {error.cause}",
        "create it, or correct the name" if absent else error.hint,
    )
    refused.absent = absent
    return refused
