"""Wins between methods: in what share of the pairs with the same shots, seeds and examples one beats another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from matplotlib.figure import Figure

from peft_cli.report.compare import win_shares
from peft_cli.report.figures.benchmarks import benchmarks, count_range
from peft_cli.report.figures.panels import LETTER, WIDEST_LABEL, wrap
from peft_cli.report.figures.style import metric_title
from peft_cli.report.tables import Table

CELL, BAR = 0.36, 0.85  # inches: of a cell, and of the scale at the right
COLOURS, DARK = "cividis", 55  # even in grey; below so many percent a number is white


def draw(tables: Sequence[Table], chosen: Sequence[str]) -> Iterator[tuple[str, str, Figure]]:
    """Yields a heat map for each benchmark and metric, over all its numbers of shots."""
    for benchmark in benchmarks(tables):
        for metric in benchmark.metrics(chosen):
            shares = win_shares(benchmark.rows, metric)
            names = [label for label in benchmark.looks if any(label in pair for pair in shares)]
            if len(names) < 2:
                continue
            order = sorted(names, key=lambda one: -sum(shares.get((one, other), (0.5, 0))[0] for other in names))
            pairs = count_range([n for _, n in shares.values()])
            text = (
                f"Wins by {metric_title(metric)}, {benchmark.title}: percent of pairs with the same shots, seeds and "
                f"examples ({pairs} each) in which the row's method is better than the column's"
            )
            yield f"{benchmark.title}-{metric}", text, heat_map(order, shares)


def heat_map(names: Sequence[str], shares: Mapping[tuple[str, str], tuple[float, int]]) -> Figure:
    """Returns rows against columns, with the percentage in each cell."""
    labels = [wrap(name, WIDEST_LABEL) for name in names]
    margin = max(len(line) for label in labels for line in label.split("\n")) * LETTER + 0.15
    figure = Figure((margin + CELL * len(names) + BAR, margin + CELL * len(names) + 0.1), layout="constrained")
    axes = figure.add_subplot()
    grid = [[100 * shares.get((one, other), (float("nan"), 0))[0] for other in names] for one in names]
    image = axes.imshow(grid, cmap=COLOURS, vmin=0, vmax=100, aspect="auto")
    axes.set_xticks(range(len(names)), labels, rotation=90)
    axes.set_yticks(range(len(names)), labels)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for (i, one), (j, other) in ((row, column) for row in enumerate(names) for column in enumerate(names)):
        if (one, other) in shares:
            colour = "white" if grid[i][j] < DARK else "black"
            axes.text(j, i, f"{grid[i][j]:.0f}", ha="center", va="center", fontsize=7, color=colour)
    bar = figure.colorbar(image, ax=axes, ticks=[0, 50, 100], label="wins, %")
    bar.outline.set_visible(False)
    return figure
