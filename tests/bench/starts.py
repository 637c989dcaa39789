"""What it takes to start: interpreters, and shims with daemons that answer at once."""

from __future__ import annotations

import os
import random
from collections import defaultdict
from contextlib import contextmanager
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
SMALL = "carried MicroPython"
DISTRIBUTION = "the distribution's"
_DISTRIBUTION = "/usr/bin/python3"
_NOTHING = "/dev/null"
"""An empty program in a file, as launchers are files: what is given as an argument starts other
things too, from Python 3.13 on."""
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
    python = installation.python.resolve()
    commands = {
        CARRIED: (str(python), "-I", "-S"),
        SMALL: (str(python.with_name("micropython")),),
        DISTRIBUTION: (_DISTRIBUTION, "-I", "-S"),
    }
    environment = {"PATH": os.environ["PATH"]}
    return {
        name: Call((*command, _NOTHING), environment)
        for name, command in commands.items()
        if os.path.exists(command[0])
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
        ("MicroPython alone, on which the shim runs", SMALL, DISTRIBUTION, 1.0),
        ("interpreter alone (-I -S), on which all else runs", CARRIED, DISTRIBUTION, 1.0),
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
