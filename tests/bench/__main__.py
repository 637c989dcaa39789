"""``python -m tests.bench [--quick]``, on a node of its own (``make bench``)."""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.bench import attaching, bursts, peers, site, table
from tests.kubeapi import Certificate


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured."""

    rounds: int
    burst: int
    bursts: int


FULL = Effort(rounds=80, burst=200, bursts=3)
QUICK = Effort(rounds=20, burst=60, bursts=1)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="in a minute, and write nothing")
    effort = QUICK if parser.parse_args().quick else FULL
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        directory = Path(name)
        installation = peers.Installation.made(directory)
        with site.site(Certificate.made(directory)) as here:
            here.add_definitions(3)
            asking = attaching.pods_for(here)
            many = here.add_pods("burst", effort.burst, 3)
            with peers.pair(here, installation) as both:
                samples = attaching.measured(here, both, asking, effort.rounds)
                crowds = bursts.measured(both, many, at_once=20, rounds=effort.bursts)
    found = [*attaching.findings(samples), *bursts.findings(crowds)]
    print(table.plain(found), table.summary(found), sep="\n\n")


if __name__ == "__main__":
    main()
