"""What the kernel counts: memory and time of processes, and time that the host took away."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_TICKS = os.sysconf("SC_CLK_TCK")
_BETWEEN_SECONDS = 0.2
_STEAL = 7
"""The place of the stolen time among the numbers of /proc/stat (proc(5))."""


def cpu_of(stat: str) -> float:
    """Return the seconds in ``/proc/PID/stat``: the process's and its waited-for children's."""
    fields = stat.rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICKS


def mebibytes_of(status: str, what: str = "VmRSS") -> float:
    """Return a line of ``/proc/PID/status`` that is in kB."""
    return int(status.partition(f"{what}:")[2].split()[0]) / 1024


def cpu(pids: Iterable[int]) -> float:
    """Return the seconds that processes have used so far, with their waited-for children."""
    return sum(cpu_of(Path(f"/proc/{pid}/stat").read_text()) for pid in pids)


def memory(pids: Iterable[int]) -> float:
    """Return the resident memory of processes, in MiB."""
    return sum(mebibytes_of(Path(f"/proc/{pid}/status").read_text()) for pid in pids)


def memories(pids: Sequence[int], count: int = 5) -> list[float]:
    """Return the memory of processes at some moments."""
    found = []
    for _ in range(count):
        found.append(memory(pids))
        time.sleep(_BETWEEN_SECONDS)
    return found


@dataclass(frozen=True, slots=True)
class Machine:
    """What all CPUs have done so far, in ticks."""

    total: int
    stolen: int

    @classmethod
    def of(cls, stat: str) -> Machine:
        """Read ``/proc/stat``."""
        numbers = [int(number) for number in stat.splitlines()[0].split()[1:9]]
        return cls(sum(numbers), numbers[_STEAL])

    @classmethod
    def now(cls) -> Machine:
        """Return it as it is now."""
        return cls.of(Path("/proc/stat").read_text())

    def stolen_since(self, before: Machine) -> float:
        """Return the share of the CPUs' time that the host has taken away since then."""
        return (self.stolen - before.stolen) / max(self.total - before.total, 1)
