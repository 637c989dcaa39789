"""Bursts: all pods of a node at once, as after a reboot."""

from __future__ import annotations

import random
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

from tests.bench import proc, turns
from tests.bench.peers import PAIR
from tests.bench.site import container
from tests.bench.spread import estimate, quantile, ratio
from tests.bench.verdicts import Finding, counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.bench.peers import Peer
    from tests.bench.rounds import Rounds
    from tests.bench.site import Pod, Site

AT_ONCE = 20
NETWORKS_OF_EACH = 3
_SAMPLE_SECONDS = 0.1

Bursts = dict[tuple[str, str], list["Burst"]]
"""Bursts by command and peer."""


@dataclass(frozen=True, slots=True)
class Burst:
    """How a burst went."""

    wall: float
    """Seconds until the last answer."""
    cpu: float
    """Seconds of daemon, carrier, shims and delegates, until nothing of it was under way."""
    failures: int
    """Requests that failed, and pods whose status lacks a network."""
    latencies: list[float]
    """Milliseconds."""
    memory_before: float
    memory_after: float
    """MiB, with all that stays."""
    course: list[tuple[float, float]] = field(repr=False)
    """Seconds since the beginning, and MiB."""


def measured(site: Site, peers: dict[str, Peer], *, size: int, rounds: Rounds) -> Bursts:
    """Return bursts of ADD and DEL by each peer, in turn, for pods that are new in each round."""
    bursts: Bursts = {(command, name): [] for command in ("ADD", "DEL") for name in peers}
    chance = random.Random(2)
    names = list(peers)
    for number in rounds.numbers():
        pods = site.add_pods(f"burst{number}", size, NETWORKS_OF_EACH)
        chance.shuffle(names)
        for name in names:
            for command in ("ADD", "DEL"):
                bursts[command, name].append(burst(peers[name], pods, command, number))
        site.remove_pods(pods)
    return bursts


def burst(peer: Peer, pods: Sequence[Pod], command: str, number: int) -> Burst:
    """Make a request for every pod, ``AT_ONCE`` of them at a time."""
    api = peer.site.api
    if command == "ADD":
        api.forget_statuses(pod.name for pod in pods)
    api.calm()
    calls = [
        peer.call(command, container("burst", (peer.name, number, place)), pod)
        for place, pod in enumerate(pods)
    ]
    processes = peer.processes()
    memory, cpu = proc.memory(processes), proc.cpu(processes)
    with _watched(peer) as course:
        done = turns.crowded(calls, AT_ONCE)
        api.calm()
    failures = sum(turn.status != 0 for turn in done)
    if command == "ADD":
        failures += sum(api.networks_in_status(pod.name) != pod.networks + 1 for pod in pods)
    return Burst(
        wall=max(turn.ended for turn in done) - min(turn.began for turn in done),
        cpu=proc.cpu(processes) - cpu + sum(turn.cpu for turn in done),
        failures=failures,
        latencies=[turn.milliseconds for turn in done],
        memory_before=memory,
        memory_after=proc.memory(processes),
        course=course,
    )


@contextmanager
def _watched(peer: Peer) -> Iterator[list[tuple[float, float]]]:
    """Look at a peer's memory all the time."""
    course: list[tuple[float, float]] = []
    processes, began, over = peer.processes(), time.monotonic(), threading.Event()

    def look() -> None:
        while not over.wait(_SAMPLE_SECONDS):
            course.append((time.monotonic() - began, proc.memory(processes)))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield course
    finally:
        over.set()
        thread.join()


def findings(bursts: Bursts) -> list[Finding]:
    """Compare bursts."""
    return [*_times("ADD", bursts, wall=0.7, cpu=1.0), *_times("DEL", bursts, wall=0.8, cpu=0.8)]


def _times(command: str, bursts: Bursts, *, wall: float, cpu: float) -> list[Finding]:
    ours, theirs = (bursts[command, name] for name in PAIR)
    topic = f"{len(ours[0].latencies)} {command}s at once"
    return [
        _compared(
            topic, "all answered after", [b.wall for b in ours], [b.wall for b in theirs], wall
        ),
        _compared(topic, "CPU", [b.cpu for b in ours], [b.cpu for b in theirs], cpu),
        _slowest(topic, ours, theirs),
        counted(
            topic,
            "failures",
            ours=sum(burst.failures for burst in ours),
            theirs=sum(burst.failures for burst in theirs),
            most=0,
        ),
    ]


def _compared(
    topic: str, what: str, ours: list[float], theirs: list[float], limit: float
) -> Finding:
    return Finding(
        topic=topic,
        what=what,
        unit="s",
        ours=estimate(median, ours),
        theirs=estimate(median, theirs),
        judged=ratio(ours, theirs),
        limit=limit,
    )


def _slowest(topic: str, ours: list[Burst], theirs: list[Burst]) -> Finding:
    """Compare what one request of a hundred exceeds."""
    one, other = ([time for burst in those for time in burst.latencies] for those in (ours, theirs))
    return Finding(
        topic=topic,
        what="slowest hundredth of the requests (p99)",
        unit="ms",
        ours=estimate(_p99, one),
        theirs=estimate(_p99, other),
        judged=estimate(lambda some, others: _p99(some) / _p99(others), one, other),
        limit=1.0,
    )


def _p99(samples: Sequence[float]) -> float:
    return quantile(samples, 0.99)
