"""What it takes to start: interpreters, and shims with daemons that answer at once."""

from __future__ import annotations

import os
import random
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from tests.bench import turns
from tests.bench.peers import OURS, THEIRS
from tests.bench.site import PROGRAMS, Pod
from tests.bench.spread import estimate, ratio
from tests.bench.stubs import OurStub, TheirStub, answering
from tests.bench.turns import Call
from tests.bench.verdicts import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.peers import Installation
    from tests.bench.rounds import Rounds
    from tests.bench.site import Site
    from tests.bench.stubs import Stub

CARRIED = "carried interpreter"
DISTRIBUTION = "the distribution's"
_DISTRIBUTION = Path("/usr/bin/python3")
SHIM_LIMIT = 1.3

Samples = dict[str, list[float]]
"""Milliseconds from start to exit."""


def measured(site: Site, installation: Installation, rounds: Rounds) -> Samples:
    """Return how long starts take."""
    samples: Samples = defaultdict(list)
    chance = random.Random(3)
    with shims(site, installation) as both:
        calls = {name: call for name, (call, _) in both.items()} | _interpreters(installation)
        names = list(calls)
        for number in rounds.numbers():
            chance.shuffle(names)
            for name in names:
                turn = turns.one(calls[name])
                if number >= 0:
                    samples[name].append(turn.milliseconds)
    return samples


def _interpreters(installation: Installation) -> dict[str, Call]:
    """Return calls of interpreters that do nothing."""
    pythons = {CARRIED: installation.python.resolve(), DISTRIBUTION: _DISTRIBUTION}
    environment = {"PATH": os.environ["PATH"]}
    return {
        name: Call((str(path), "-I", "-S", "-c", ""), environment)
        for name, path in pythons.items()
        if path.exists()
    }


@contextmanager
def shims(site: Site, installation: Installation) -> Iterator[dict[str, tuple[Call, Stub]]]:
    """Have both shims, each with a daemon that does nothing."""
    ours, theirs = site.sockets / "stub-o", site.sockets / "stub-t"
    program = installation.launcher(site, f"{OURS}-stub", ours)
    config = {"cniVersion": "1.0.0", "name": "multus-cni-network", "type": OURS}
    pod = Pod("none", 0)
    with (
        answering(ours / "multus-py.sock", OurStub) as our_stub,
        answering(theirs / "multus.sock", TheirStub) as their_stub,
    ):
        yield {
            OURS: (site.call(program, config, "ADD", "start", pod), our_stub),
            THEIRS: (
                site.call(
                    PROGRAMS / "multus-shim",
                    {**config, "type": "multus-shim", "daemonSocketDir": str(theirs)},
                    "ADD",
                    "start",
                    pod,
                ),
                their_stub,
            ),
        }


def findings(samples: Samples) -> list[Finding]:
    """Compare starts."""
    pairs = [
        ("interpreter alone (-I -S)", CARRIED, DISTRIBUTION, 1.0),
        ("shim, against a bare interpreter", OURS, CARRIED, SHIM_LIMIT),
        ("shim, against Multus's", OURS, THEIRS, None),
    ]
    return [
        Finding(
            topic="Starting, to the exit",
            what=what,
            unit="ms",
            ours=estimate(median, samples[one]),
            theirs=estimate(median, samples[other]),
            judged=ratio(samples[one], samples[other]),
            limit=limit,
            against=other,
        )
        for what, one, other, limit in pairs
        if samples.get(other)
    ]
