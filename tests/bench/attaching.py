"""Single requests through the daemons, one at a time, in an order of chance."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from typing import TYPE_CHECKING

from tests.bench import turns
from tests.bench.peers import PAIR
from tests.bench.site import container, extra
from tests.bench.spread import ratio_without, without
from tests.bench.verdicts import Finding

if TYPE_CHECKING:
    from tests.bench.peers import Peer
    from tests.bench.rounds import Rounds
    from tests.bench.site import Pod, Site

COUNTS = (0, 1, 3)
"""Extra networks."""
BARE = "delegate"
_PAUSE = 0.01
"""Seconds between two requests, for what comes after an answer."""

Samples = dict[tuple[str, str, int], list[float]]
"""Milliseconds by command, who, and number of extra networks."""


def pods_for(site: Site, kind: str, number: int) -> dict[int, list[Pod]]:
    """Add so many pods for each number of networks: the same one again would have old events."""
    return {count: site.add_pods(f"{kind}{count}", number, count) for count in COUNTS}


def warmed(peers: dict[str, Peer], pods: dict[int, list[Pod]]) -> None:
    """Let each peer attach a few pods, for what is loaded and kept with the first ones."""
    for name, peer in peers.items():
        for count, some in pods.items():
            for pod in some:
                for command in ("ADD", "DEL"):
                    turns.one(peer.call(command, container("warm", (name, count, pod.name)), pod))


def measured(
    site: Site, peers: dict[str, Peer], pods: dict[int, list[Pod]], rounds: Rounds
) -> Samples:
    """Return the times of ADD and DEL by each peer, and of the delegate by itself."""
    samples: Samples = defaultdict(list)
    chance = random.Random(1)
    turns_of_round = [(name, count) for name in (*peers, BARE) for count in pods]
    for number in rounds.numbers():
        chance.shuffle(turns_of_round)
        for name, count in turns_of_round:
            for command in ("ADD", "DEL"):
                if name == BARE:
                    call = site.bare(command)
                else:
                    pod = pods[count][number % len(pods[count])]
                    identity = container("single", (name, count, number))
                    call = peers[name].call(command, identity, pod)
                turn = turns.one(call)
                time.sleep(_PAUSE)
                if number >= 0:
                    samples[command, name, 0 if name == BARE else count].append(turn.milliseconds)
    return samples


def findings(samples: Samples) -> list[Finding]:
    """Compare what the peers take themselves: less the delegates' own time."""
    found = []
    for command in ("ADD", "DEL"):
        bare = samples[command, BARE, 0]
        for count in sorted({key[2] for key in samples if key[1] != BARE}):
            ours, theirs = (samples[command, name, count] for name in PAIR)
            found.append(
                Finding(
                    topic=f"{command} through the daemon, without the delegates' own time",
                    what=f"{command}, {extra(count)}",
                    unit="ms",
                    ours=without(ours, bare, count + 1),
                    theirs=without(theirs, bare, count + 1),
                    judged=ratio_without(ours, theirs, bare, count + 1),
                    limit=0.7,
                )
            )
    return found
