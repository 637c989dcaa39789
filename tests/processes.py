"""Real processes in tests: small Python programs, and waiting for what they do."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds after which a test has hung. Nothing that works takes nearly as long."""


def python(program: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a Python program that talks over pipes; warnings are errors in it as they are here."""
    return subprocess.Popen(
        [sys.executable, "-Werror", "-c", program, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def output(process: subprocess.Popen[str]) -> str:
    """Return what a program prints until it ends; it must succeed and not complain."""
    return outputs([process])[0]


def outputs(processes: Sequence[subprocess.Popen[str]]) -> list[str]:
    """Return what programs that run at the same time print; each must succeed."""
    said = [process.communicate(timeout=PATIENCE) for process in processes]
    for process, (_, complaint) in zip(processes, said, strict=True):
        assert (process.returncode, complaint) == (0, ""), complaint
    return [out for out, _ in said]


def alive(pid: int) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] not in {"Z", "X"}


def eventually(question: Callable[[], T]) -> T:
    """Return the first answer to a question that is true."""
    deadline = time.monotonic() + PATIENCE
    while not (answer := question()):
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)
    return answer
