"""The tables of docs/scale.md, and how they get there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from multus_py.adapters import watching
from tests.scale import scenarios, server, sizes
from tests.scale.nodes import EVENT_PACE, PACE, MultusNode, OurNode
from tests.scale.scenarios import DEFINITIONS, NODES, PODS, Outcome, Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PAGE = Path(__file__).parents[2] / "docs" / "scale.md"

_KINDS = (
    server.LIST_PODS,
    server.LIST_NETWORKS,
    server.WATCH,
    server.GET,
    server.STATUS,
    server.EVENT,
    server.TOKEN,
)
_BOOKMARK_SECONDS = 60.0
"""From one bookmark on a watch to the next."""
_MEGA = 1e6

_PODS_LIST = PODS // NODES * sizes.POD
_DEFINITIONS_LIST = DEFINITIONS * sizes.DEFINITION
_CHANGE = sizes.POD + sizes.ENVELOPE

ANSWERS = {
    server.LIST_PODS: _PODS_LIST,
    server.LIST_NETWORKS: _DEFINITIONS_LIST,
    server.WATCH: 0,
    server.GET: sizes.POD,
    server.STATUS: sizes.POD,
    server.EVENT: sizes.EVENT,
    server.TOKEN: 0,
}
"""Bytes that each kind of request is answered with; what watches say is counted apart."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One scenario, with our daemons and with Multus's."""

    ours: Outcome
    theirs: Outcome


def tables() -> dict[str, str]:
    """Return the tables by the names of their places in the page."""
    found = {"sizes": _sizes(), "etcd": _etcd(), "settings": _settings()}
    steady = _pair(scenarios.steady)
    found["steady"] = _requests(steady) + _steady(steady)
    for scenario in (
        scenarios.rolling,
        scenarios.together,
        scenarios.together_apart,
        scenarios.failover,
        scenarios.outage,
        scenarios.burst,
        scenarios.burst_on_few,
    ):
        pair = _pair(scenario)
        found[scenario.__name__] = _requests(pair) + _ends(pair)
    return found


def filled(page: str, found: dict[str, str]) -> str:
    """Return a page with tables in their places, which are between comments."""
    for name, table in found.items():
        place = re.compile(f"(?<=<!-- {name} -->\n).*?(?=<!-- end -->)", re.DOTALL)
        assert place.search(page), f"the page has no place for {name}"
        page = place.sub(table, page, count=1)  # else an empty one is filled twice
    return page


def _pair(scenario: Callable[[Run], Outcome]) -> Pair:
    return Pair(scenario(Run(OurNode)), scenario(Run(MultusNode)))


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = list(head)
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *map(list, rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _requests(pair: Pair) -> str:
    head = ("requests", "multus-py: all", "mean/s", "peak/s", "Multus: all", "mean/s", "peak/s")
    kinds = [k for k in _KINDS if pair.ours.book.total(k.name) or pair.theirs.book.total(k.name)]
    rows = [[k.name, *_figures(pair.ours, k.name), *_figures(pair.theirs, k.name)] for k in kinds]
    rows.append(["**all**", *_figures(pair.ours), *_figures(pair.theirs)])
    return _table(head, rows)


def _figures(outcome: Outcome, name: str = "") -> list[str]:
    total = outcome.book.total(name)
    return [f"{total:,}", _short(total / outcome.seconds), f"{outcome.book.peak(name):,}"]


def _steady(pair: Pair) -> str:
    starts = scenarios.CHURN * scenarios.CHANGES * _CHANGE
    statuses = scenarios.CHURN * _CHANGE
    bookmarks = 2 * NODES / _BOOKMARK_SECONDS * sizes.BOOKMARK
    both = [
        ("watches: changes of pods", starts / _MEGA, "MB/s"),
        ("watches: network-statuses", statuses / _MEGA, "MB/s"),
        ("watches: bookmarks", bookmarks / _MEGA, "MB/s"),
        ("watches: one change of a definition", NODES * sizes.DEFINITION / _MEGA, "MB"),
    ]
    rows = [[name, *[f"{_short(value)} {unit}"] * 2] for name, value, unit in both]
    outcomes = (pair.ours, pair.theirs)
    rows += [
        ["answers", *[f"{_short(_answered(o) / o.seconds / _MEGA)} MB/s" for o in outcomes]],
        ["writes to etcd", *[f"{_short(o.book.writes / o.seconds)}/s" for o in outcomes]],
    ]
    return "\n" + _table(("", "multus-py", "Multus"), rows)


def _ends(pair: Pair) -> str:
    outcomes = (pair.ours, pair.theirs)
    rows = [
        ["done after", *[f"{o.seconds:.0f} s" for o in outcomes]],
        ["refused with 429", *[f"{o.book.refused:,}" for o in outcomes]],
        ["longest wait in the server's queue", *[f"{o.book.longest_wait:.2f} s" for o in outcomes]],
        ["answers", *[f"{_short(_answered(o) / _MEGA)} MB" for o in outcomes]],
        ["writes to etcd", *[f"{o.book.writes:,}" for o in outcomes]],
    ]
    if any(o.book.unheard for o in outcomes):
        rows.insert(1, ["connections to nobody", *[f"{o.book.unheard:,}" for o in outcomes]])
    return "\n" + _table(("", "multus-py", "Multus"), rows)


def _answered(outcome: Outcome) -> float:
    return sum(outcome.book.served[kind.name] * ANSWERS[kind] for kind in _KINDS)


def _sizes() -> str:
    rows = [
        ("a pod with two containers and three networks", sizes.POD),
        ("a NetworkAttachmentDefinition", sizes.DEFINITION),
        ("an event", sizes.EVENT),
        ("the patch that writes a network-status", sizes.PATCH),
        ("a bookmark", sizes.BOOKMARK),
        (f"a list of the pods of one node ({PODS // NODES})", _PODS_LIST),
        (f"a list of all definitions ({DEFINITIONS})", _DEFINITIONS_LIST),
    ]
    return _table(("object", "bytes"), [(name, f"{size:,}") for name, size in rows])


def _etcd() -> str:
    whole = PODS * sizes.POD
    rows = [
        ("of the server's memory (`resourceVersion`), as both ask", "0", "0"),
        (
            "without a version",
            f"{whole / 1e9:.1f} GB",
            f"{whole * NODES / 1e12:,.0f} TB",
        ),
    ]
    return _table(("a list of one node's pods", "read from etcd", f"by {NODES:,} daemons"), rows)


def _settings() -> str:
    shortest, longest = (life * PACE.lifetime / 60 for life in watching._LIVES)
    rows = [
        ("daemons replaced at once (`updateStrategy`)", f"{scenarios.UNAVAILABLE:.0%}"),
        ("life of a token (`tokenSeconds`)", f"{scenarios.TOKEN_SECONDS:.0f} s"),
        ("life of a watch, by chance", f"{shortest:.1f} to {longest:.1f} min"),
        ("after a watch broke, by chance and besides the back-off", f"0 to {PACE.spread:.0f} s"),
        (
            "back-off of lists and watches; half of it is chance",
            f"{PACE.first_delay} to {PACE.last_delay:.0f} s",
        ),
        ("silence after which a watch is lost", f"{PACE.quiet:.0f} s"),
        ("collection that is taken in one answer, at most", f"{PACE.whole // 2**20} MiB"),
        ("objects in a page of a larger one", f"{PACE.page}"),
        ("events of a node", f"{1 / EVENT_PACE.interval:.0f} a second"),
        ("events of a node that wait, at most", f"{EVENT_PACE.limit:,}"),
    ]
    return _table(("setting", "value"), rows)


def _short(value: float) -> str:
    """Return a number with as many digits as matter."""
    if value >= 10:
        return f"{value:,.0f}"
    return f"{value:.2g}" if value < 1 else f"{value:.1f}"
