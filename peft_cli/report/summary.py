"""What a sweep found, for one data set and backbone: scores by method and shots, comparisons, costs, three figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from peft_cli.report.compare import comparison_grid
from peft_cli.report.costs import RELATIVE, cost_grids
from peft_cli.report.document import Grid, Section
from peft_cli.report.figures import drawn
from peft_cli.report.formats import written
from peft_cli.report.full import RESAMPLES, compared
from peft_cli.report.performance import notes, performance
from peft_cli.report.pivot import pivot
from peft_cli.report.runs import Found
from peft_cli.report.tables import Table, rows, tables

FIGURES = ("parameters", "shots", "wins")


def write_summary(path: Path, found: Found, metrics: Sequence[str], baseline: str, resamples: int | None) -> None:
    """Writes the summary as Markdown, and its figures as PNG to the folder `figures` beside it."""
    sections = list(summary(found, metrics, baseline, resamples))
    folder = path.parent / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    for figure in (figure for section in sections for figure in section.figures):
        (folder / f"{figure.name}.png").write_bytes(figure.png)
    path.write_text(written("markdown", sections, found.runs), encoding="utf-8")


def summary(found: Found, metrics: Sequence[str], baseline: str, resamples: int | None) -> Iterator[Section]:
    """The sections. Raises ValueError where runs are of several data sets or backbones."""
    made = tables(found.runs)
    metrics = compared(made[-1], metrics)
    if any(has_variants(table) for table in made):
        yield from performance(made, metrics)
    else:
        place = f"{made[-1].data} · {made[-1].backbone}"
        by_shots = pivot(found, ["method"], ["shots"], metrics)
        yield from (replace(one, title=f"{place}: {one.title}") for one in by_shots)
    yield differences(made, metrics, baseline, RESAMPLES if resamples is None else resamples)
    last = made[-1]
    grids = [grid for grid in cost_grids(last) if not grid.caption.startswith(RELATIVE)]
    yield Section(f"Costs with {shots(last)}", grids, list(notes(last, last.runs)))
    yield from drawn(made, metrics, FIGURES)


def has_variants(table: Table) -> bool:
    """Whether a method stands in several rows, with other settings."""
    methods = [row.method for row in rows(table.runs)]
    return len(set(methods)) < len(methods)


def differences(made: Sequence[Table], metrics: Sequence[str], baseline: str, resamples: int) -> Section:
    """The comparison with the baseline for each number of shots and metric; what all of them note stands once."""
    grids, told = [], {}
    for table in made:
        for name in metrics:
            grid = comparison_grid(rows(table.runs), baseline, name, resamples)
            if isinstance(grid, Grid):
                grids.append(replace(grid, caption=f"{shots(table)}, {grid.caption}", notes=[]))
            told |= dict.fromkeys(grid.notes if isinstance(grid, Grid) else [f"{shots(table)}: {grid}"])
    return Section("Differences over the same examples and seeds", grids, list(told))


def shots(table: Table) -> str:
    """How many training examples a table is of."""
    return f"{'all' if table.shots is None else table.shots} shots"
