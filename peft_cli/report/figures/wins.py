"""Wins between methods: in what share of the pairs with the same shots, seeds and examples one beats another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from matplotlib import rc_context
from matplotlib.figure import Figure

from peft_cli.report.compare import win_shares
from peft_cli.report.figures.panels import LETTER
from peft_cli.report.figures.places import places, span
from peft_cli.report.figures.style import lettering, titled
from peft_cli.report.tables import Table

CELL = 0.36  # inches
COLOURS = "cividis"  # even in grey


def draw(tables: Sequence[Table], metrics: Sequence[str]) -> Iterator[tuple[str, str, Figure]]:
    """A heat map for each place and metric, over all its numbers of shots."""
    for place in places(tables):
        for metric in place.metrics(metrics):
            shares = win_shares(place.rows, metric)
            names = [label for label in place.looks if any(label in pair for pair in shares)]
            if len(names) < 2:
                continue
            order = sorted(names, key=lambda one: -sum(shares.get((one, other), (0.5, 0))[0] for other in names))
            text = (
                f"Wins by {titled(metric)}, {place.title}: percent of pairs with the same shots, seeds and examples "
                f"({span([n for _, n in shares.values()])} each) in which the row's method is better than the column's"
            )
            yield f"{place.title}-{metric}", text, heat_map(order, shares)


def heat_map(names: Sequence[str], shares: dict[tuple[str, str], tuple[float, int]]) -> Figure:
    """Rows against columns, with the percentage in each cell."""
    margin = max(map(len, names)) * LETTER + 0.15
    side = CELL * len(names)
    width, height = margin + side + 0.85, margin + side + 0.1
    with rc_context(lettering()):
        figure = Figure((width, height))
        axes = figure.add_axes((margin / width, 0.1 / height, side / width, side / height))
        grid = [
            [100 * shares[one, other][0] if (one, other) in shares else float("nan") for other in names]
            for one in names
        ]
        image = axes.imshow(grid, cmap=COLOURS, vmin=0, vmax=100, aspect="auto")
        axes.set_xticks(range(len(names)), names, rotation=90)
        axes.set_yticks(range(len(names)), names)
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        for i, line in enumerate(grid):
            for j, value in enumerate(line):
                if value == value:
                    axes.text(
                        j,
                        i,
                        f"{value:.0f}",
                        ha="center",
                        va="center",
                        fontsize=7,
                        color="white" if value < 55 else "black",
                    )
        bar = figure.colorbar(
            image, cax=figure.add_axes(((margin + side + 0.1) / width, 0.1 / height, 0.12 / width, side / height))
        )
        bar.set_ticks([0, 50, 100])
        bar.set_label("wins of the row, %", labelpad=1)
        bar.outline.set_visible(False)
    return figure
