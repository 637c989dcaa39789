"""Findings as text: rows for people who run it, and tables for the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench.verdicts import Finding, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.bench.spread import Estimate

HEAD = ("what", "multus-py", "against", "ratio", "must be", "verdict", "samples")
_SMALL = 10


def number(value: float) -> str:
    """Return a number with two digits that matter, whole from ten on."""
    if value == int(value):
        return str(int(value))
    return (
        f"{value:.0f}" if abs(value) >= 10 * _SMALL else f"{value:.{2 if abs(value) < 1 else 1}f}"
    )


def interval(figure: Estimate, unit: str = "") -> str:
    """Return a figure with its interval."""
    text = f"{number(figure.value)} {unit}".strip()
    if figure.low == figure.high:
        return text
    return f"{text} ({number(figure.low)}-{number(figure.high)})"


def ratio(figure: Estimate) -> str:
    """Return a ratio with its interval."""
    return f"{figure.value:.2f} ({figure.low:.2f}-{figure.high:.2f})"


def row(finding: Finding) -> tuple[str, ...]:
    """Return the cells of a finding."""
    limit = "" if finding.limit is None else f"<= {number(finding.limit)}"
    other = interval(finding.theirs, finding.unit) if finding.theirs else ""
    if other and finding.against != "Multus":
        other = f"{other}, {finding.against}"
    return (
        finding.what,
        interval(finding.ours, finding.unit),
        other,
        ratio(finding.judged) if finding.is_ratio else "",
        limit if finding.is_ratio or not limit else f"{limit} {finding.unit}".strip(),
        finding.verdict.value,
        "counted" if finding.exact else str(finding.judged.count),
    )


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def plain(findings: Sequence[Finding]) -> str:
    """Return all findings as aligned columns, a heading for each topic."""
    rows = [HEAD, *map(row, findings)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [_aligned(HEAD, widths)]
    topic = ""
    for finding in findings:
        if finding.topic != topic:
            topic = finding.topic
            lines += ["", topic]
        lines.append(_aligned(row(finding), widths))
    return "\n".join(lines)


def summary(findings: Sequence[Finding]) -> str:
    """Return how many verdicts there are of each kind."""
    counts = {
        verdict: sum(finding.verdict is verdict for finding in findings) for verdict in Verdict
    }
    return ", ".join(
        f"{counts[verdict]} {verdict.value}" for verdict in Verdict if verdict is not Verdict.NONE
    )


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
