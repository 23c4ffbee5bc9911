"""The whole report: scores, comparisons, costs, gaps, figures, the papers' numbers, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from peft_cli.report.compare import SIGNIFICANT, best, comparison_grid
from peft_cli.report.costs import cost_grids
from peft_cli.report.document import Cell, Grid, Section, cells
from peft_cli.report.folders import Attempt, Inventory
from peft_cli.report.gap import gap_grid
from peft_cli.report.intervals import ABSENT, NOT_RUN
from peft_cli.report.measures import SIZES
from peft_cli.report.papers import matching_tables
from peft_cli.report.performance import heading, performance_section, runs_without_result
from peft_cli.report.runs import metrics_of
from peft_cli.report.tables import Row, Table, rows, tables

RESAMPLES, MOST_ITEMS = 1000, 100_000  # predictions that are read for them by default, in 15 seconds or so


def full(
    inventory: Inventory, chosen: Sequence[str], baseline: str, resamples: int | None, has_figures: bool
) -> Iterator[Section]:
    """Yields every section; comparisons and figures are of the chosen metrics, else of the first one of a table."""
    if resamples is not None and resamples < 0:
        raise ValueError(f"--resamples {resamples} is not possible: it has to be at least 0")
    n_items = sum(run.fields["data.n_test"] for run in inventory.runs if not run.is_system)
    is_too_much = resamples is None and n_items > MOST_ITEMS
    notes = [f"no resamples of the {n_items:,} predictions; --resamples {RESAMPLES} draws them"] if is_too_much else []
    if resamples is None:
        resamples = 0 if is_too_much else RESAMPLES
    made = tables(inventory.runs)
    for table in made:
        yield scores_section(table, made, chosen, inventory.attempts)
        for section in comparison_sections(table, made, metrics_to_compare(table, chosen), baseline, resamples):
            yield replace(section, notes=[*section.notes, *notes])
        if table.has_runs:
            yield Section(f"Costs · {heading(table, made)}", list(cost_grids(table)))
    if has_figures:
        from peft_cli.report.figures import draw_figures  # not at the top: matplotlib

        yield from draw_figures(made, chosen)
    yield from matching_tables(inventory.runs)
    yield from runs_without_result(inventory)


def metrics_to_compare(table: Table, chosen: Sequence[str]) -> list[str]:
    """Returns the chosen metrics that a table has, or its first."""
    metrics = metrics_of(table.runs, chosen)
    return metrics if chosen else metrics[:1]


def scores_section(table: Table, made: Sequence[Table], chosen: Sequence[str], attempts: Sequence[Attempt]) -> Section:
    """Returns the table of scores, with what is significantly best in bold, and a row for what has no run."""
    section = performance_section(table, made, chosen, SIZES)
    grid, found = section.grids[0], rows(table.runs)
    lines = [list(line) for line in grid.rows]
    metrics = metrics_of(table.runs)
    for j, column in enumerate(grid.columns):
        first = best(found, column) if column in metrics else None
        for row, line in zip(found, lines, strict=True):
            line[j] = line[j]._replace(is_bold=row is first)
    bold = [f"bold: better than every other method, each time with p (sign-flip, Holm) below {SIGNIFICANT:.2g}"]
    is_any = any(cell.is_bold for line in lines for cell in line)
    absent = list(rows_without_runs(table, made, found, attempts, len(grid.columns)))
    notes = [*section.notes, *(bold if is_any else [])]
    return replace(section, grids=[replace(grid, rows=[*lines, *absent])], notes=notes)


def rows_without_runs(
    table: Table, made: Sequence[Table], found: Sequence[Row], attempts: Sequence[Attempt], width: int
) -> Iterator[list[Cell]]:
    """Yields a row for each method without a run here that was tried here, or has runs with other shots."""
    if not table.has_runs:
        return
    here = {row.method for row in found}
    place = {"data": table.data, "backbone": table.backbone, "shots": table.n_shots}
    tried: dict[str, str] = {}
    for attempt in attempts:
        if all(attempt.identity[key] == value for key, value in place.items()):
            tried.setdefault(attempt.identity["method"], attempt.state)
    others = (run for other in made if other[:2] == table[:2] for run in other.runs if not run.is_system)
    known = dict.fromkeys(run.fields["run.method"] for run in others if not run.is_untouched)
    for method in dict.fromkeys([*known, *tried]):
        if method not in here:
            yield [*cells([method, 0]), Cell(tried.get(method, NOT_RUN)), *cells([ABSENT] * (width - 3))]


def comparison_sections(
    table: Table, made: Sequence[Table], metrics: Sequence[str], baseline: str, resamples: int
) -> Iterator[Section]:
    """Yields the paired comparisons of a table and its extrapolation gap; or why there is none."""
    found = rows(table.runs)
    if sum(row.is_trained for row in found) < 2:
        return
    compared = [comparison_grid(found, baseline, metric, resamples) for metric in metrics]
    gaps = [gap for metric in metrics if (gap := gap_grid(found, metric))]
    grids = [grid for grid in compared if isinstance(grid, Grid)]
    reasons = dict.fromkeys(grid for grid in compared if isinstance(grid, str))
    yield Section(f"Comparison · {heading(table, made)}", [*grids, *gaps], list(reasons))
