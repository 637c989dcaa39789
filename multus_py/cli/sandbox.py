"""A node to try things on that vanishes: user, mount, network and PID namespaces of our own.

Whatever happens in there, nothing outside changes: the file system is read-only but for memory that
is mounted over the places where CNI plugins write, the network has no way out, and all processes
end with the first one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

ROOT = "/run/multus-py-try"
"""Inside: where everything that is tried keeps its files."""

_INSIDE = "MULTUS_PY_TRY"
_WRITABLE = ("/run", "/var/lib/cni")
_KERNEL = ("/proc", "/sys", "/dev", "/run")
_NAMESPACES = ("--user", "--map-root-user", "--mount", "--net", "--pid")


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod's network namespace on the throw-away node."""

    name: str

    @property
    def path(self) -> str:
        """What runtimes pass as CNI_NETNS."""
        return f"/run/netns/{self.name}"

    def links(self) -> list[str]:
        """Return the names of its links without the loopback."""
        return _links("-n", self.name)


def is_inside() -> bool:
    """Tell whether this process is on the throw-away node already."""
    return os.environ.get(_INSIDE) == str(os.getpid()) == "1"


def enter(arguments: Sequence[str]) -> NoReturn:
    """Run this program again with these arguments on a throw-away node, and end as it ends."""
    for program in ("unshare", "ip", "mount"):
        if not shutil.which(program):
            raise click.ClickException(f"{program} is missing. Next: install util-linux, iproute2")
    probe = subprocess.run(
        ["unshare", *_NAMESPACES, "--fork", "true"], capture_output=True, text=True, check=False
    )
    if probe.returncode:
        raise click.ClickException(
            f"this kernel does not give you namespaces ({probe.stderr.strip()}). Next: use sudo"
        )
    again = [sys.executable, "-m", "multus_py", *arguments]
    unshare = ["unshare", *_NAMESPACES, "--fork", "--kill-child", "--mount-proc", *again]
    os.execvpe("unshare", unshare, {**os.environ, _INSIDE: "1"})


def prepare() -> None:
    """Make the node: memory where plugins write, everything else read-only, no network but lo."""
    writable = [_existing(place) for place in _WRITABLE]
    for place in writable:
        _run("mount", "-t", "tmpfs", "tmpfs", place)
    _run("mount", "-t", "sysfs", "sysfs", "/sys")
    with open("/proc/self/mountinfo") as table:
        places = {line.split()[4] for line in table}
    for place in places - set(writable):
        if not place.startswith(_KERNEL):
            _run("mount", "-o", "remount,bind,ro", place, check=False)
    os.makedirs(ROOT)
    os.makedirs("/run/netns")
    _run("ip", "link", "set", "lo", "up")


def _existing(place: str) -> str:
    """Return a directory, or the nearest one above it that there is."""
    return place if os.path.isdir(place) else _existing(os.path.dirname(place))


def add_parents(parents: Sequence[str]) -> None:
    """Make a stand-in for each interface that networks have as their parent."""
    for number, parent in enumerate(parents):
        peer = f"standin{number}"
        _run("ip", "link", "add", parent, "type", "veth", "peer", "name", peer)
        for name in (parent, peer):
            _run("ip", "link", "set", name, "up")


def add_pod(number: int) -> Pod:
    """Make a pod's network namespace."""
    pod = Pod(f"pod{number}")
    _run("ip", "netns", "add", pod.name)
    _run("ip", "-n", pod.name, "link", "set", "lo", "up")
    return pod


def node_links() -> list[str]:
    """Return the names of the node's own links without the loopback."""
    return _links()


def bridges() -> list[str]:
    """Return the names of the node's bridges."""
    return [name for name in node_links() if os.path.isdir(f"/sys/class/net/{name}/bridge")]


def _links(*where: str) -> list[str]:
    lines = _run("ip", *where, "-o", "link", "show").splitlines()
    names = [line.split(":")[1].strip().partition("@")[0] for line in lines]
    return [name for name in names if name != "lo"]


def _run(*command: str, check: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise click.ClickException(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
