"""Running the plugins of one network, as libcni does it for a runtime.

Specification: "Section 3: Execution of Network Configurations". Plugins run in order on ADD and
CHECK and in reverse on DEL; this module knows nothing of pods or of other networks.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from multus_py.cni import arguments, document, names, result, version
from multus_py.cni.errors import SPECIFIED, CniError, Code, NotFoundError, joined, located
from multus_py.core.ports import PluginCall

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from multus_py.cni.document import JsonObject
    from multus_py.cni.result import Result
    from multus_py.core.ports import Host, PluginExit
    from multus_py.core.session import Session
    from multus_py.models.delegate import Delegate

_LOG = logging.getLogger(__name__)


class Executor:
    """Runs plugins for one container. ``seconds`` returns the time the next plugin may take."""

    def __init__(
        self,
        session: Session,
        *,
        seconds: Callable[[], float],
        container_id: str | None = None,
        netns: str | None = None,
    ) -> None:
        request = session.request
        self._host: Host = session.host
        self._path = session.plugin_path
        self._seconds = seconds
        self.container_id = request.container_id if container_id is None else container_id
        self._netns = request.netns if netns is None else netns

    def add(self, delegate: Delegate) -> Result:
        """Run ADD. Each plugin gets its predecessor's result; the last one's is the network's."""
        self._validate(delegate)
        results: list[Result] = []
        for plugin in delegate.network.plugins:
            previous = results[-1].document if results else None
            with self._located(delegate, plugin):
                ended = self._run("ADD", delegate, plugin, previous)
                results.append(result.parse(ended.stdout, delegate.network.version))
        return results[-1]

    def delete(self, delegate: Delegate, last: Result | None) -> None:
        """Run DEL with the result of ADD. A plugin that fails does not keep the others from it.

        Without a result ADD did not succeed; a plugin that is not installed was the reason for
        that, or was never reached, and has nothing to release.
        """
        self._validate(delegate)
        previous = self._previous(delegate, last)
        errors = []
        for plugin in reversed(delegate.network.plugins):
            try:
                with self._located(delegate, plugin):
                    self._run("DEL", delegate, plugin, previous)
            except CniError as error:
                if last is not None or not isinstance(error, NotFoundError):
                    errors.append(error)
        if errors:
            raise joined(errors)

    def check(self, delegate: Delegate, last: Result | None) -> None:
        """Run CHECK with the result of ADD, unless the network switches it off."""
        self._validate(delegate)
        network = delegate.network
        if network.disable_check:
            return
        if not version.has_command(network.version, "CHECK"):
            with self._located(delegate, network.plugins[0]):
                raise CniError(
                    Code.INCOMPATIBLE_VERSION,
                    f"its cniVersion {network.version or version.UNNAMED} does not have CHECK",
                    "use cniVersion 0.4.0 or newer for it",
                )
        previous = self._previous(delegate, last)
        for plugin in network.plugins:
            with self._located(delegate, plugin):
                self._run("CHECK", delegate, plugin, previous)

    def status(self, delegate: Delegate) -> None:
        """Run STATUS, where the network's version has it. A plugin's own code is passed on."""
        self._validate(delegate)
        if version.has_command(delegate.network.version, "STATUS"):
            for plugin in delegate.network.plugins:
                with self._located(delegate, plugin):
                    self._run("STATUS", delegate, plugin, None)

    def collect(self, delegate: Delegate, valid: Sequence[JsonObject]) -> None:
        """Run GC on every plugin, where the network's version has it, and report all failures."""
        self._validate(delegate)
        network = delegate.network
        if network.disable_gc or not version.has_command(network.version, "GC"):
            return
        errors = []
        for plugin in network.plugins:
            try:
                with self._located(delegate, plugin):
                    self._run("GC", delegate, plugin, None, valid)
            except CniError as error:
                errors.append(error)
        if errors:
            raise joined(errors)

    def _run(
        self,
        command: str,
        delegate: Delegate,
        plugin: JsonObject,
        previous: JsonObject | None,
        valid: Sequence[JsonObject] | None = None,
    ) -> PluginExit:
        of_container = command not in {"STATUS", "GC"}
        ended = self._host.run(
            PluginCall(
                plugin=plugin["type"],
                path=self._path,
                environment=self._environment(command, delegate if of_container else None),
                stdin=delegate.network.stdin(
                    plugin,
                    capability_args=(delegate.capability_args or {}) if of_container else {},
                    previous=previous,
                    valid_attachments=valid,
                ),
                seconds=self._seconds(),
            )
        )
        if ended.status != 0:
            raise _failure(ended, plugin["type"], command)
        return ended

    def _environment(self, command: str, delegate: Delegate | None) -> dict[str, str]:
        asked = command in {"ADD", "CHECK"}
        return {
            "CNI_COMMAND": command,
            "CNI_CONTAINERID": self.container_id if delegate else "",
            "CNI_NETNS": self._netns if delegate else "",
            "CNI_IFNAME": delegate.ifname if delegate else "",
            "CNI_ARGS": _arguments(delegate, asked=asked) if delegate else "",
            "CNI_PATH": ":".join(self._path),
        }

    def _validate(self, delegate: Delegate) -> None:
        """Refuse what would be refused by libcni before any plugin runs."""
        with located(f"network {delegate.label}"):
            delegate.network.validate()
            if delegate.ifname and (fault := names.interface_name_fault(delegate.ifname)):
                raise CniError(Code.INVALID_CONFIGURATION, fault, "ask for another interface name")

    @staticmethod
    def _located(delegate: Delegate, plugin: JsonObject) -> AbstractContextManager[None]:
        places = [f"network {delegate.label}"]
        if delegate.ifname:
            places.append(f"interface {delegate.ifname}")
        return located(*places, f"plugin {plugin['type']}")

    @staticmethod
    def _previous(delegate: Delegate, last: Result | None) -> JsonObject | None:
        """Return ``prevResult`` for CHECK and DEL, in the network's own version."""
        wanted = delegate.network.version
        if last is None or not version.passes_previous_result(wanted):
            return None
        return last.as_version(wanted).document


def _arguments(delegate: Delegate, *, asked: bool) -> str:
    """Return ``CNI_ARGS``. MAC and IP are requests, so DEL, which asks for nothing, has none."""
    pairs = dict(delegate.cni_args or ())
    if asked and delegate.requests.mac:
        pairs["MAC"] = delegate.requests.mac
    if asked and delegate.requests.ips:
        pairs["IP"] = ",".join(delegate.requests.ips)
    return arguments.joined(tuple(pairs.items()))


def requested_arguments(delegate: Delegate) -> arguments.Pairs:
    """Return the arguments of ADD as libcni's cache keeps them."""
    text = _arguments(delegate, asked=True)
    return tuple(
        (key, value) for key, _, value in (pair.partition("=") for pair in text.split(";"))
    )


def _failure(ended: PluginExit, plugin: str, command: str) -> CniError:
    """Return the error of a plugin that did not succeed, in its own words as far as it has any."""
    hint = f"see what {plugin} says about it, in its own log and on this node"
    try:
        said = document.decode_object(ended.stdout, "its error") if ended.stdout.strip() else {}
    except CniError:
        said = {}
    msg, details, code = said.get("msg"), said.get("details"), said.get("code")
    if isinstance(msg, str) and msg:
        cause = f"{msg}; {details}" if isinstance(details, str) and details else msg
    else:
        cause = _last_words(ended)
    passed_on = isinstance(code, int) and (code in SPECIFIED or (command == "STATUS" and code > 0))
    if code == Code.TRY_AGAIN_LATER:
        hint = "the runtime tries again"
    return CniError(code if passed_on and code else Code.DELEGATE_FAILED, cause, hint)


def _last_words(ended: PluginExit) -> str:
    how = f"exit code {ended.status}" if ended.status > 0 else f"signal {-ended.status}"
    for stream in (ended.stderr, ended.stdout):
        if words := stream.decode(errors="replace").strip():
            return f"it ended with {how}: {words[-400:]}"
    return f"it ended with {how} and without a word"
