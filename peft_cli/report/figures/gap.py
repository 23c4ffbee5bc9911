"""Extrapolation: each method on the seen and the unseen part of a test set, joined by a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from peft_cli.report.figures.panels import panels
from peft_cli.report.figures.places import Place, places
from peft_cli.report.figures.style import titled
from peft_cli.report.gap import SEEN, UNSEEN, gaps
from peft_cli.report.intervals import interval
from peft_cli.report.tables import Row, Table


def draw(tables: Sequence[Table], metrics: Sequence[str]) -> Iterator[tuple[str, str, Figure]]:
    """A figure for each place and metric whose test set has both parts."""
    for place in places(tables):
        for metric in place.metrics(metrics):
            groups = {
                shots: [(label, row) for label, row in group if label in place.looks and gaps(row, metric)]
                for shots, group in place.panels()
            }
            groups = {shots: group for shots, group in groups.items() if group}
            if groups:
                figure, axes = panels(list(groups), place.looks)
                for one, group in zip(axes, groups.values(), strict=True):
                    fill(one, place, group, metric)
                text = f"{titled(metric)} on seen (filled) and unseen (white) categories, {place.title}"
                yield f"{place.title}-{metric}", f"{text}: {place.means} with 95 % t-intervals", figure


def fill(axes: Axes, place: Place, group: Sequence[tuple[str, Row]], metric: str) -> None:
    """A column for each method: its two means and the line between them."""
    for i, (label, row) in enumerate(group):
        look = place.looks[label]
        parts = [interval(part) for part in zip(*gaps(row, metric), strict=True)]
        axes.plot([i, i], [mean for mean, _ in parts], color=look.colour, linewidth=1)
        for (mean, half), face in zip(parts, (look.colour, "white"), strict=True):
            axes.plot([i, i], [mean - (half or 0), mean + (half or 0)], color=look.colour, linewidth=2.5, alpha=0.4)
            axes.plot(i, mean, **look.point | {"fillstyle": "full", "markerfacecolor": face})
    axes.set_xticks([])
    axes.margins(x=0.1)
    axes.set_xlabel(f"{SEEN} (filled), {UNSEEN} (white)", fontsize=8)
    axes.set_ylabel(titled(metric), fontsize=8)
