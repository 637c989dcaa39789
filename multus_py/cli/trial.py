"""``multus-py try``: attach the pods of manifests for real, look, ping, check, delete, look again.

The plugin runs as a container runtime would run it: as a process of its own, with a configuration
on standard input. Its cluster are the manifests.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from multus_py.cli import attachments, inputs, sandbox
from multus_py.cni import document, version
from multus_py.cni.errors import CniError, Code
from multus_py.models import objects

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from multus_py.cli.attachments import Attachment
    from multus_py.cli.inputs import Inputs
    from multus_py.cni.document import JsonObject
    from multus_py.models.objects import Pod

_PLUGIN_DIRECTORIES = "/opt/cni/bin:/usr/lib/cni:/usr/libexec/cni"
_ADDRESSES = "/var/lib/cni/networks"
_EXISTING = click.Path(exists=True)


@click.command("try")
@click.argument("manifests", nargs=-1, required=True, type=_EXISTING)
@click.option(
    "-f",
    "more",
    metavar="FILE",
    multiple=True,
    type=_EXISTING,
    help="Further manifests, or CNI configuration files for confDir. May be repeated.",
)
def command(manifests: tuple[str, ...], more: tuple[str, ...]) -> None:
    """Attach the pods of these manifests in throw-away namespaces.

    MANIFESTS are YAML files or directories with pods, workloads with a pod template, and
    NetworkAttachmentDefinitions; definitions alone are tried with a pod that asks for all of them.
    The primary network is a bridge, unless one of the files is a configuration of multus-py.
    Nothing outside of the namespaces is touched, and nothing is left.
    """
    if not sandbox.is_inside():
        sandbox.enter(sys.argv[1:])
    given = inputs.Inputs()
    try:
        for path in dict.fromkeys((*manifests, *more)):
            given.add(path)
        failures = _Trial(given).run()
    except CniError as error:
        raise click.ClickException(error.message()) from error
    sys.exit(1 if failures else 0)


@dataclass(slots=True)
class _Tried:
    """A pod and what became of it."""

    pod: Pod
    place: sandbox.Pod
    attached: bool = False
    status: str = ""
    """The network-status; empty if the results of the pod's plugins name no interface."""
    attachments: tuple[Attachment, ...] = ()


class _Trial:
    """One run, from manifests to an empty node."""

    def __init__(self, given: Inputs) -> None:
        cluster = given.cluster()
        self._plugins = inputs.plugins(cluster, given)
        self._pods = cluster.pods()
        made_up = None if self._pods else inputs.made_up_pod(cluster, given.config or {})
        if made_up:
            self._pods = [objects.pod(made_up)]
        self._path = os.environ.get("CNI_PATH") or _PLUGIN_DIRECTORIES
        self._config = {
            **given.plugin_config(cluster),
            "manifests": [os.path.join(sandbox.ROOT, "manifests")],
            "statusDir": os.path.join(sandbox.ROOT, "status"),
            "confDir": os.path.join(sandbox.ROOT, "net.d"),
            "cniDir": os.path.join(sandbox.ROOT, "cni"),
        }
        self._failures = 0
        self._writable = sandbox.prepare()
        given.write(sandbox.ROOT, *([made_up] if made_up else []))

    def run(self) -> int:
        """Try everything and return how many things failed."""
        if not self._pods:
            click.echo("There is neither a pod nor a network definition here: nothing to attach.")
            return 0
        self._introduce()
        tried = [self._attach(pod, sandbox.add_pod(n)) for n, pod in enumerate(self._pods)]
        attached = [entry for entry in tried if entry.attached]
        self._show(attached)
        self._ping(attached)
        self._check(attached)
        self._all("DEL", tried, "every network is released")
        self._show_leftovers(tried)
        return self._failures

    def _introduce(self) -> None:
        """Say what is different here from a real node, and what is missing."""
        click.echo(f"{len(self._pods)} pod(s) on a node that is made for them and vanishes.")
        if self._writable:
            places = ", ".join(self._writable)
            click.secho(f"Plugins can write to this machine's {places}.", fg="yellow", err=True)
        parents = inputs.parents(self._plugins)
        sandbox.add_parents(parents)
        if parents:
            click.echo(f"Stand-ins for parent interfaces: {', '.join(parents)}")
        for plugin in inputs.missing(self._plugins, self._path):
            self._fail(f"plugin {plugin} is missing in {self._path}")

    def _attach(self, pod: Pod, place: sandbox.Pod) -> _Tried:
        tried = _Tried(pod, place)
        tried.attached = self._request("ADD", tried)
        if tried.attached:
            tried.status = self._published(pod)
            tried.attachments = attachments.of(tried.status, place.interfaces())
        return tried

    def _published(self, pod: Pod) -> str:
        name = f"{pod.ref.namespace}.{pod.ref.name}.status.json"
        try:
            with open(os.path.join(self._config["statusDir"], name)) as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def _check(self, attached: Sequence[_Tried]) -> None:
        """Make the request CHECK; runtimes leave it out where the version does not have it."""
        used = self._config.get("cniVersion") or version.UNNAMED
        if attached and not version.has_command(used, "CHECK"):
            click.echo(f"CHECK: not in cniVersion {used}")
        else:
            self._all("CHECK", attached, "every network is in place")

    def _all(self, verb: str, pods: Sequence[_Tried], outcome: str) -> None:
        answers = [self._request(verb, tried) for tried in pods]
        if answers and all(answers):
            click.echo(f"{verb}: {outcome} ({len(answers)} pod(s))")

    def _request(self, verb: str, tried: _Tried) -> bool:
        """Run the plugin as a container runtime does, and tell whether it succeeded."""
        ref = tried.pod.ref
        pairs = {
            "IgnoreUnknown": "1",
            "K8S_POD_NAMESPACE": ref.namespace,
            "K8S_POD_NAME": ref.name,
            "K8S_POD_UID": tried.pod.uid,
        }
        environment = {
            "CNI_COMMAND": verb,
            "CNI_CONTAINERID": tried.place.name,
            "CNI_NETNS": tried.place.path,
            "CNI_IFNAME": "eth0",
            "CNI_PATH": self._path,
            "CNI_ARGS": ";".join(f"{key}={value}" for key, value in pairs.items()),
        }
        done = subprocess.run(
            [sys.executable, "-m", "multus_py"],
            input=json.dumps(self._config).encode(),
            stdout=subprocess.PIPE,
            env={**os.environ, **environment},
            check=False,
        )
        if not done.returncode:
            return True
        error = _error(done)
        if verb == "CHECK" and error["code"] == Code.INCOMPATIBLE_VERSION:
            click.echo(error["msg"])  # networks of that time cannot be checked
        else:
            self._fail(error["msg"])
        return False

    def _show(self, attached: Sequence[_Tried]) -> None:
        """Show all pods as a table, and the first one's network-status as it is."""
        if attached:
            pods = [(str(tried.pod.ref), tried.attachments) for tried in attached]
            click.echo(f"\n{attachments.table(pods)}")
            _show_status(attached[0])

    def _ping(self, attached: Sequence[_Tried]) -> None:
        """Ping from the first pod to the others over every network that they share."""
        for target in attached[1:]:
            source = attached[0]
            for ifname, address in attachments.shared(source.attachments, target.attachments):
                ping = ["ping", "-c1", "-W5", "-q", "-I", ifname, address]
                done = subprocess.run(
                    ["ip", "netns", "exec", source.place.name, *ping],
                    capture_output=True,
                    text=True,
                    check=False,
                )
                route = f"ping {source.pod.ref} -> {target.pod.ref} ({address}) over {ifname}"
                if done.returncode:
                    self._fail(f"{route}: {(done.stderr or done.stdout).strip()}")
                else:
                    click.echo(f"{route}: it answers")

    def _show_leftovers(self, tried: Sequence[_Tried]) -> None:
        """Show that nothing is left. Bridges are, as plugin bridge shares and keeps them."""
        left = [f"{name} in {entry.pod.ref}" for entry in tried for name in entry.place.links()]
        left += [name for name in sandbox.node_links() if name.startswith("veth")]
        left += [path for top in (self._config["cniDir"], _ADDRESSES) for path in _files(top)]
        if left:
            self._fail(f"left behind: {', '.join(left)}")
            return
        bridges = ", ".join(sandbox.bridges())
        kept = f" (plugin bridge keeps {bridges} for the next pod)" if bridges else ""
        click.secho(f"Nothing is left: no interface, no address, no file{kept}.", fg="green")

    def _fail(self, what: str) -> None:
        self._failures += 1
        click.secho(what, fg="red", err=True)


def _error(done: subprocess.CompletedProcess[bytes]) -> JsonObject:
    """Return the error that the plugin answered; one that was killed answers nothing."""
    try:
        return document.decode_object(done.stdout, "the answer")
    except CniError as error:
        return {"code": Code.INTERNAL, "msg": f"the plugin ended with {done.returncode}: {error}"}


def _show_status(tried: _Tried) -> None:
    if tried.status:
        click.echo(f"\n{objects.NETWORK_STATUS} of {tried.pod.ref}:")
        click.echo(f"{json.dumps(json.loads(tried.status), indent=2)}\n")
    else:
        click.echo(f"\n{tried.pod.ref} gets no {objects.NETWORK_STATUS}.\n")


def _files(top: str) -> Iterator[str]:
    """Yield the files below a directory, but for the bookkeeping of host-local."""
    for directory, _, names in os.walk(top):
        for name in names:
            if name != "lock" and not name.startswith("last_reserved_ip"):
                yield os.path.join(directory, name)
