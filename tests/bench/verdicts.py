"""What was to be reached, and whether it was."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench.spread import estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.bench.spread import Estimate


class Verdict(enum.Enum):
    """Whether a figure is what it has to be."""

    MET = "met"
    MISSED = "not met"
    OPEN = "undecided"
    """The limit lies within the interval."""
    NONE = ""
    """Nothing is asked."""


FEW = 3
"""Samples, with less of which nothing is decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A figure of both, or of one, and what the judged one may be at most."""

    topic: str
    what: str
    unit: str
    ours: Estimate
    theirs: Estimate | None = None
    judged: Estimate
    """The ratio, or ours itself where no ratio is asked for."""
    limit: float | None = None
    against: str = "Multus"
    """What ``theirs`` is."""
    exact: bool = False
    """It is counted; anything else needs some samples."""

    @property
    def is_ratio(self) -> bool:
        return self.judged is not self.ours

    @property
    def verdict(self) -> Verdict:
        if self.limit is not None and not self.exact and self.judged.count < FEW:
            return Verdict.OPEN
        return judged(self.judged, self.limit)


def judged(figure: Estimate, limit: float | None) -> Verdict:
    """Return whether a figure is surely at most, surely above, or neither."""
    if limit is None:
        return Verdict.NONE
    if figure.high <= limit:
        return Verdict.MET
    return Verdict.MISSED if figure.low > limit else Verdict.OPEN


def counted(topic: str, what: str, *, ours: int, theirs: int, most: int | None) -> Finding:
    """Return the finding for something that is counted, not measured."""
    figure = estimate(max, [ours], draws=1)
    other = estimate(max, [theirs], draws=1)
    return Finding(
        topic=topic,
        what=what,
        unit="",
        ours=figure,
        theirs=other,
        judged=figure,
        limit=most,
        exact=True,
    )


def of(findings: Sequence[Finding], verdict: Verdict) -> list[Finding]:
    """Return those with this verdict."""
    return [finding for finding in findings if finding.verdict is verdict]
