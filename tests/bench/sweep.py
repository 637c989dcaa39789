"""How long a request takes when others are made at the same time."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tests.bench import bursts
from tests.bench.bursts import burst

if TYPE_CHECKING:
    from tests.bench.peers import Peer
    from tests.bench.site import Pod

LEVELS = (1, 2, 4, 8, 16, 32, 64)
_LEAST = 32
"""Requests at each level, or twice as many as are made at once."""

Samples = dict[tuple[str, int], list[float]]
"""Milliseconds by peer and number of requests at once."""


def measured(peers: dict[str, Peer], pods: list[Pod]) -> Samples:
    """Return the latency of ADDs, level by level."""
    samples: Samples = {}
    chance = random.Random(5)
    order = [(name, level) for name in peers for level in LEVELS]
    chance.shuffle(order)
    for name, level in order:
        asking = pods[: max(_LEAST, 2 * level)]
        number = bursts.MANY + level  # no container of a burst has it
        samples[name, level] = burst(peers[name], asking, "ADD", number, level).latencies
        burst(peers[name], asking, "DEL", number, level)
    return samples
