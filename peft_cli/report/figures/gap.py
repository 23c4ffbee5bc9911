"""Extrapolation: each method on the seen and the unseen part of a test set, joined by a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from peft_cli.report.figures.benchmarks import Benchmark, Labelled, benchmarks
from peft_cli.report.figures.panels import panels
from peft_cli.report.figures.style import metric_title
from peft_cli.report.gap import SEEN, UNSEEN, seen_and_unseen
from peft_cli.report.intervals import interval
from peft_cli.report.tables import Table


def draw(tables: Sequence[Table], chosen: Sequence[str]) -> Iterator[tuple[str, str, Figure]]:
    """Yields a figure for each benchmark and metric whose test set has both parts."""
    for benchmark in benchmarks(tables):
        for metric in benchmark.metrics(chosen):
            groups = {
                shots: [(label, row) for label, row in group if row.is_trained and seen_and_unseen(row, metric)]
                for shots, group in benchmark.panels()
            }
            groups = {shots: group for shots, group in groups.items() if group}
            if groups:
                figure, axes = panels(list(groups), benchmark.looks)
                for one, group in zip(axes, groups.values(), strict=True):
                    draw_panel(one, benchmark, group, metric)
                text = f"{metric_title(metric)} on seen (filled) and unseen (white) categories, {benchmark.title}"
                yield f"{benchmark.title}-{metric}", f"{text}: {benchmark.means} with 95 % t-intervals", figure


def draw_panel(axes: Axes, benchmark: Benchmark, group: Labelled, metric: str) -> None:
    """Draws a column for each method: its two means and the line between them."""
    for i, (label, row) in enumerate(group):
        look = benchmark.looks[label]
        parts = [interval(part) for part in zip(*seen_and_unseen(row, metric), strict=True)]
        axes.plot([i, i], [mean for mean, _ in parts], color=look.colour, linewidth=1)
        for (mean, half), face in zip(parts, (look.colour, "white"), strict=True):
            axes.plot([i, i], [mean - (half or 0), mean + (half or 0)], color=look.colour, linewidth=2.5, alpha=0.4)
            axes.plot(i, mean, **look.point | {"fillstyle": "full", "markerfacecolor": face})
    axes.set_xticks([])
    axes.margins(x=0.1)
    axes.set_xlabel(f"{SEEN} (filled), {UNSEEN} (white)")
    axes.set_ylabel(metric_title(metric))
