"""Requests made as container runtimes make them, one or many at a time, and what each took.

Also a program, so that a crowd of requests does not share an interpreter with the API server: it
reads requests from standard input and prints what they took.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Call:
    """A program to be run, with its whole environment and standard input."""

    command: tuple[str, ...]
    environment: dict[str, str]
    stdin: str = ""


@dataclass(frozen=True, slots=True)
class Turn:
    """How a call went. Moments are those of the machine's monotonic clock, in seconds."""

    began: float
    ended: float
    cpu: float
    """Seconds that it and the children it waited for have used."""
    status: int
    stdout: str

    @property
    def milliseconds(self) -> float:
        return (self.ended - self.began) * 1000


@dataclass(frozen=True, slots=True)
class _Running:
    place: int
    began: float
    stdout: int


def made(calls: Iterable[Call], at_once: int = 1) -> list[Turn]:
    """Make calls in their order, so many at once, and return how they went."""
    running: dict[int, _Running] = {}
    turns: dict[int, Turn] = {}
    for place, call in enumerate(calls):
        while len(running) >= at_once:
            _collect(running, turns)
        pid, begun = _begin(place, call)
        running[pid] = begun
    while running:
        _collect(running, turns)
    return [turns[place] for place in sorted(turns)]


def one(call: Call) -> Turn:
    """Make one call, which has to succeed."""
    (turn,) = made([call])
    assert turn.status == 0, f"{call.command}: exit code {turn.status}: {turn.stdout}"
    return turn


def _begin(place: int, call: Call) -> tuple[int, _Running]:
    stdin, stdout = os.memfd_create("stdin"), os.memfd_create("stdout")
    os.write(stdin, call.stdin.encode())
    os.lseek(stdin, 0, os.SEEK_SET)
    began = time.monotonic()
    pid = os.posix_spawn(
        call.command[0],
        call.command,
        call.environment,
        file_actions=[
            (os.POSIX_SPAWN_DUP2, stdin, 0),
            (os.POSIX_SPAWN_DUP2, stdout, 1),
            (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0),
        ],
    )
    os.close(stdin)
    return pid, _Running(place, began, stdout)


def _collect(running: dict[int, _Running], turns: dict[int, Turn]) -> None:
    """Wait for the end of one of the calls that are under way."""
    pids = list(running)
    pid, status, usage = os.wait4(pids[0] if len(pids) == 1 else -1, 0)
    ended = time.monotonic()
    if pid not in running:
        return  # a child of somebody else in this process
    call = running.pop(pid)
    with os.fdopen(call.stdout, "rb") as stdout:
        stdout.seek(0)
        said = stdout.read().decode()
    turns[call.place] = Turn(
        call.began, ended, usage.ru_utime + usage.ru_stime, os.waitstatus_to_exitcode(status), said
    )


# -- a crowd


def crowded(calls: Iterable[Call], at_once: int) -> list[Turn]:
    """Make calls from a process of its own."""
    asked = json.dumps({"at_once": at_once, "calls": [asdict(call) for call in calls]})
    turn = one(Call((sys.executable, "-m", __spec__.name), dict(os.environ), asked))
    return [Turn(**told) for told in json.loads(turn.stdout)]


def _main() -> None:
    asked: dict[str, Any] = json.load(sys.stdin)
    calls = [Call(**call) for call in asked["calls"]]
    print(json.dumps([asdict(turn) for turn in made(calls, asked["at_once"])]))


if __name__ == "__main__":
    _main()
