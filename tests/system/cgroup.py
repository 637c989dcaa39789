"""A memory cgroup, of whichever version this machine has."""

from __future__ import annotations

import itertools
import os
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.processes import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class MemoryCgroup:
    """One cgroup, and what its two most important files are called."""

    path: Path
    limit: str
    events: str

    @property
    def prefix(self) -> tuple[str, ...]:
        """A command that executes another one inside."""
        procs = str(self.path / "cgroup.procs")
        return ("/bin/sh", "-c", 'echo $$ >"$0" && exec "$@"', procs)

    @property
    def kills(self) -> int:
        """How many processes the kernel has killed in it because its memory was used up."""
        lines = (self.path / self.events).read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


@contextmanager
def memory_cgroup(megabytes: int) -> Iterator[MemoryCgroup | None]:
    """Make a memory cgroup with a limit; None where that is not allowed."""
    made = next(filter(None, map(_made, _mounts())), None)
    try:
        if made:
            (made.path / made.limit).write_text(str(megabytes << 20))
        yield made
    finally:
        if made:
            eventually(lambda: not (made.path / "cgroup.procs").read_text())
            made.path.rmdir()


def _mounts() -> list[Path]:
    lines = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [
        Path(path)
        for _, path, kind, options, *_ in lines
        if kind == "cgroup2" or (kind == "cgroup" and "memory" in options.split(","))
    ]


def _made(mount: Path) -> MemoryCgroup | None:
    path = mount / f"multus-py-test-{os.getpid()}-{next(_numbers)}"
    try:
        path.mkdir()
    except OSError:
        return None
    for limit, events in (
        ("memory.max", "memory.events"),
        ("memory.limit_in_bytes", "memory.oom_control"),
    ):
        if (path / limit).exists():
            return MemoryCgroup(path, limit, events)
    path.rmdir()
    return None
