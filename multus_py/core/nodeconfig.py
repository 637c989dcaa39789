"""The CNI configuration file of a node: what container runtimes find in ``/etc/cni/net.d``.

The primary network is embedded in it, so that an ADD needs no other file. It is generated as a pure
function of the primary network and of what is wanted, and of nothing that was there before.
"""

from __future__ import annotations

import json
import posixpath
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from multus_py.cni import document, version
from multus_py.cni.errors import CniError, Code, located
from multus_py.core.primary import leads_back
from multus_py.models import config as configuration
from multus_py.models.requests import POD_ANNOTATIONS

if TYPE_CHECKING:
    from collections.abc import Collection

    from multus_py.cni.document import JsonObject
    from multus_py.cni.network import NetworkConfig
    from multus_py.core.primary import Primary

NETWORK_NAME = "multus-cni-network"
"""As Multus calls it."""

_STEMS = ("00-multus", "0-multus", "!multus", "!!!!multus")
"""Names of the file: each sorts before those before it, and before what those do not."""
_OWN_NAME = re.compile(rf"({'|'.join(_STEMS)})\.conf(list)?")
_GENERATED = frozenset(
    {"cniversion", "cniversions", "name", "type", "capabilities", "kubeconfig", "delegates"}
)
"""Keys, in small letters, that have a place of their own in the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the file is to say besides the primary network."""

    cni_version: str = ""
    """Of the file; the primary network's own if empty. Results are converted between the two."""
    force_cni_version: bool = False
    """Whether the embedded primary network gets it too. Its own file stays as it is."""
    override_network_name: bool = False
    """Whether the file's network is called as the primary one."""
    type: str = "multus-py"
    settings: JsonObject = field(default_factory=dict)
    """Keys of the plugin's configuration (docs/configuration.md)."""


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """A file: its name without a directory, and its content."""

    name: str
    content: bytes


def generate(primary: Primary, wanted: Wanted) -> NodeConfig:
    """Return the file for a primary network; an error if no ADD could use it."""
    name = primary.network.name if wanted.override_network_name else NETWORK_NAME
    head = {**_versions(primary, wanted), "name": name}
    plugin = _plugin(primary, wanted)
    _check(head, plugin)
    newest = wanted.cni_version or primary.network.version
    if version.at_least(newest, "1.0.0"):
        return NodeConfig(f"{_STEMS[0]}.conflist", _text({**head, "plugins": [plugin]}))
    return NodeConfig(f"{_STEMS[0]}.conf", _text({**head, **plugin}))


def leading(name: str, others: Collection[str]) -> str:
    """Return a file's name, changed as far as it takes to sort before the ``others``.

    It is the last resort's name where even that does not help (see :func:`leads`).
    """
    suffix = posixpath.splitext(name)[1]
    names = [stem + suffix for stem in _STEMS]
    return next((each for each in names if leads(each, others)), names[-1])


def leads(name: str, others: Collection[str]) -> bool:
    """Tell whether a runtime that reads a directory by name meets this file before the others."""
    return all(name.encode() < other.encode(errors="surrogateescape") for other in others)


def is_own_name(name: str) -> bool:
    """Tell whether a generated file, here or by Multus, may have this name."""
    return bool(_OWN_NAME.fullmatch(name))


def is_generated(content: bytes) -> bool:
    """Tell whether a file was generated here, now or by an earlier version.

    Nobody else asks for the pod's annotations together with one of our types.
    """
    plugin = _first_plugin(content)
    capabilities = plugin.get("capabilities")
    marked = isinstance(capabilities, dict) and capabilities.get(POD_ANNOTATIONS) is True
    return marked and _kind(plugin) in configuration.OUR_TYPES


def checked(config: NodeConfig, own_types: frozenset[str]) -> NodeConfig:
    """Return a file that somebody else wrote, if this plugin can use it and never calls itself."""
    with located(config.name):
        whole = document.decode_object(config.content, "the configuration")
        plugin = _plugin_of(whole)
        if _kind(plugin) not in own_types:
            raise CniError(
                Code.INVALID_CONFIGURATION,
                "it is no configuration of this plugin",
                "correct its type, or let the configuration be generated (multusConfigFile: auto)",
            )
        _check({key: item for key, item in whole.items() if key != "plugins"}, plugin)
        if leads_back(plugin.get("delegates"), own_types):
            raise CniError(
                Code.RECURSION,
                "one of its delegates calls multus-py or Multus",
                "remove that delegate",
            )
    return config


def network_name(content: bytes) -> str:
    """Return the name of the primary network that a file embeds, nothing if there is none."""
    delegates = _first_plugin(content).get("delegates")
    first = delegates[0] if isinstance(delegates, list) and delegates else None
    name = first.get("name") if isinstance(first, dict) else None
    return name if isinstance(name, str) else ""


def _versions(primary: Primary, wanted: Wanted) -> JsonObject:
    """Return the file's version, or those of the primary network that the runtime may choose from.

    Specification: "Configuration format", ``cniVersions``.
    """
    if not wanted.cni_version:
        several = primary.config.get("cniVersions") or []
        single = primary.config.get("cniVersion") or ""
        known = [item for item in several if item in version.SUPPORTED]
        usable = single if single in version.SUPPORTED else primary.network.version
        chosen = {"cniVersion": usable or version.UNNAMED}
        return {**chosen, "cniVersions": known} if known else chosen
    if wanted.cni_version not in version.SUPPORTED:
        raise CniError(
            Code.INCOMPATIBLE_VERSION,
            f"cniVersion {wanted.cni_version!r} is not supported",
            f"use one out of {', '.join(version.SUPPORTED)}",
        )
    return {"cniVersion": wanted.cni_version}


def _plugin(primary: Primary, wanted: Wanted) -> JsonObject:
    given = {key.lower(): item for key, item in wanted.settings.items()}
    others = {key: item for key, item in wanted.settings.items() if key.lower() not in _GENERATED}
    plugin: JsonObject = {
        "type": wanted.type,
        "capabilities": _capabilities(given.get("capabilities"), primary.network),
        **others,
    }
    delegate = _delegate(primary, wanted)
    if delegate.get("masterplugin") and not given.keys() & {"always_use_default", "legacynetworks"}:
        plugin["legacyNetworks"] = False  # a stray key is no wish for the ways of Multus 1
    if kubeconfig := given.get("kubeconfig"):
        plugin["kubeconfig"] = kubeconfig
    return {**plugin, "delegates": [delegate]}


def _delegate(primary: Primary, wanted: Wanted) -> JsonObject:
    if not (wanted.force_cni_version and wanted.cni_version):
        return primary.config
    kept = {key: item for key, item in primary.config.items() if key != "cniVersions"}
    kept["cniVersion"] = wanted.cni_version
    return kept


def _capabilities(configured: object, network: NetworkConfig) -> dict[str, bool]:
    """Return what the runtime has to pass: what is configured and what the network's plugins take.

    A value that is neither true nor false asks for nothing.
    """
    wanted = configured if isinstance(configured, dict) else {}
    found = {key: item for key, item in wanted.items() if isinstance(item, bool)}
    for plugin in network.plugins:
        declared = plugin.get("capabilities") or {}
        found |= {key: True for key, item in declared.items() if item is True}
    return {**found, POD_ANNOTATIONS: True}


def _check(head: JsonObject, plugin: JsonObject) -> None:
    """Read the file as an ADD will."""
    configuration.parse({**head, **plugin})


def _first_plugin(content: bytes) -> JsonObject:
    try:
        return _plugin_of(document.decode_object(content, "the configuration"))
    except CniError:
        return {}


def _plugin_of(config: JsonObject) -> JsonObject:
    plugins = config.get("plugins")
    if config.get("type") or not isinstance(plugins, list):
        return config
    return next((plugin for plugin in plugins[:1] if isinstance(plugin, dict)), {})


def _kind(plugin: JsonObject) -> str:
    kind = plugin.get("type")
    return kind if isinstance(kind, str) else ""


def _text(config: JsonObject) -> bytes:
    return json.dumps(config, indent=4, allow_nan=False).encode() + b"\n"
