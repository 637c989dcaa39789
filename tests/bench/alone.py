"""Without a daemon: everything in the process that the container runtime starts."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from tests.bench import peers, turns
from tests.bench.peers import OURS, PAIR, THEIRS
from tests.bench.site import Pod, container, extra
from tests.bench.spread import estimate, ratio
from tests.bench.verdicts import Finding

if TYPE_CHECKING:
    from tests.bench.peers import Installation, Peer
    from tests.bench.rounds import Rounds
    from tests.bench.site import Site

_PAUSE = 0.01


@dataclass(frozen=True, slots=True)
class Case:
    """With or without an API server, and how many networks a pod asks for."""

    cluster: bool
    networks: int
    limit: float

    @property
    def title(self) -> str:
        if not self.cluster:
            return "no API server"
        return f"API server, {extra(self.networks)}"


CASES = (Case(False, 0, 4.0), Case(True, 0, 6.0), Case(True, 3, 6.0))

Samples = dict[tuple[str, str, Case], list[float]]
"""Milliseconds by command, peer and case."""


def deployed(site: Site, installation: Installation) -> dict[tuple[str, bool], Peer]:
    """Return the peers, by name and whether there is an API server."""
    found = {}
    for cluster in (False, True):
        found[OURS, cluster] = peers.alone(site, installation, cluster=cluster)
        found[THEIRS, cluster] = peers.thin(site, cluster=cluster)
    return found


def measured(
    deployed: dict[tuple[str, bool], Peer], pods: dict[int, list[Pod]], rounds: Rounds
) -> Samples:
    """Return the times of VERSION, ADD and DEL."""
    samples: Samples = defaultdict(list)
    chance = random.Random(4)
    order = [(name, case) for name in PAIR for case in CASES]
    for number in rounds.numbers():
        chance.shuffle(order)
        for name, case in order:
            some = pods[case.networks] if case.cluster else [Pod("", 0)]
            pod = some[number % len(some)]
            identity = container("alone", (name, case.cluster, case.networks, number))
            for command in ("VERSION", "ADD", "DEL"):
                turn = turns.one(deployed[name, case.cluster].call(command, identity, pod))
                time.sleep(_PAUSE)
                if number >= 0:
                    samples[command, name, case].append(turn.milliseconds)
    return samples


def findings(samples: Samples) -> list[Finding]:
    """Compare them."""
    return [
        Finding(
            topic="Without a daemon, against thin Multus",
            what=f"{command}, {case.title}",
            unit="ms",
            ours=estimate(median, samples[command, OURS, case]),
            theirs=estimate(median, samples[command, THEIRS, case]),
            judged=ratio(samples[command, OURS, case], samples[command, THEIRS, case]),
            limit=case.limit if command == "ADD" else None,
            against="thin Multus",
        )
        for command in ("ADD", "DEL", "VERSION")
        for case in CASES
        if command != "VERSION" or not case.cluster
    ]
