"""Network namespaces and file systems on the node that the tests have for themselves."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Netns:
    """A named network namespace."""

    name: str

    @property
    def path(self) -> str:
        return f"/run/netns/{self.name}"

    def ip(self, *arguments: str) -> str:
        """Run iproute2 inside."""
        return run("ip", "-n", self.name, *arguments)

    def add_link(self, name: str, *addresses: str) -> None:
        """Add one end of a veth pair, with addresses and up; the other end is beside it."""
        peer = f"{name}-peer"
        self.ip("link", "add", name, "type", "veth", "peer", "name", peer)
        self.ip("link", "set", peer, "up")
        self.ip("link", "set", name, "up")
        for address in addresses:
            nodad = ["nodad"] if ":" in address else []
            self.ip("address", "add", address, "dev", name, *nodad)

    def add_route(self, *route: str) -> None:
        """Add a route in the words of iproute2."""
        family = "-6" if ":" in "".join(route) else "-4"
        self.ip(family, "route", "add", *route)

    def default_routes(self, family: int) -> list[str]:
        """Return the default routes of a family (4, 6), one text for each next hop, sorted."""
        found: list[dict[str, Any]] = json.loads(
            self.ip("-json", f"-{family}", "route", "show", "default") or "[]"
        )
        hops = [{**route, **hop} for route in found for hop in route.get("nexthops", [route])]
        return sorted(
            " ".join(
                str(word)
                for key, name in (("gateway", "via"), ("dev", "dev"), ("metric", "metric"))
                if hop.get(key) not in {None, "", 0}
                for word in (name, hop[key])
            )
            for hop in hops
        )


def run(*command: str) -> str:
    """Run a program that has to succeed; return what it printed."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


def is_own() -> bool:
    """Tell whether this process runs on a node that tests may change."""
    return os.environ.get("MULTUS_PY_TEST_NODE") == "1"


@contextmanager
def network_namespace() -> Iterator[Netns]:
    """Make a network namespace with lo up, under a name that no other test has."""
    netns = Netns(f"test-{os.getpid()}-{next(_numbers)}")
    Path(netns.path).touch()
    try:
        run("unshare", f"--net={netns.path}", "ip", "link", "set", "lo", "up")
        yield netns
    finally:
        run("umount", netns.path)
        Path(netns.path).unlink()


@contextmanager
def mounted(directory: Path, options: str) -> Iterator[Path]:
    """Mount an empty file system in memory at a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory))
    try:
        yield directory
    finally:
        run("umount", str(directory))
