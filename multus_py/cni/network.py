"""Network configurations, and the configuration each plugin of a network gets on standard input.

Specification: "Section 1: Network configuration format" and "Section 3: Execution of Network
Configurations". A single plugin configuration is represented as a list of one, so nothing after
:func:`parse` has two cases.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from multus_py.cni import document, names, version
from multus_py.cni.errors import CniError, Code, clip, located

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from multus_py.cni.document import JsonObject

VALID_ATTACHMENTS = ("cni.dev/valid-attachments", "cni.dev/attachments")
"""Where GC lists the attachments in use: the specification's key, and libcni's older one."""

_TOLD = 64
"""Characters of a name that a message shows."""


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """One network: plugins that run in order. Objects are as their author wrote them."""

    name: str
    """May be empty or invalid until :meth:`validate` has passed."""
    version: str
    """Empty where the author wrote none, which the specification reads as 0.1.0."""
    plugins: tuple[JsonObject, ...]
    document: JsonObject
    """The whole configuration; what is recorded on disk."""
    written: JsonObject
    """The same without plugins from a directory beside it; what libcni keeps in its cache."""
    chained: bool = False
    """Written as a list with ``plugins``."""
    disable_check: bool = False
    disable_gc: bool = False
    only_inlined: bool = False

    @property
    def types(self) -> tuple[str, ...]:
        """The types of the plugins in order."""
        return tuple(plugin["type"] for plugin in self.plugins)

    def validate(self) -> None:
        """Raise an error unless the network's name can identify it."""
        if not self.name:
            raise _invalid("missing network name", "give the configuration a name")
        if fault := names.identifier_fault(self.name):
            told = clip(repr(self.name), _TOLD)
            raise _invalid(f"network name {told} is invalid: {fault}", "rename the network")

    def changed(self, change: Callable[[JsonObject], JsonObject]) -> NetworkConfig:
        """Return the network with ``change`` applied to every plugin's configuration.

        Its plugins are all its own from then on, those from a directory too.
        """
        plugins = tuple(change(plugin) for plugin in self.plugins)
        whole = {**self.document, "plugins": list(plugins)} if self.chained else plugins[0]
        return replace(self, plugins=plugins, document=whole, written=whole)

    def declares(self, capability: str) -> bool:
        """Tell whether any of the plugins wants the values of a capability."""
        return any(
            (plugin.get("capabilities") or {}).get(capability) is True for plugin in self.plugins
        )

    def stdin(
        self,
        plugin: JsonObject,
        *,
        capability_args: Mapping[str, Any],
        previous: JsonObject | None = None,
        valid_attachments: Sequence[JsonObject] | None = None,
    ) -> bytes:
        """Return what one plugin reads from standard input.

        ``capability_args`` are the values on offer; the plugin gets those it declares a
        capability for. ``capabilities`` itself stays in the object, as it does with libcni.
        """
        config = {**plugin, "name": self.name, "cniVersion": self.version}
        declared = plugin.get("capabilities") or {}
        wanted = {
            key: capability_args[key]
            for key, value in declared.items()
            if value is True and capability_args.get(key)
        }
        if wanted:
            config["runtimeConfig"] = wanted
        if previous is not None:
            config["prevResult"] = previous
        if valid_attachments is not None:
            config.update({key: list(valid_attachments) for key in VALID_ATTACHMENTS})
        return document.encode(config)


def parse(config: JsonObject) -> NetworkConfig:
    """Return the network that a JSON object describes: one plugin, or a list with ``plugins``."""
    if config.get("type"):
        return _network(config, [config], chained=False)
    return _network(config, _plugins(config), chained=True)


def parse_list(config: JsonObject, further: Sequence[JsonObject] = ()) -> NetworkConfig:
    """Return the network of a ``.conflist`` file, with ``further`` plugins after its own.

    Specification: "Network configuration lists", ``loadOnlyInlinedPlugins``.
    """
    listed = {key: value for key, value in config.items() if key != "type"}
    if not further:
        return parse(listed)
    own = [] if listed.get("plugins") is None else _plugins(listed, may_be_empty=True)
    whole = parse({**listed, "plugins": [*own, *further]})
    return replace(whole, written=listed)


def flag(config: JsonObject, key: str) -> bool:
    """Return a switch that may be written as a boolean or as the text of one."""
    value = config.get(key)
    if value is None or isinstance(value, bool):
        return bool(value)
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    raise _invalid(f"{key} is neither true nor false")


def _network(config: JsonObject, plugins: list[Any], *, chained: bool) -> NetworkConfig:
    for index, plugin in enumerate(plugins):
        with located(*([f"plugins[{index}]"] if chained else [])):
            _check_plugin(plugin)
    return NetworkConfig(
        name=_text(config, "name"),
        version=_version(config),
        plugins=tuple(plugins),
        document=config,
        written=config,
        chained=chained,
        disable_check=flag(config, "disableCheck"),
        disable_gc=flag(config, "disableGC"),
        only_inlined=flag(config, "loadOnlyInlinedPlugins"),
    )


def _plugins(config: JsonObject, *, may_be_empty: bool = False) -> list[Any]:
    plugins = config.get("plugins")
    if plugins is None:
        raise _invalid("neither 'type' nor 'plugins' is set", "add the type of a plugin")
    if not isinstance(plugins, list):
        raise _invalid(f"plugins is {document.kind(plugins)}, not a list")
    if not plugins and not may_be_empty:
        raise _invalid("plugins is an empty list", "add a plugin")
    return plugins


def _check_plugin(plugin: object) -> None:
    if not isinstance(plugin, dict):
        raise _invalid(f"a plugin is {document.kind(plugin)}, not an object")
    kind = plugin.get("type")
    if not kind:
        raise _invalid("a plugin has no 'type'", "add the type of the plugin")
    if not isinstance(kind, str) or not names.is_plugin_type(kind):
        raise _invalid(f"plugin type {kind!r} is not the name of a file")
    capabilities = plugin.get("capabilities")
    if capabilities is not None and not isinstance(capabilities, dict):
        raise _invalid(f"capabilities is {document.kind(capabilities)}, not an object")


def _version(config: JsonObject) -> str:
    """Return the effective version: with ``cniVersions`` the newest of them that we know."""
    single = _text(config, "cniVersion")
    several = config.get("cniVersions")
    if several is None:
        return single
    if not isinstance(several, list) or not all(isinstance(item, str) for item in several):
        raise _invalid("cniVersions is not a list of texts")
    if not several:
        return single
    known = [item for item in (*several, single) if item in version.SUPPORTED]
    if not known:
        raise _invalid(f"none of cniVersions {', '.join(several)} is supported")
    return str(max(known, key=version.parts))


def _text(config: JsonObject, key: str) -> str:
    value = config.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _invalid(f"{key} is {document.kind(value)}, not a text")
    return value


def _invalid(cause: str, hint: str = "correct the network's configuration") -> CniError:
    return CniError(Code.INVALID_CONFIGURATION, cause, hint)
