"""Running the plugins of one network, as libcni does it for a runtime.

Specification: "Section 3: Execution of Network Configurations". Plugins run in order on ADD and
CHECK and in reverse on DEL; this module knows nothing of pods or of other networks.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from multus_py.cni import arguments, document, result, version
from multus_py.cni.errors import SPECIFIED, CniError, Code, NotFoundError, joined, located
from multus_py.core import mishaps
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


class NothingOwedError(CniError):
    """A DEL that failed only for plugins that, as far as is known, have never done anything."""


@dataclass(slots=True)
class Progress:
    """How far the ADD of one network has come."""

    begun: int = 0
    """How many plugins, from the first, may have done something. One that refuses has not."""
    kept_off: bool = True
    """Whether none was asked to do anything: what is there may be anybody's."""


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

    def add(self, delegate: Delegate, progress: Progress) -> Result:
        """Run ADD. Each plugin gets its predecessor's result; the last one's is the network's.

        Nothing is run if the link that the first one is to make is there already.
        """
        results: list[Result] = []
        for plugin in delegate.network.plugins:
            previous = results[-1].document if results else None
            with self._located(delegate, plugin):
                call = self._call("ADD", delegate, plugin, previous)
                if not results:
                    call = replace(call, new_link=delegate.ifname)
                ended = self._begun(call, progress)
                results.append(result.parse(ended.stdout, delegate.network.version))
        return results[-1]

    def delete(self, delegate: Delegate, last: Result | None) -> None:
        """Run DEL with the result of ADD. A plugin that fails does not keep the others from it.

        A plugin that has done nothing need not be installed; if it fails all the same, and no other
        does, the error is a :class:`NothingOwedError`. A network that is not valid and has no
        result was never run, by nobody, and is not run now.
        """
        if last is None and not delegate.valid:
            return
        plugins = delegate.network.plugins
        begun = delegate.begun
        if last is not None or begun is None:
            begun = len(plugins)
        previous = self._previous(delegate, last)
        owed, errors = False, []
        for index, plugin in reversed(list(enumerate(plugins))):
            try:
                with self._located(delegate, plugin):
                    self._run("DEL", delegate, plugin, previous)
            except CniError as error:
                owed |= index < begun
                if index < begun or not isinstance(error, NotFoundError):
                    errors.append(error)
        if errors:
            raise joined(errors) if owed else _nothing_owed(errors)

    def check(self, delegate: Delegate, last: Result | None) -> None:
        """Run CHECK with the result of ADD, unless the network switches it off."""
        delegate.validate()
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
        delegate.validate()
        if version.has_command(delegate.network.version, "STATUS"):
            for plugin in delegate.network.plugins:
                with self._located(delegate, plugin):
                    self._run("STATUS", delegate, plugin, None)

    def collect(self, delegate: Delegate, valid: Sequence[JsonObject]) -> None:
        """Run GC on every plugin, where the network's version has it, and report all failures."""
        delegate.validate()
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
    ) -> None:
        call = self._call(command, delegate, plugin, previous, valid)
        ended = self._host.run(call)
        if ended.status != 0:
            raise _failure(ended, call)

    def _begun(self, call: PluginCall, progress: Progress) -> PluginExit:
        """Run ADD of one plugin, and note whether it may have done something."""
        progress.begun += 1
        try:
            ended = self._host.run(call)
        except mishaps.KeptOffError:
            progress.begun -= 1
            raise
        except BaseException as error:
            progress.kept_off = False
            if isinstance(error, CniError) and error.code in mishaps.NOT_STARTED:
                progress.begun -= 1
            raise
        progress.kept_off = False
        if ended.status != 0:
            if ended.status > 0 and isinstance(_said(ended).get("msg"), str):
                progress.begun -= 1
            raise _failure(ended, call)
        return ended

    def _call(
        self,
        command: str,
        delegate: Delegate,
        plugin: JsonObject,
        previous: JsonObject | None,
        valid: Sequence[JsonObject] | None = None,
    ) -> PluginCall:
        of_container = command not in {"STATUS", "GC"}
        return PluginCall(
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

    @staticmethod
    def _located(delegate: Delegate, plugin: JsonObject) -> AbstractContextManager[None]:
        places = [f"network {delegate.label}"]
        if delegate.ifname:
            places.append(f"interface {delegate.ifname}")
        return located(*places, f"plugin {plugin['type']}{_parent(plugin)}")

    @staticmethod
    def _previous(delegate: Delegate, last: Result | None) -> JsonObject | None:
        """Return ``prevResult`` for CHECK and DEL, in the network's own version."""
        wanted = delegate.network.version
        if last is None or not version.passes_previous_result(wanted):
            return None
        return last.as_version(wanted).document


def _parent(plugin: JsonObject) -> str:
    """Return the parent link of a plugin's network for a message: plugins say "Link not found"."""
    master = plugin.get("master")
    return f" (master {master})" if isinstance(master, str) and master else ""


def _nothing_owed(errors: Sequence[CniError]) -> NothingOwedError:
    """Return one error for several; one "try again later" among them makes it that."""
    error = joined(errors)
    later = any(one.code == Code.TRY_AGAIN_LATER for one in errors)
    code = Code.TRY_AGAIN_LATER if later else error.code
    return NothingOwedError(code, error.cause, error.hint, where=error.where)


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


def _said(ended: PluginExit) -> JsonObject:
    """Return the error object of a plugin that did not succeed; an empty one if it has none."""
    try:
        return document.decode_object(ended.stdout, "its error") if ended.stdout.strip() else {}
    except CniError:
        return {}


def _failure(ended: PluginExit, call: PluginCall) -> CniError:
    """Return the error of a plugin that did not succeed, in its own words as far as it has any."""
    hint = f"see what {call.plugin} says about it, in its own log and on this node"
    said = _said(ended)
    msg, details, code = said.get("msg"), said.get("details"), said.get("code")
    if isinstance(msg, str) and msg:
        cause = f"{msg}; {details}" if isinstance(details, str) and details else msg
    else:
        cause = _last_words(ended)
    of_status = call.environment["CNI_COMMAND"] == "STATUS"
    passed_on = isinstance(code, int) and (code in SPECIFIED or (of_status and code > 0))
    if code == Code.TRY_AGAIN_LATER:
        hint = "the runtime tries again"
    return CniError(code if passed_on and code else Code.DELEGATE_FAILED, cause, hint)


def _last_words(ended: PluginExit) -> str:
    how = f"exit code {ended.status}" if ended.status > 0 else f"signal {-ended.status}"
    for stream in (ended.stderr, ended.stdout):
        if words := stream.decode(errors="replace").strip():
            return f"it ended with {how}: {words[-400:]}"
    return f"it ended with {how} and without a word"
