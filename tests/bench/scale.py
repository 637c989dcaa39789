"""Whether the cost of a pod depends on what else is there."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from tests.bench import peers, proc, turns
from tests.bench.peers import OURS, PAIR
from tests.bench.site import container, site
from tests.bench.spread import estimate, ratio_without, without
from tests.bench.verdicts import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.peers import Installation, Peer
    from tests.bench.rounds import Rounds
    from tests.bench.site import Pod, Site
    from tests.kubeapi import Certificate

_PAUSE = 0.01
_OLD = "old-00000"
FLAT = 1.1


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything there is."""

    definitions: int = 1
    pods: int = 10
    records: int = 0


BASE = Size()
LARGE = {
    "5,000 definitions": Size(definitions=5000),
    "500 pods on the node": Size(pods=500),
    "5,000 old records": Size(records=5000),
}
BETWEEN = (Size(definitions=100), Size(definitions=1000))
"""For the course of it."""
CROWDED = 250
"""Pods on the node with the most definitions, at the end."""


@dataclass(slots=True)
class Scale:
    """What was measured: milliseconds by peer and size, of the delegate alone, and MiB."""

    times: dict[tuple[str, Size], list[float]]
    bare: list[float]
    memory: dict[tuple[str, Size], list[float]]
    crowded: dict[str, list[float]]
    """MiB with the most definitions and ``CROWDED`` pods."""


@dataclass(frozen=True, slots=True)
class _Place:
    site: Site
    peers: dict[str, Peer]
    pods: list[Pod]


def measured(certificate: Certificate, installation: Installation, rounds: Rounds) -> Scale:
    """Return what an ADD takes and what daemons hold, at all sizes in turn."""
    scale = Scale(defaultdict(list), [], {}, {})
    with ExitStack() as stack:
        places = {
            size: stack.enter_context(_placed(size, certificate, installation))
            for size in (BASE, *LARGE.values(), *BETWEEN)
        }
        for place in places.values():
            place.site.api.forget()
        _take_turns(places, scale, rounds)
        for size, place in places.items():
            for name in PAIR:
                scale.memory[name, size] = _memory(place.peers[name])
        scale.crowded = _crowded(places[Size(definitions=5000)])
    return scale


@contextmanager
def _placed(size: Size, certificate: Certificate, installation: Installation) -> Iterator[_Place]:
    """Have a site of a size, with both daemons."""
    with site(certificate) as here:
        here.add_definitions(size.definitions)
        pods = here.add_pods("pod", size.pods, 1)
        # ours would release the old records, which no pod has
        with peers.pair(here, installation, repairInterval=3600) as both:
            for peer in both.values():
                _leave_records(peer, pods[0], size.records)
            yield _Place(here, both, pods)


def _leave_records(peer: Peer, pod: Pod, count: int) -> None:
    """Leave the files of so many containers, each like those of one that is attached."""
    if not count:
        return
    turns.one(peer.call("ADD", _OLD, pod))
    originals = [path for path in Path(peer.config["cniDir"]).rglob("*") if _OLD in path.name]
    for number in range(1, count):
        name = f"old-{number:05}"
        for path in originals:
            content = path.read_text().replace(_OLD, name)
            path.with_name(path.name.replace(_OLD, name)).write_text(content)


def _take_turns(places: dict[Size, _Place], scale: Scale, rounds: Rounds) -> None:
    chance = random.Random(6)
    order = [(name, size) for name in PAIR for size in places]
    for number in rounds.numbers():
        chance.shuffle(order)
        for name, size in order:
            place = places[size]
            pod = place.pods[number % len(place.pods)]
            turn = _added(place.peers[name], container("scale", (name, number)), pod)
            if number >= 0:
                scale.times[name, size].append(turn)
        scale.bare.append(turns.one(places[BASE].site.bare()).milliseconds)


def _added(peer: Peer, identity: str, pod: Pod) -> float:
    """Return what an ADD took; a DEL follows."""
    turn = turns.one(peer.call("ADD", identity, pod))
    time.sleep(_PAUSE)
    turns.one(peer.call("DEL", identity, pod))
    time.sleep(_PAUSE)
    return turn.milliseconds


def _memory(peer: Peer) -> list[float]:
    return proc.memories(peer.processes())


def _crowded(place: _Place) -> dict[str, list[float]]:
    """Return the memory with many definitions and many pods."""
    more = place.site.add_pods("more", CROWDED - len(place.pods), 1)
    place.site.api.calm()
    for name, peer in place.peers.items():
        _added(peer, container("crowded", (name,)), more[-1])
    place.site.api.calm()
    return {name: _memory(peer) for name, peer in place.peers.items()}


def findings(scale: Scale) -> list[Finding]:
    """Tell whether our cost stays what it is, and what theirs does."""
    found = []
    for name in PAIR:
        small = scale.times[name, BASE]
        for title, size in LARGE.items():
            large = scale.times[name, size]
            found.append(
                Finding(
                    topic="ADD where there is more of everything, against where there is little",
                    what=f"{name}, {title}",
                    unit="ms",
                    ours=without(large, scale.bare, 2),
                    theirs=without(small, scale.bare, 2),
                    judged=ratio_without(large, small, scale.bare, 2),
                    limit=FLAT if name == OURS else None,
                    against="itself",
                )
            )
    return found


def memory(scale: Scale) -> tuple[list[float], list[float]]:
    """Return what ours and theirs hold with the most definitions and many pods."""
    return scale.crowded[PAIR[0]], scale.crowded[PAIR[1]]


def course(scale: Scale, name: str) -> list[tuple[int, float, float]]:
    """Return definitions, milliseconds of an ADD and MiB, in this order."""
    sizes = sorted(
        (size for peer, size in scale.memory if peer == name and size.pods == BASE.pods),
        key=lambda size: size.definitions,
    )
    return [
        (
            size.definitions,
            median(scale.times[name, size]),
            estimate(median, scale.memory[name, size], draws=1).value,
        )
        for size in sizes
        if not size.records
    ]
