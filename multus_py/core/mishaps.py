"""The errors that all hosts share: plugins that did not run to their end, what cannot be seen."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from multus_py.cni.errors import CniError, Code, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from multus_py.core.ports import PluginCall

OUTPUT_LIMIT = 4 * 1024 * 1024
"""Bytes of standard output that are kept. The result of ADD has a few kilobytes."""

NOT_STARTED = frozenset(
    {
        Code.INVALID_CONFIGURATION,
        Code.DELEGATE_FAILED,
        Code.DELEGATE_MISSING,
        Code.DELEGATE_UNTRUSTED,
        Code.RECURSION,
    }
)
"""Codes of a :class:`~multus_py.core.ports.Host` for plugins that it has not even started."""

_RUNNING_FOR = "MULTUS_PY_RUNNING_FOR"
"""Tells a plugin, and whatever it starts, for which container this plugin is already at work."""


class KeptOffError(CniError):
    """A plugin was not run: its link is there already, or nobody has seen that it is not.

    What is there may be anybody's, so nothing is to be undone either.
    """


@contextmanager
def keeping_off() -> Iterator[None]:
    """Let what fails in the context, so that nobody sees whether the link is there, be that."""
    try:
        yield
    except KeptOffError:
        raise
    except CniError as error:
        raise KeptOffError(error.code, error.cause, error.hint, where=error.where) from error
    except (OSError, RuntimeError) as error:  # it takes a thread to look
        raise KeptOffError(
            Code.TRY_AGAIN_LATER, f"cannot look for links: {error}", "the runtime tries again"
        ) from error


def missing(call: PluginCall) -> NotFoundError:
    """Return the error for a plugin that is not installed."""
    return NotFoundError(
        Code.DELEGATE_MISSING,
        f"failed to find plugin {call.plugin} in {', '.join(call.path) or 'no directory'}",
        f"install {call.plugin} on this node",
    )


def taken(ifname: str) -> KeptOffError:
    """Return the error for a link that was to be new."""
    return KeptOffError(
        Code.INTERFACE_TAKEN,
        f"the pod already has an interface {ifname}",
        "ask for another interface name, or for none",
    )


def blind(netns: str, reason: str) -> CniError:
    """Return the error for a network namespace that cannot be entered."""
    return CniError(
        Code.INVALID_NETNS,
        f"cannot look into network namespace {netns}: {reason}",
        "the pod's namespace is gone or no namespace; the runtime makes a new one",
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
