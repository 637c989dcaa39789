"""Where the milliseconds of one ADD go, seen from outside and in the same way for both.

There are four places to look from: whoever starts and waits for the plugin, a daemon that does
nothing (:mod:`tests.bench.starts`), the delegates' own stamps, and the API server. What a delegate
takes alone, until its first and after its last instruction, is known from runs without a peer.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from statistics import fmean, median
from typing import TYPE_CHECKING

from tests.bench import turns
from tests.bench.site import container

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.bench.peers import Peer
    from tests.bench.rounds import Rounds
    from tests.bench.site import Pod, Site

STAGES = (
    "starting",
    "to the first delegate",
    "delegates",
    "between delegates",
    "API requests",
    "the rest to the exit",
)
_PAUSE = 0.01
_NANOSECONDS = 1e-9
_OF_API = {"read", "status"}


@dataclass(frozen=True, slots=True)
class Timeline:
    """Moments of one ADD, in seconds: of the call, its delegates, and requests it waited for."""

    began: float
    ended: float
    delegates: list[tuple[float, float]]
    requests: list[tuple[float, float]]

    @property
    def total(self) -> float:
        return self.ended - self.began


@dataclass(frozen=True, slots=True)
class Edges:
    """What a delegate takes before its first and after its last instruction, in seconds."""

    before: float
    after: float

    @classmethod
    def of(cls, bare: Sequence[Timeline]) -> Edges:
        """Return it from runs of the delegate alone."""
        return cls(
            median(line.delegates[0][0] - line.began for line in bare),
            median(line.ended - line.delegates[0][1] for line in bare),
        )


STARTING = -1
"""In place of a number of networks: until anybody has been asked anything."""

Samples = dict[tuple[str, int], list[Timeline]]
"""By peer and number of extra networks; the delegate alone has an empty name."""

Bars = dict[tuple[str, int], tuple[float, ...]]
"""Milliseconds of each stage, likewise."""


def measured(
    site: Site,
    peers: Mapping[str, Peer],
    pods: dict[int, list[Pod]],
    starts: Mapping[str, Callable[[], Timeline]],
    rounds: Rounds,
) -> Samples:
    """Return timelines of ADDs, and of starts."""
    samples: Samples = {("", 0): []}
    samples |= {(name, count): [] for name in peers for count in (STARTING, *pods)}
    chance = random.Random(7)
    order = list(samples)
    site.stamps.touch()
    for number in rounds.numbers():
        chance.shuffle(order)
        for name, count in order:
            if count == STARTING:
                line = starts[name]()
            else:
                line = _seen(site, peers.get(name), pods[count][number % len(pods[count])], number)
            if number >= 0:
                samples[name, count].append(line)
    site.stamps.unlink()
    return samples


def _seen(site: Site, peer: Peer | None, pod: Pod, number: int) -> Timeline:
    """Make an ADD, of the delegate alone if there is no peer, and a DEL that is not looked at."""
    identity = container("stages", (peer.name if peer else "", pod.networks, number))
    site.stamps.write_text("")
    since = len(site.api.seen)
    turn = turns.one(peer.call("ADD", identity, pod) if peer else site.bare())
    stamps = [line.split() for line in site.stamps.read_text().splitlines()]
    requests = [
        (seen.began, seen.ended)
        for seen in (site.api.by(peer.user, since) if peer else [])
        if seen.kind in _OF_API and seen.ended and seen.ended < turn.ended
    ]
    time.sleep(_PAUSE)
    if peer:
        turns.one(peer.call("DEL", identity, pod))
        time.sleep(_PAUSE)
    return Timeline(
        turn.began,
        turn.ended,
        [(int(began) * _NANOSECONDS, int(ended) * _NANOSECONDS) for began, ended in stamps],
        requests,
    )


def split(line: Timeline, edges: Edges, starting: float) -> tuple[float, ...]:
    """Return the seconds of each stage; they add up to the whole.

    ``starting`` is what comes before anybody has been asked anything.
    """
    first, last = line.delegates[0][0] - edges.before, line.delegates[-1][1] + edges.after
    early = [request for request in line.requests if request[1] <= first]
    late = [request for request in line.requests if request[1] > first]
    delegates = sum(ended - began + edges.before + edges.after for began, ended in line.delegates)
    return (
        starting,
        first - line.began - starting - _span(early),
        delegates,
        last - first - delegates,
        _span(early) + _span(late),
        line.ended - last - _span(late),
    )


def typical(lines: Sequence[Timeline], edges: Edges, starting: float) -> tuple[float, ...]:
    """Return milliseconds of each stage, as means over the middle half of the lines by length.

    Means, unlike medians, add up to that of the whole.
    """
    ordered = sorted(lines, key=lambda line: line.total)
    quarter = len(ordered) // 4
    middle = ordered[quarter : len(ordered) - quarter]
    parts = [split(line, edges, starting) for line in middle]
    return tuple(fmean(stage) * 1000 for stage in zip(*parts, strict=True))


def _span(requests: Sequence[tuple[float, float]]) -> float:
    """Return the time from the first request's arrival to the last one's answer."""
    if not requests:
        return 0.0
    return max(ended for _, ended in requests) - min(began for began, _ in requests)


def bars(samples: Samples) -> Bars:
    """Return the stages of ADDs."""
    edges = Edges.of(samples["", 0])
    starting = {
        name: median(line.total for line in lines)
        for (name, count), lines in samples.items()
        if count == STARTING
    }
    return {
        (name, count): typical(lines, edges, starting[name])
        for (name, count), lines in samples.items()
        if name and count != STARTING
    }
