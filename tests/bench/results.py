"""A whole run: what is measured, in which order, and with how much effort."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.bench import (
    alone,
    attaching,
    bursts,
    counts,
    memory,
    peers,
    scale,
    stages,
    starts,
    sweep,
    turns,
)
from tests.bench.proc import Machine
from tests.bench.rounds import Rounds
from tests.bench.site import container, site

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.bench.site import Pod, Site
    from tests.bench.stubs import Stub
    from tests.bench.turns import Call
    from tests.bench.verdicts import Finding
    from tests.kubeapi import Certificate


_PODS = 90
"""For each number of networks: a round of single requests has one of its own."""
_STAGED = (0, 3)
"""Numbers of networks."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How often everything is done; what is None is left out."""

    starts: Rounds
    single: Rounds
    counted: int
    staged: Rounds | None
    alone: Rounds
    bursts: Rounds
    scale: Rounds | None
    burst: int
    """Pods in one."""


FULL = Effort(
    starts=Rounds(300, 20),
    single=Rounds(80, 60),
    counted=3,
    staged=Rounds(40, 22),
    alone=Rounds(35, 50),
    bursts=Rounds(4, 180, cold=0),
    scale=Rounds(80, 75),
    burst=200,
)
QUICK = Effort(
    starts=Rounds(12, 3),
    single=Rounds(15, 12),
    counted=1,
    staged=None,
    alone=Rounds(4, 8),
    bursts=Rounds(1, 0, cold=0),
    scale=None,
    burst=40,
)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where and when it was measured."""

    cores: int
    processor: str
    kernel: str
    minutes: float
    stolen: float
    """Share of the CPUs' time."""
    load: tuple[float, float]
    """Before and after."""


@dataclass(slots=True)
class Results:
    """What one run has measured."""

    effort: Effort
    single: attaching.Samples
    starts: starts.Samples
    alone: alone.Samples
    counts: counts.Samples
    idle: memory.Pair
    bursts: bursts.Bursts
    stages: dict[str, stages.Samples]
    """By ``daemon`` and ``alone``."""
    sweep: sweep.Samples
    scale: scale.Scale | None = None
    surroundings: Surroundings | None = None

    def findings(self) -> list[Finding]:
        """Return all figures."""
        found = [
            *attaching.findings(self.single),
            *counts.findings(self.counts),
            *bursts.findings(self.bursts),
        ]
        if self.scale:
            found += memory.findings(self.idle, self.bursts, scale.memory(self.scale))
            found += scale.findings(self.scale)
        return [*found, *starts.findings(self.starts), *alone.findings(self.alone)]


def measured(
    certificate: Certificate, directory: Path, effort: Effort, say: Callable[[str], None]
) -> Results:
    """Measure everything; ``say`` is told what comes next."""
    before, began, load = Machine.now(), time.monotonic(), os.getloadavg()[0]
    say("installing from the bundle")
    installation = peers.Installation.made(directory)
    results = _of_one_site(certificate, installation, effort, say)
    if effort.scale:
        say("many definitions, pods and records")
        results.scale = scale.measured(certificate, installation, effort.scale)
    results.surroundings = Surroundings(
        cores=os.cpu_count() or 0,
        processor=_processor(),
        kernel=platform.release().partition("-")[0],
        minutes=(time.monotonic() - began) / 60,
        stolen=Machine.now().stolen_since(before),
        load=(load, os.getloadavg()[0]),
    )
    return results


def _of_one_site(
    certificate: Certificate,
    installation: peers.Installation,
    effort: Effort,
    say: Callable[[str], None],
) -> Results:
    """Measure what a node of ordinary size shows."""
    with site(certificate) as here:
        here.add_definitions(3)
        say("starts")
        started = starts.measured(here, installation, effort.starts)
        with peers.pair(here, installation) as both:
            through_daemons = _through_daemons(here, both, effort, say)
            if effort.staged:
                say("stages")
                through_daemons["stages"]["daemon"] = _staged(
                    here, both, installation, effort.staged
                )
        say("without a daemon")
        apart = alone.deployed(here, installation)
        pods = attaching.pods_for(here, "alone", _PODS)
        single_handed = alone.measured(apart, pods, effort.alone)
        of_cluster = {name: peer for (name, cluster), peer in apart.items() if cluster}
        if effort.staged:
            some = {count: pods[count] for count in _STAGED}
            versions = {name: _version(peer, some[0][0]) for name, peer in of_cluster.items()}
            through_daemons["stages"]["alone"] = stages.measured(
                here, of_cluster, some, versions, effort.staged
            )
    return Results(effort=effort, starts=started, alone=single_handed, **through_daemons)


def _through_daemons(
    here: Site, both: dict[str, peers.Peer], effort: Effort, say: Callable[[str], None]
) -> dict[str, Any]:
    """Measure what has to do with the daemons; return it by its name in :class:`Results`."""
    attaching.warmed(both, attaching.pods_for(here, "few", 4))
    here.api.calm()
    found: dict[str, Any] = {"idle": memory.of(both), "stages": {}}
    pods = attaching.pods_for(here, "many", _PODS)
    fresh = attaching.pods_for(here, "counted", effort.counted + 1)
    here.api.calm()
    say("single requests")
    found["single"] = attaching.measured(here, both, pods, effort.single)
    here.api.calm()
    say("requests to the API server")
    found["counts"] = counts.measured(both, fresh)
    say("bursts")
    found["bursts"] = bursts.measured(here, both, size=effort.burst, rounds=effort.bursts)
    say("latency against concurrency")
    found["sweep"] = sweep.measured(here, both) if effort.scale else {}
    return found


def _staged(
    here: Site, both: dict[str, peers.Peer], installation: peers.Installation, rounds: Rounds
) -> stages.Samples:
    """Return timelines through the daemons; a start ends when a stub of them is asked."""
    pods = attaching.pods_for(here, "staged", _PODS)
    here.api.calm()
    with starts.shims(here, installation) as shims:
        stubs = {name: _asking(call, stub) for name, (call, stub) in shims.items()}
        some = {count: pods[count] for count in _STAGED}
        return stages.measured(here, both, some, stubs, rounds)


def _asking(call: Call, stub: Stub) -> Callable[[], stages.Timeline]:
    """Return what runs a shim until its request has come."""

    def run() -> stages.Timeline:
        turn = turns.one(call)
        return stages.Timeline(turn.began, stub.moments[-1], [], [])

    return run


def _version(peer: peers.Peer, pod: Pod) -> Callable[[], stages.Timeline]:
    """Return what runs a plugin that has nothing to do."""

    def run() -> stages.Timeline:
        turn = turns.one(peer.call("VERSION", container("version", (peer.name,)), pod))
        return stages.Timeline(turn.began, turn.ended, [], [])

    return run


def _processor() -> str:
    """Return the model of the CPUs."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
