"""Requests to the API server: counted, not measured."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench import turns
from tests.bench.peers import PAIR
from tests.bench.site import container, extra
from tests.bench.verdicts import counted

if TYPE_CHECKING:
    from tests.bench.peers import Peer
    from tests.bench.site import Pod
    from tests.bench.verdicts import Finding

KINDS = ("read", "status", "event")
_TOPIC = "Requests to the API server"
_LATE = 0.5
"""Seconds by which the API server delays events, to see whether an answer waits for them."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What one ADD or DEL asks of the API server."""

    all: dict[str, int]
    """By kind; see :class:`tests.bench.apiserver.Seen`."""
    before: dict[str, int]
    """Of these, before the answer."""
    waits_for_events: bool

    @property
    def total(self) -> int:
        return sum(self.all.values())


Samples = dict[tuple[str, str, int], Counts]
"""Counts by command, peer, and number of extra networks."""


def measured(peers: dict[str, Peer], pods: dict[int, list[Pod]]) -> Samples:
    """Return what requests for pods that are new ask of the API server, the most of each."""
    samples: Samples = {}
    for name, peer in peers.items():
        for count, (spare, *asking) in pods.items():
            slow = _slowed(peer, spare)
            for command in ("ADD", "DEL"):
                samples[command, name, count] = Counts({}, {}, waits_for_events=slow)
            for pod in asking:
                identity = container("counted", (name, pod.name))
                for command in ("ADD", "DEL"):
                    seen = _seen(peer, command, identity, pod)
                    samples[command, name, count] = _most(samples[command, name, count], seen)
    return samples


def _seen(peer: Peer, command: str, identity: str, pod: Pod) -> tuple[Counter[str], Counter[str]]:
    """Make a request; return what was asked because of it, and what of this before the answer."""
    api = peer.site.api
    since = len(api.seen)
    turn = turns.one(peer.call(command, identity, pod))
    api.calm()
    asked = api.by(peer.user, since)
    before = [seen for seen in asked if seen.ended < turn.ended]
    return Counter(seen.kind for seen in asked), Counter(seen.kind for seen in before)


def _most(known: Counts, seen: tuple[Counter[str], Counter[str]]) -> Counts:
    every, before = seen
    return Counts(
        {kind: max(known.all.get(kind, 0), every[kind]) for kind in KINDS},
        {kind: max(known.before.get(kind, 0), before[kind]) for kind in KINDS},
        known.waits_for_events,
    )


def _slowed(peer: Peer, pod: Pod) -> bool:
    """Tell whether an ADD takes longer where the API server is slow to take events."""
    api = peer.site.api
    fault = api.fault("/events", times=1000, delay=_LATE)
    identity = container("slowed", (peer.name, pod.name))
    turn = turns.one(peer.call("ADD", identity, pod))
    turns.one(peer.call("DEL", identity, pod))
    fault.times = 0
    api.calm(2 * _LATE)
    return turn.milliseconds >= _LATE * 1000


def rows(samples: Samples) -> list[tuple[str, ...]]:
    """Return the cells of a table: of all requests, and in brackets of those before the answer."""
    return [
        (
            f"{command}, {extra(count)}",
            name,
            *(f"{counts.all[kind]} ({counts.before[kind]})" for kind in KINDS),
            f"{counts.total}",
            "yes" if counts.waits_for_events else "no",
        )
        for (command, name, count), counts in sorted(
            samples.items(), key=lambda item: (item[0][0], item[0][2], item[0][1])
        )
    ]


def findings(samples: Samples) -> list[Finding]:
    """Judge what one ADD asks for."""
    found = []
    for count in sorted({key[2] for key in samples}):
        ours, theirs = (samples["ADD", name, count] for name in PAIR)
        pod = f"ADD, {extra(count)}"
        for kind, title, most in (
            ("read", "reads", 0),
            ("status", "status writes", 1),
            ("event", "events", theirs.all["event"]),
        ):
            found.append(
                counted(
                    _TOPIC,
                    f"{pod}: {title}",
                    ours=ours.all[kind],
                    theirs=theirs.all[kind],
                    most=most,
                )
            )
    return [*found, _waiting(samples)]


def _waiting(samples: Samples) -> Finding:
    """Judge whether answers wait for events, for any pod."""
    ours, theirs = (
        any(counts.waits_for_events for (_, name, _), counts in samples.items() if name == peer)
        for peer in PAIR
    )
    what = "ADDs that take longer where the API server is slow to take events"
    return counted(_TOPIC, what, ours=int(ours), theirs=int(theirs), most=0)
