"""The primary network of a node: which of its configuration files a generated one is made from.

That is the first by name that can be used and does not lead back to this plugin or to Multus. What
a file is stands in its content: no name and no directory can make a node call itself for ever.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from multus_py.cni import document, names, network, version
from multus_py.cni.errors import CniError, Code, NotFoundError, located

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from multus_py.cni.document import JsonObject
    from multus_py.cni.network import NetworkConfig
    from multus_py.core.ports import ConfigFile

    Beside = Callable[[str], Sequence[ConfigFile]]

SUFFIXES = (".conf", ".conflist", ".json")
"""What container runtimes take for a configuration, in a directory that they read by name."""

_SINGLE = (".conf", ".json")
_LIST = ".conflist"
_TOLD = 4
"""So many files are told of in one message."""


class LeadsBackError(CniError):
    """A configuration calls this plugin or Multus: it is ours, and nobody's primary network."""


@dataclass(frozen=True, slots=True)
class Primary:
    """The file of the primary network, and what it says."""

    file: ConfigFile
    network: NetworkConfig

    @property
    def name(self) -> str:
        """The name of the file, without its directory."""
        return posixpath.basename(self.file.path)

    @property
    def config(self) -> JsonObject:
        """The whole network as one object: of a list with the plugins from beside it."""
        return self.network.document


def nothing_beside(name: str) -> Sequence[ConfigFile]:
    """Return the further plugins of a list where there are no directories."""
    del name
    return ()


def choose(
    files: Sequence[ConfigFile],
    *,
    own_types: frozenset[str],
    named: str = "",
    beside: Beside = nothing_beside,
) -> Primary:
    """Return the primary network among the files of a directory, or the one that is ``named``.

    ``own_types`` are the names that this plugin and Multus are installed as. ``beside`` returns the
    files of the sub-directory of a name, as lists have them. An error says of each file why not.
    """
    refused: list[CniError] = []
    for file in candidates(files, named):
        try:
            return read(file, own_types=own_types, beside=beside)
        except CniError as error:
            refused.append(error)
    raise none(refused, named)


def candidates(files: Sequence[ConfigFile], named: str = "") -> list[ConfigFile]:
    """Return the files that come into question, in byte order of their names."""
    if named:
        return [file for file in files if posixpath.basename(file.path) == named]
    return sorted((file for file in files if file.path.endswith(SUFFIXES)), key=_order)


def read(
    file: ConfigFile, *, own_types: frozenset[str], beside: Beside = nothing_beside
) -> Primary:
    """Return the network of one file; :class:`LeadsBackError` if that is ours or Multus's."""
    with located(posixpath.basename(file.path)):
        config = document.decode_object(file.content, "the configuration")
        _refuse_own(config, own_types)
        found = _network(file, config, own_types, beside)
        found.validate()
        if found.version and found.version not in version.SUPPORTED:
            raise _invalid(f"its cniVersion {found.version} is not supported")
        return Primary(file, found)


def none(refused: Sequence[CniError], named: str = "") -> CniError:
    """Return the error that says why no file is the primary network, by what each lacks."""
    if named and not refused:
        return NotFoundError(
            Code.NETWORK_NOT_FOUND,
            f"the primary network's file {named} is not there",
            "correct multusMasterCNI, or install the primary network",
        )
    broken = [error for error in refused if not isinstance(error, LeadsBackError)]
    told = [f"{'/'.join(error.where)} ({error.cause})" for error in (broken or refused)[:_TOLD]]
    more = len(refused) - len(told)
    why = ", ".join([*told, f"{more} more"] if more else told)
    return NotFoundError(
        Code.NETWORK_NOT_FOUND,
        f"no configuration of a primary network is there{': ' if why else ''}{why}",
        "see why the primary network (Calico, Cilium, Flannel, ...) is not installed",
    )


def leads_back(value: object, own_types: frozenset[str]) -> bool:
    """Tell whether any object in a JSON value has one of these types, in any spelling of the key.

    Programs in Go read ``Type`` as ``type``.
    """
    waiting: list[Any] = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if any(isinstance(t, str) and t in own_types for t in _types(item)):
                return True
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
    return False


def _types(item: JsonObject) -> list[Any]:
    return [value for key, value in item.items() if key.lower() == "type"]


def _refuse_own(config: object, own_types: frozenset[str]) -> None:
    if leads_back(config, own_types):
        raise LeadsBackError(
            Code.RECURSION,
            "it calls multus-py or Multus",
            "name the configuration of another plugin",
        )


def _network(
    file: ConfigFile, config: JsonObject, own_types: frozenset[str], beside: Beside
) -> NetworkConfig:
    if file.path.endswith(_SINGLE) and not config.get("type"):
        raise _invalid("it has no 'type'; perhaps it is supposed to be a .conflist")
    if config.get("type") and not file.path.endswith(_LIST):
        return network.parse(config)
    inlined = network.flag(config, "loadOnlyInlinedPlugins")
    further = [] if inlined else _plugins(beside, config.get("name"))
    _refuse_own(further, own_types)
    return network.parse_list(config, further)


def _plugins(beside: Beside, name: object) -> list[JsonObject]:
    """Return the plugins to append to a list; a name that is no file's has no directory."""
    if not isinstance(name, str) or not names.is_network_name(name):
        return []
    plugins = []
    for file in sorted(beside(name), key=_order):
        if file.path.endswith(".conf"):
            with located(f"{name}/{posixpath.basename(file.path)}"):
                plugins.append(document.decode_object(file.content, "the configuration"))
    return plugins


def _order(file: ConfigFile) -> bytes:
    return posixpath.basename(file.path).encode(errors="surrogateescape")


def _invalid(cause: str) -> CniError:
    return CniError(Code.INVALID_CONFIGURATION, cause, "correct the file")
