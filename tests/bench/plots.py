"""Plots of a run, as SVG that is the same for the same figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

from tests.bench import attaching, scale, stages, sweep
from tests.bench.peers import OURS, PAIR, THEIRS
from tests.bench.spread import quantile, without

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.bench.results import Results

_COLOURS = {OURS: "#2266aa", THEIRS: "#cc8844"}
_STAGES = ("#888888", "#2266aa", "#dddddd", "#66aadd", "#cc8844", "#554488")
_SETTINGS = {
    "svg.hashsalt": "multus-py",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}
_WIDTH = 7.5
_BAR = 0.38
_AIR = 1.15
"""Room above the highest value."""


def write(results: Results, directory: Path) -> None:
    """Write all plots."""
    directory.mkdir(parents=True, exist_ok=True)
    drawings: dict[str, Callable[[Results], Any]] = {
        "requests": _requests,
        "stages": _stages,
        "concurrency": _concurrency,
        "memory": _memory,
        "definitions": _definitions,
    }
    with mpl.rc_context(_SETTINGS):
        for name, draw in drawings.items():
            figure = draw(results)
            figure.savefig(
                directory / f"{name}.svg",
                format="svg",
                metadata={"Date": None, "Creator": None},
                bbox_inches="tight",
            )


def _figure(columns: int, height: float, **options: Any) -> tuple[Any, Any]:
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    return figure, figure.subplots(1, columns, squeeze=False, **options)[0]


def _requests(results: Results) -> Any:
    """Draw ADD and DEL, less the delegates' own time, with their intervals."""
    figure, plots = _figure(2, 2.6, sharey=True)
    for plot, command in zip(plots, ("ADD", "DEL"), strict=True):
        for shift, name in zip((-_BAR / 2, _BAR / 2), PAIR, strict=True):
            bare = results.single[command, attaching.BARE, 0]
            figures = [
                without(results.single[command, name, count], bare, count + 1)
                for count in attaching.COUNTS
            ]
            plot.bar(
                [place + shift for place in range(len(figures))],
                [figure.value for figure in figures],
                _BAR,
                yerr=[
                    [figure.value - figure.low for figure in figures],
                    [figure.high - figure.value for figure in figures],
                ],
                color=_COLOURS[name],
                label=name,
            )
        plot.set_xticks(range(len(attaching.COUNTS)), attaching.COUNTS)
        plot.set(title=command, xlabel="extra networks")
    plots[0].set_ylabel("ms without the delegates")
    figure.legend(*plots[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _stages(results: Results) -> Any:
    """Draw where the milliseconds of one ADD go."""
    figure, plots = _figure(2, 3.0)
    titles = {"daemon": "through the daemon", "alone": "without a daemon"}
    for plot, (kind, title) in zip(plots, titles.items(), strict=True):
        bars = stages.bars(results.stages[kind])
        order = sorted(bars, key=lambda key: (-key[1], key[0] == OURS))
        left = [0.0] * len(order)
        for place, stage in enumerate(stages.STAGES):
            widths = [bars[key][place] for key in order]
            plot.barh(range(len(order)), widths, left=left, color=_STAGES[place], label=stage)
            left = [start + width for start, width in zip(left, widths, strict=True)]
        plot.set_yticks(range(len(order)), [f"{name}, {count}" for name, count in order])
        plot.set(title=f"ADD {title}", xlabel="ms")
    handles, labels = plots[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def _concurrency(results: Results) -> Any:
    """Draw latency against the number of requests at once."""
    figure, (plot,) = _figure(1, 2.8)
    for name in PAIR:
        samples = [results.sweep[name, level] for level in sweep.LEVELS]
        middle = [quantile(times, 0.5) for times in samples]
        plot.plot(sweep.LEVELS, middle, "o-", color=_COLOURS[name], label=f"{name}, median")
        high = [quantile(times, 0.95) for times in samples]
        plot.plot(sweep.LEVELS, high, "o:", color=_COLOURS[name], label=f"{name}, 95 %")
    plot.set_xscale("log", base=2)
    plot.set_yscale("log")
    plot.set_xticks(sweep.LEVELS, sweep.LEVELS)
    plot.set(xlabel="ADDs at once (1 extra network)", ylabel="ms from start to answer")
    plot.legend()
    return figure


def _memory(results: Results) -> Any:
    """Draw memory over the first burst of ADDs."""
    figure, (plot,) = _figure(1, 2.6)
    for name in PAIR:
        course = results.bursts["ADD", name][0].course
        seconds, held = zip(*course, strict=True)
        plot.plot(seconds, held, color=_COLOURS[name], label=name)
    plot.set_ylim(0, _AIR * max(max(line.get_ydata()) for line in plot.lines))
    plot.set(xlabel="s since the beginning of the burst, events included", ylabel="MiB")
    plot.legend(loc="lower right")
    return figure


def _definitions(results: Results) -> Any:
    """Draw cost against the number of definitions in the cluster."""
    figure, plots = _figure(2, 2.6)
    assert results.scale
    for name in PAIR:
        numbers, times, held = zip(*scale.course(results.scale, name), strict=True)
        plots[0].plot(numbers, times, "o-", color=_COLOURS[name], label=name)
        plots[1].plot(numbers, held, "o-", color=_COLOURS[name], label=name)
    for plot, what in zip(plots, ("ms of an ADD, 1 network", "MiB held"), strict=True):
        plot.set_xscale("log")
        plot.set_ylim(0, _AIR * max(max(line.get_ydata()) for line in plot.lines))
        plot.set(xlabel="definitions", ylabel=what)
    plots[0].legend(loc="lower left")
    return figure
