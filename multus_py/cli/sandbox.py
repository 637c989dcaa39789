"""A node to try things on that vanishes: user, mount, network, IPC and PID namespaces of our own.

Nothing that plugins do in there changes anything outside, unless they set out to: the file system
is read-only but for memory that is mounted over the places where CNI plugins write, the kernel's
settings are but for those of the network, there are no devices but the harmless ones, the network
has no way out, and all processes end with the first one.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from multus_py.cli.warden import Warden

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import NoReturn

ROOT = "/run/multus-py-try"
"""Inside: where everything that is tried keeps its files."""

_INSIDE = "MULTUS_PY_TRY"
_WRITABLE = ("/run", "/var/lib/cni")
_SETTINGS = "/proc/sys/net"
_DEVICES = ("null", "zero", "full", "random", "urandom", "net/tun")
_NAMESPACES = ("--user", "--map-root-user", "--mount", "--net", "--ipc", "--pid")
_PROGRAMS = ("setpriv", "unshare", "ip", "mount")
_KEPT = frozenset({"nosuid", "nodev", "noexec", "noatime", "nodiratime", "relatime"})
"""Options of mounts that a user namespace may not take away."""


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

    def interfaces(self) -> list[Interface]:
        """Return its interfaces that are up or have addresses, without the loopback."""
        links = json.loads(_run("ip", "-json", "-n", self.name, "address") or "[]")
        found = [_interface(link) for link in links if "LOOPBACK" not in link.get("flags", [])]
        return [entry for entry in found if entry]


@dataclass(frozen=True, slots=True)
class Interface:
    """What iproute2 says about a link."""

    name: str
    mac: str
    addresses: tuple[str, ...]
    """Each with its prefix, without those that the kernel gives every link."""


def _interface(link: dict[str, Any]) -> Interface | None:
    addresses = tuple(
        f"{entry['local']}/{entry['prefixlen']}"
        for entry in link.get("addr_info", [])
        if entry.get("local") and entry.get("scope") != "link"
    )
    if not addresses and "UP" not in link.get("flags", []):
        return None  # such as tunl0, which some kernels put into every namespace
    return Interface(link["ifname"], link.get("address", ""), addresses)


def is_inside() -> bool:
    """Tell whether this process is on the throw-away node already."""
    return os.environ.get(_INSIDE) == str(os.getpid()) == "1"


def enter(arguments: Sequence[str]) -> NoReturn:
    """Run this program again with these arguments on a throw-away node, and end as it ends."""
    for program in _PROGRAMS:
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
    # Each ends with the one before it, also if that is killed: this process, unshare, the node.
    ending = ["setpriv", "--pdeathsig", "KILL", *unshare]
    sys.exit(Warden().run(ending, {**os.environ, _INSIDE: "1"}))


def prepare() -> list[str]:
    """Make the node: memory where plugins write, everything else read-only, no network but lo.

    Returns the mounts that the kernel did not make read-only, and that can be written to.
    """
    writable = _protect()
    _run("mount", "-n", "--bind", _SETTINGS, _SETTINGS)
    _run("mount", "-n", "-o", "remount,bind,rw,nosuid,nodev,noexec", _SETTINGS)
    _run("mount", "-n", "-t", "sysfs", "-o", "ro", "sysfs", "/sys")
    for place in map(_existing, _WRITABLE):
        _mount_memory(place)
    _make_devices(f"{ROOT}/dev")
    os.makedirs("/run/netns")
    _run("ip", "link", "set", "lo", "up")
    return writable


def _protect() -> list[str]:
    """Make every mount read-only in this namespace, and return those that stay writable.

    Those that are about to be covered too: a working directory or a descriptor may lead there.
    """
    mounts = list(_mounts())
    for place, options in mounts:
        kept = [option for option in options.split(",") if option in _KEPT]
        _run("mount", "-n", "-o", ",".join(["remount,bind,ro", *kept]), place, check=False)
    return sorted({place for place, _ in mounts if _is_writable(place)})


def _mounts() -> Iterator[tuple[str, str]]:
    """Yield where each mount is, and its options; proc(5) escapes blanks."""
    with open("/proc/self/mountinfo") as table:
        for line in table:
            place, options = line.split()[4:6]
            yield re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), place), options


def _is_writable(place: str) -> bool:
    """Tell whether something can be written there; it may be covered, or out of reach."""
    try:
        return not os.statvfs(place).f_flag & os.ST_RDONLY
    except OSError:
        return False


def _mount_memory(place: str) -> None:
    _run("mount", "-n", "-t", "tmpfs", "-o", "mode=755", "tmpfs", place)


def _make_devices(directory: str) -> None:
    """Replace /dev by a directory with little in it: root could write to disks in the other."""
    os.makedirs(directory)
    _mount_memory(directory)
    for inner in ("shm", "net"):
        os.mkdir(os.path.join(directory, inner))
    for name in _DEVICES:
        if os.path.exists(f"/dev/{name}"):
            with open(f"{directory}/{name}", "w"):
                _run("mount", "-n", "--bind", f"/dev/{name}", f"{directory}/{name}")
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        os.symlink(f"/proc/self/fd/{number}", f"{directory}/{name}")
    os.symlink("/proc/self/fd", f"{directory}/fd")
    _mount_memory(f"{directory}/shm")
    _run("mount", "-n", "-o", "remount,bind,ro", directory)
    _run("mount", "-n", "--move", directory, "/dev")


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
