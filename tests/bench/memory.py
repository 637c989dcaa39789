"""What the daemons hold, with what stays beside them on the node."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from tests.bench import proc
from tests.bench.peers import OURS, THEIRS
from tests.bench.spread import estimate, ratio
from tests.bench.verdicts import Finding

if TYPE_CHECKING:
    from tests.bench.bursts import Bursts
    from tests.bench.peers import Peer

GROWTH = 5.0
_LIMIT = 1.3

Pair = tuple[list[float], list[float]]
"""Samples of ours and theirs, in MiB."""


def of(peers: dict[str, Peer]) -> Pair:
    """Return what is held now."""
    return proc.memories(peers[OURS].processes()), proc.memories(peers[THEIRS].processes())


def findings(idle: Pair, bursts: Bursts, crowded: Pair) -> list[Finding]:
    """Compare it."""
    ours, theirs = (
        [burst.memory_after for burst in bursts["ADD", name]] for name in (OURS, THEIRS)
    )
    return [
        _compared("idle", *idle),
        _compared("after bursts", ours, theirs),
        _compared("5,000 definitions and 250 pods", *crowded),
        _grown(bursts),
    ]


def _compared(what: str, ours: list[float], theirs: list[float]) -> Finding:
    return Finding(
        topic="Memory of the daemon and what stays beside it",
        what=what,
        unit="MiB",
        ours=estimate(median, ours),
        theirs=estimate(median, theirs),
        judged=ratio(ours, theirs),
        limit=_LIMIT,
    )


def _grown(bursts: Bursts) -> Finding:
    """Tell by how much it has grown at most, at any moment of a burst."""
    ours, theirs = (
        [
            max(held for _, held in burst.course) - burst.memory_before
            for burst in bursts["ADD", name]
        ]
        for name in (OURS, THEIRS)
    )
    grown = estimate(max, ours)
    return Finding(
        topic="Memory of the daemon and what stays beside it",
        what="growth over a burst, the largest",
        unit="MiB",
        ours=grown,
        theirs=estimate(max, theirs),
        judged=grown,
        limit=GROWTH,
    )
