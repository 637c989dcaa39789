"""``multus-py try``: attach the pods of manifests for real, look, ping, check, delete, look again.

The plugin runs as a container runtime would run it: as a process of its own, with a configuration
on standard input. Its cluster are the manifests.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from multus_py.cli import inputs, sandbox
from multus_py.cni.errors import CniError, Code
from multus_py.models import objects

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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
        for path in (*manifests, *more):
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
    status: list[JsonObject] = field(default_factory=list)


class _Trial:
    """One run, from manifests to an empty node."""

    def __init__(self, given: Inputs) -> None:
        sandbox.prepare()
        self._path = os.environ.get("CNI_PATH") or _PLUGIN_DIRECTORIES
        cluster = given.write(sandbox.ROOT)
        config = given.plugin_config(cluster)
        self._config = {
            **config,
            "manifests": [os.path.join(sandbox.ROOT, "manifests")],
            "statusDir": os.path.join(sandbox.ROOT, "status"),
            "confDir": os.path.join(sandbox.ROOT, "net.d"),
            "cniDir": os.path.join(sandbox.ROOT, "cni"),
        }
        self._pods = inputs.pods(cluster, given.config, sandbox.ROOT)
        self._plugins = inputs.plugins(cluster, given, config)
        self._failures = 0

    def run(self) -> int:
        """Try everything and return how many things failed."""
        if not self._pods:
            click.echo("There is neither a pod nor a network definition here: nothing to attach.")
            return 0
        self._introduce()
        tried = [self._attach(pod, sandbox.add_pod(n)) for n, pod in enumerate(self._pods)]
        attached = [entry for entry in tried if entry.status]
        self._show(attached)
        self._ping(attached)
        self._all("CHECK", attached, "every network is in place")
        self._all("DEL", tried, "every network is released")
        self._show_leftovers(tried)
        return self._failures

    def _introduce(self) -> None:
        """Say what is different here from a real node, and what is missing."""
        click.echo(f"{len(self._pods)} pod(s) on a node that is made for them and vanishes.")
        parents = inputs.parents(self._plugins)
        sandbox.add_parents(parents)
        if parents:
            click.echo(f"Stand-ins for parent interfaces: {', '.join(parents)}")
        for plugin in inputs.missing(self._plugins, self._path):
            self._fail(f"plugin {plugin} is missing in {self._path}")

    def _attach(self, pod: Pod, place: sandbox.Pod) -> _Tried:
        tried = _Tried(pod, place)
        status = os.path.join(self._config["statusDir"], f"{pod.ref.namespace}.{pod.ref.name}")
        if self._request("ADD", tried) and os.path.exists(f"{status}.status.json"):
            with open(f"{status}.status.json") as file:
                tried.status = json.load(file)
        return tried

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
        error = json.loads(done.stdout)
        if verb == "CHECK" and error["code"] == Code.INCOMPATIBLE_VERSION:
            click.echo(error["msg"])  # networks of that time cannot be checked
        else:
            self._fail(error["msg"])
        return False

    def _show(self, attached: Sequence[_Tried]) -> None:
        """Show all pods as a table, and the first one's network-status as it is."""
        rows = [
            (
                str(tried.pod.ref) if entry is tried.status[0] else "",
                entry["name"],
                entry.get("interface", ""),
                " ".join(entry.get("ips", [])),
                entry.get("mac", ""),
                " ".join(entry.get("gateway", [])),
            )
            for tried in attached
            for entry in tried.status
        ]
        if rows:
            header = ("POD", "NETWORK", "INTERFACE", "ADDRESSES", "MAC", "GATEWAY")
            click.echo(f"\n{_table([header, *rows])}")
            click.echo(f"\n{objects.NETWORK_STATUS} of {attached[0].pod.ref}:")
            click.echo(f"{json.dumps(attached[0].status, indent=2)}\n")

    def _ping(self, attached: Sequence[_Tried]) -> None:
        """Ping from the first pod to the others over every network that they share."""
        for target in attached[1:]:
            source = attached[0]
            for ifname, address in _shared(source, target):
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


def _shared(source: _Tried, target: _Tried) -> Iterator[tuple[str, str]]:
    """Yield interfaces of the source, each with the target's address on the same network."""
    for here in source.status:
        for there in target.status:
            same = (here["name"], here["interface"]) == (there["name"], there["interface"])
            if same and here.get("ips") and there.get("ips"):
                yield here["interface"], there["ips"][0]


def _files(top: str) -> Iterator[str]:
    """Yield the files below a directory, but for the bookkeeping of host-local."""
    for directory, _, names in os.walk(top):
        for name in names:
            if name != "lock" and not name.startswith("last_reserved_ip"):
                yield os.path.join(directory, name)


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of texts as aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
