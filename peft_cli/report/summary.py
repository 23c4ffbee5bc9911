"""What a sweep found, for one data set and backbone: scores by method and shots, comparisons, costs, three figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from peft_cli.report.compare import comparison_grid
from peft_cli.report.costs import RELATIVE, cost_grids
from peft_cli.report.document import Grid, Section
from peft_cli.report.figures import draw_figures
from peft_cli.report.folders import Inventory
from peft_cli.report.formats import render
from peft_cli.report.full import RESAMPLES, metrics_to_compare
from peft_cli.report.performance import notes, performance
from peft_cli.report.pivot import pivot
from peft_cli.report.tables import Table, rows, tables

FIGURES = ("parameters", "shots", "wins")


def write_summary(
    path: Path, inventory: Inventory, chosen: Sequence[str], baseline: str, resamples: int | None
) -> None:
    """Writes the summary as Markdown, and its figures as PNG to the folder `figures` beside it."""
    sections = list(summary(inventory, chosen, baseline, RESAMPLES if resamples is None else resamples))
    folder = path.parent / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    for figure in (figure for section in sections for figure in section.figures):
        (folder / f"{figure.name}.png").write_bytes(figure.png)
    path.write_text(render("markdown", sections, inventory.runs), encoding="utf-8")


def summary(inventory: Inventory, chosen: Sequence[str], baseline: str, resamples: int) -> Iterator[Section]:
    """Yields the sections. Raises ValueError where runs are of several data sets or backbones."""
    made = tables(inventory.runs)
    last = made[-1]
    metrics = metrics_to_compare(last, chosen)
    if any(has_variants(table) for table in made):
        yield from performance(made, metrics)
    else:
        for section in pivot(inventory, ["method"], ["shots"], metrics):
            yield replace(section, title=f"{last.data} · {last.backbone}: {section.title}")
    yield differences(made, metrics, baseline, resamples)
    grids = [grid for grid in cost_grids(last) if not grid.caption.startswith(RELATIVE)]
    yield Section(f"Costs with {last.n_shots} shots", grids, list(notes(last, last.runs)))
    yield from draw_figures(made, metrics, FIGURES)


def has_variants(table: Table) -> bool:
    """Returns whether a method has several rows, with other settings."""
    methods = [row.method for row in rows(table.runs)]
    return len(set(methods)) < len(methods)


def differences(made: Sequence[Table], metrics: Sequence[str], baseline: str, resamples: int) -> Section:
    """Returns the comparisons with the baseline for each number of shots and metric; equal notes once."""
    grids, shared = [], []
    for table in made:
        for metric in metrics:
            grid = comparison_grid(rows(table.runs), baseline, metric, resamples)
            if isinstance(grid, Grid):
                grids.append(replace(grid, caption=f"{table.n_shots} shots, {grid.caption}", notes=[]))
                shared += grid.notes
            else:
                shared.append(f"{table.n_shots} shots: {grid}")
    return Section("Differences over the same examples and seeds", grids, list(dict.fromkeys(shared)))
