"""Control groups of machines, in whichever version of the hierarchy this machine has."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from pathlib import Path

from tests.cluster.waiting import until

_MOUNTED = Path("/sys/fs/cgroup")


def make(group: str) -> None:
    """Make a group, empty."""
    for hierarchy in _hierarchies():
        directory = hierarchy
        for part in group.strip("/").split("/"):
            _hand_down(directory)
            directory /= part
            directory.mkdir(exist_ok=True)


def remove(group: str) -> None:
    """Remove a group and what is below it; the processes in it are ending or have ended."""
    for hierarchy in _hierarchies():
        until(partial(_removed, hierarchy / group.lstrip("/")), f"{group} to be empty")


def _hierarchies() -> list[Path]:
    if (_MOUNTED / "cgroup.controllers").exists():
        return [_MOUNTED]
    return sorted({path.resolve().parent for path in _MOUNTED.glob("*/cgroup.procs")})


def _hand_down(directory: Path) -> None:
    """Let groups below a group limit what it may limit; the first version knows no such thing."""
    switch = directory / "cgroup.subtree_control"
    if switch.exists():
        for controller in (directory / "cgroup.controllers").read_text().split():
            with suppress(OSError):  # some are not to be had below
                switch.write_text(f"+{controller}")


def _removed(top: Path) -> bool:
    below = [path for path in top.rglob("*") if path.is_dir()]
    for directory in [*sorted(below, reverse=True), top]:
        with suppress(OSError):  # busy a moment longer, or gone
            directory.rmdir()
    return not top.exists()
