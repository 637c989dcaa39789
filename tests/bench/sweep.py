"""How long a request takes when others are made at the same time."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tests.bench import turns
from tests.bench.site import container

if TYPE_CHECKING:
    from tests.bench.peers import Peer
    from tests.bench.site import Pod, Site

LEVELS = (1, 2, 4, 8, 16, 32, 64)
_LEAST = 24
"""Requests at each level, or twice as many as are made at once."""

Samples = dict[tuple[str, int], list[float]]
"""Milliseconds by peer and number of requests at once."""


def measured(site: Site, peers: dict[str, Peer]) -> Samples:
    """Return the latency of ADDs, level by level."""
    samples: Samples = {}
    pods = site.add_pods("sweep", 2 * max(LEVELS), 1)
    chance = random.Random(5)
    order = [(name, level) for name in peers for level in LEVELS]
    chance.shuffle(order)
    for name, level in order:
        site.api.calm()
        some = pods[: max(_LEAST, 2 * level)]
        added = _crowd(peers[name], some, "ADD", level)
        samples[name, level] = [turn.milliseconds for turn in added]
        _crowd(peers[name], some, "DEL", level)
    return samples


def _crowd(peer: Peer, pods: list[Pod], command: str, level: int) -> list[turns.Turn]:
    """Make a request for every pod, so many at a time; all have to succeed."""
    calls = [
        peer.call(command, container("sweep", (peer.name, level, pod.name)), pod) for pod in pods
    ]
    done = turns.crowded(calls, level)
    assert not any(turn.status for turn in done), f"a {command} by {peer.name} has failed"
    return done
