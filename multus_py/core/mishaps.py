"""The errors of plugins that did not run to their end, whoever runs them and wherever."""

from __future__ import annotations

from typing import TYPE_CHECKING

from multus_py.cni.errors import CniError, Code, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from multus_py.core.ports import PluginCall

OUTPUT_LIMIT = 4 * 1024 * 1024
"""Bytes of standard output that are kept. The result of ADD has a few kilobytes."""

OF_LINK = frozenset({Code.INTERFACE_TAKEN, Code.INVALID_NETNS})
"""Codes of a :class:`~multus_py.core.ports.Host` for a link that is, or may be, there already."""

NOT_STARTED = OF_LINK | frozenset(
    {
        Code.INVALID_CONFIGURATION,
        Code.DELEGATE_FAILED,
        Code.DELEGATE_MISSING,
        Code.DELEGATE_UNTRUSTED,
        Code.RECURSION,
    }
)
"""Its codes for plugins that it has not even started."""

_RUNNING_FOR = "MULTUS_PY_RUNNING_FOR"
"""Tells a plugin, and whatever it starts, for which container this plugin is already at work."""


def missing(call: PluginCall) -> NotFoundError:
    """Return the error for a plugin that is not installed."""
    return NotFoundError(
        Code.DELEGATE_MISSING,
        f"failed to find plugin {call.plugin} in {', '.join(call.path) or 'no directory'}",
        f"install {call.plugin} on this node",
    )


def taken(ifname: str) -> CniError:
    """Return the error for a link that was to be new."""
    return CniError(
        Code.INTERFACE_TAKEN,
        f"the pod already has an interface {ifname}",
        "ask for another interface name, or for none",
    )


def late(call: PluginCall) -> CniError:
    """Return the error for a plugin that was ended."""
    return CniError(
        Code.DELEGATE_TIMEOUT,
        f"no answer within {call.seconds:.0f} s, so it was ended",
        f"see what {call.plugin} waits for; requestTimeout sets the limit",
    )


def flood() -> CniError:
    """Return the error for a plugin that printed more than :data:`OUTPUT_LIMIT`."""
    return CniError(
        Code.DELEGATE_OUTPUT,
        f"it printed more than {OUTPUT_LIMIT // 1024 // 1024} MiB",
        "report it to the makers of the plugin",
    )


def recursion(what: str) -> CniError:
    """Return the error for a plugin that is, or leads to, this one."""
    return CniError(
        Code.RECURSION,
        f"{what} leads back to this plugin itself",
        "name the plugin that makes the network in its configuration",
    )


def untrusted(detail: str) -> CniError:
    """Return the error for a file that is not run on the host."""
    return CniError(
        Code.DELEGATE_UNTRUSTED, detail, "install it as root, in binDir, writable by root alone"
    )


def unexecutable(detail: str) -> CniError:
    """Return the error for a file that the kernel does not run."""
    return CniError(
        Code.DELEGATE_FAILED, detail, "install the plugin again, for this node's architecture"
    )


def marked(container_id: str) -> dict[str, str]:
    """Return the variable that plugins get so that :func:`refuse_nested` can tell."""
    return {_RUNNING_FOR: f"container {container_id}"}


def refuse_nested(environ: Mapping[str, str]) -> None:
    """Refuse to run for a container that this plugin is at work for, at whatever depth."""
    mark = marked(environ.get("CNI_CONTAINERID", ""))
    if environ.get(_RUNNING_FOR) == mark[_RUNNING_FOR]:
        raise recursion("a plugin that it runs")
