"""``python -m tests.bench [--quick | --page]``, on a node of its own (``make bench``)."""

from __future__ import annotations

import argparse
import pickle
import tempfile
import time
from pathlib import Path

from tests.bench import results, table
from tests.kubeapi import Certificate
from tests.nodes import is_own

_KEPT = Path(".cache/bench.pickle")
"""The last whole run, for ``--page``."""


def main() -> None:
    """Measure, print, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--quick", action="store_true", help="in a minute, and write nothing")
    kinds.add_argument("--page", action="store_true", help="write the page of the last run anew")
    asked = parser.parse_args()
    if not (asked.page or is_own()):
        parser.error("this changes the node it runs on: use make bench")
    measured = pickle.loads(_KEPT.read_bytes()) if asked.page else _measured(quick=asked.quick)
    found = measured.findings()
    print(table.plain(found), table.summary(found), sep="\n\n")
    if not asked.quick:
        from tests.bench import page  # it needs what make bench-quick does not

        page.write(measured, Path("docs"))


def _measured(*, quick: bool) -> results.Results:
    began = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - began:5.0f} s  {what}", flush=True)

    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        directory = Path(name)
        effort = results.QUICK if quick else results.FULL
        measured = results.measured(Certificate.made(directory), directory, effort, say)
    say("done")
    if not quick:
        _KEPT.write_bytes(pickle.dumps(measured))
    return measured


if __name__ == "__main__":
    main()
