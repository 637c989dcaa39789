from __future__ import annotations

from string import Template

from tests.bench import page
from tests.bench.spread import Estimate
from tests.bench.verdicts import Finding, counted


def finding(
    what: str, low: float, value: float, high: float, *, limit: float | None = 0.7, count: int = 9
) -> Finding:
    one = Estimate(1.0, 1.0, 1.0, count)
    judged = Estimate(value, low, high, count)
    return Finding(
        topic="ADD", what=what, unit="ms", ours=one, theirs=one, judged=judged, limit=limit
    )


FAST = finding("fast", 0.4, 0.5, 0.6)
SLOW = finding("slow", 1.1, 1.2, 1.3)
UNSURE = finding("unsure", 0.6, 0.9, 1.1)
ASIDE = finding("aside", 1.5, 1.6, 1.7, limit=None)
SELDOM = finding("seldom", 2.0, 2.0, 2.0, count=1)


def test_what_is_reached_is_said_in_a_word() -> None:
    said = page.short([FAST, counted("Requests", "reads", ours=0, theirs=1, most=0)])
    assert said.splitlines()[0] == "2 figures have a limit: 2 met, 0 not met, 0 undecided."
    assert said.splitlines()[2:] == ["* ADD: met.", "* Requests: met."]


def test_what_is_not_reached_is_named() -> None:
    said = page.short([FAST, SLOW, UNSURE, ASIDE])
    assert "* ADD: 1 of 3 met; not met: slow (1.20); undecided: unsure (0.90)." in said


def test_losses_and_wins_are_told_whatever_was_asked_and_only_if_they_are_sure() -> None:
    found = [FAST, SLOW, UNSURE, ASIDE, SELDOM]
    assert page.differing(found, worse=True) == [
        "ADD: aside: 1.60 times Multus",
        "ADD: slow: 1.20 times Multus",
    ]
    assert page.differing(found, worse=False) == ["ADD: fast: 0.50 times Multus"]
    assert page.bullets([]) == "* nothing"


def test_stages_are_compared_by_their_difference() -> None:
    assert page.compared([(0.04, "starting"), (-2.5, "rest"), (1.25, "between")]) == (
        "multus-py against Multus +1.2 ms between, -2.5 ms rest."
    )
    assert page.compared([(0.0, "starting")]).endswith("the same in every stage.")


def test_the_template_names_what_the_page_fills_in() -> None:
    names = set(Template(page._TEMPLATE.read_text()).get_identifiers())
    assert set(page._SECTIONS) < names
