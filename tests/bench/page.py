"""``docs/performance.md``: the template with a run's figures, and sentences that they yield."""

from __future__ import annotations

from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from tests.bench import counts, stages, table, verdicts
from tests.bench.peers import OURS, THEIRS
from tests.bench.site import extra
from tests.bench.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.bench.results import Results, Surroundings
    from tests.bench.verdicts import Finding

_TEMPLATE = Path(__file__).with_name("page.md")
_SECTIONS = {
    "single": "through the daemon",
    "counts_judged": "Requests to the API server",
    "bursts": "at once",
    "memory": "Memory of",
    "scale": "more of everything",
    "starts": "Starting",
    "alone": "Without a daemon",
}
"""By the name in the template, a part of the topics that belong there."""


def write(results: Results, directory: Path) -> None:
    """Write page and plots to a directory."""
    from tests.bench import plots  # matplotlib: tests of this module do without

    plots.write(results, directory / "performance")
    (directory / "performance.md").write_text(text(results))


def text(results: Results) -> str:
    """Return the page."""
    found = results.findings()
    return Template(_TEMPLATE.read_text()).substitute(
        where=_where(results.surroundings) if results.surroundings else "nowhere",
        short=short(found),
        losses=bullets(differing(found, worse=True)),
        wins=bullets(differing(found, worse=False)),
        stages=_stages(results),
        stages_said=bullets(_stage_sentences(results)),
        counts=table.markdown(
            ("request", "who", "reads", "status writes", "events", "all", "waits for events"),
            counts.rows(results.counts),
        ),
        **{name: _tables(found, part) for name, part in _SECTIONS.items()},
    )


def short(found: Sequence[Finding]) -> str:
    """Return a line for each topic that says what was reached and what was not."""
    lines = [f"{len(_asked(found))} figures have a limit: {table.summary(found)}.", ""]
    for topic in dict.fromkeys(finding.topic for finding in found):
        of_topic = _asked([finding for finding in found if finding.topic == topic])
        if of_topic:
            lines.append(f"* {topic}: {_said(of_topic)}.")
    return "\n".join(lines)


def differing(found: Sequence[Finding], *, worse: bool) -> list[str]:
    """Return the ratios that are surely above 1, or surely below, the most remarkable first."""
    ratios = [
        finding
        for finding in found
        if finding.is_ratio and finding.judged.count >= verdicts.FEW and finding.against != "itself"
    ]
    if worse:
        chosen = [finding for finding in ratios if finding.judged.low > 1]
    else:
        chosen = [finding for finding in ratios if finding.judged.high < 1]
    chosen.sort(key=lambda finding: finding.judged.value, reverse=worse)
    return [
        f"{finding.topic}: {finding.what}: {finding.judged.value:.2f} times {finding.against}"
        for finding in chosen
    ]


def bullets(lines: Iterable[str]) -> str:
    """Return a list, which may be empty."""
    return "\n".join(f"* {line}" for line in lines) or "* nothing"


def _asked(found: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in found if finding.limit is not None]


def _said(found: Sequence[Finding]) -> str:
    """Say what became of limits, those that are not met by name."""
    if len(verdicts.of(found, Verdict.MET)) == len(found):
        return "all met" if len(found) > 1 else "met"
    parts = [f"{len(verdicts.of(found, Verdict.MET))} of {len(found)} met"]
    for verdict in (Verdict.MISSED, Verdict.OPEN):
        some = [f"{finding.what} ({_figure(finding)})" for finding in verdicts.of(found, verdict)]
        if some:
            parts.append(f"{verdict.value}: {', '.join(some)}")
    return "; ".join(parts)


def _figure(finding: Finding) -> str:
    value = table.number(finding.judged.value)
    if finding.is_ratio:
        value = f"{finding.judged.value:.2f}"
    return f"{value} {'' if finding.is_ratio else finding.unit}".strip()


def _tables(found: Sequence[Finding], part: str) -> str:
    """Return a table for each topic with these words in it."""
    tables = []
    for topic in dict.fromkeys(finding.topic for finding in found if part in finding.topic):
        rows = [table.row(finding) for finding in found if finding.topic == topic]
        tables.append(f"**{topic}**\n\n{table.markdown(table.HEAD, rows)}")
    return "\n\n".join(tables)


def _stages(results: Results) -> str:
    rows = []
    for kind, title in (("daemon", ""), ("alone", ", no daemon")):
        for (name, count), bar in sorted(
            stages.bars(results.stages[kind]).items(), key=lambda bar: bar[0][1]
        ):
            samples = len(results.stages[kind][name, count])
            cells = [f"{stage:.1f}".replace("-0.0", "0.0") for stage in (*bar, sum(bar))]
            rows.append((f"{name}{title}, {extra(count)}", *cells, str(samples)))
    return table.markdown(("ms", *stages.STAGES, "whole", "samples"), rows)


def _stage_sentences(results: Results) -> list[str]:
    """Say in which stages ours takes longer, and in which it takes less."""
    said = []
    for kind, title in (("daemon", "through the daemon"), ("alone", "without a daemon")):
        bars = stages.bars(results.stages[kind])
        for count in sorted({key[1] for key in bars}):
            more = [
                (one - other, stage)
                for one, other, stage in zip(
                    bars[OURS, count], bars[THEIRS, count], stages.STAGES, strict=True
                )
            ]
            said.append(f"{extra(count)}, {title}: {compared(more)}")
    return said


def compared(differences: Sequence[tuple[float, str]]) -> str:
    """Say where ours takes how many milliseconds more or less, from a tenth on."""
    said = [
        f"{'+' if more > 0 else '-'}{abs(more):.1f} ms {stage}"
        for more, stage in sorted(differences, reverse=True)
        if abs(more) >= _TELLING
    ]
    return "multus-py against Multus " + (", ".join(said) or "the same in every stage") + "."


_TELLING = 0.1


def _where(surroundings: Surroundings) -> str:
    return (
        f"{surroundings.cores} cores ({surroundings.processor}), Linux {surroundings.kernel}, "
        f"{surroundings.minutes:.0f} minutes;\n"
        f"the host took away {surroundings.stolen:.1%} of the "
        f"CPUs' time (steal); load {surroundings.load[0]:.1f} before and "
        f"{surroundings.load[1]:.1f} after"
    )
