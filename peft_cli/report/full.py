"""The whole report: scores, comparisons, costs, gaps, figures, the papers' numbers, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from peft_cli.report.compare import best, comparison_grid
from peft_cli.report.costs import cost_grids
from peft_cli.report.document import Cell, Grid, Section, cells
from peft_cli.report.gap import gap_grid
from peft_cli.report.intervals import ABSENT
from peft_cli.report.papers import matching
from peft_cli.report.performance import heading, remarks, scored, section
from peft_cli.report.runs import Attempt, Found
from peft_cli.report.tables import Row, Table, rows, tables

NOT_RUN = "not run"
N_COSTS = 3  # beside the scores: trained, stored, %; all others have their section
RESAMPLES, MOST_ITEMS = 1000, 100_000  # predictions that are read for them where nothing is said, in 15 seconds or so


def full(
    found: Found, metrics: Sequence[str], baseline: str, resamples: int | None, has_figures: bool
) -> Iterator[Section]:
    """Every section; comparisons and figures are of the chosen metrics, of a table's first one where none is chosen."""
    if resamples is not None and resamples < 0:
        raise ValueError(f"--resamples {resamples} is not possible: it has to be at least 0")
    n_items = sum(run.fields["data.n_test"] for run in found.runs if not run.is_system)
    is_too_much = resamples is None and n_items > MOST_ITEMS
    notes = [f"no resamples of the {n_items:,} predictions; --resamples {RESAMPLES} draws them"] if is_too_much else []
    if resamples is None:
        resamples = 0 if is_too_much else RESAMPLES
    made = tables(found.runs)
    for table in made:
        yield scores(table, made, metrics, found.attempts)
        names = compared(table, metrics)
        compared_here = comparison(table, made, names, baseline, resamples)
        yield from (replace(one, notes=[*one.notes, *notes]) for one in compared_here)
        if any(not run.is_system for run in table.runs):
            yield Section(f"Costs · {heading(table, made)}", list(cost_grids(table)))
    if has_figures:
        from peft_cli.report.figures import drawn  # not at the top: matplotlib

        yield from drawn(made, metrics)
    yield from matching(found.runs)
    yield from remarks(found.attempts, len(found.unreadable))


def compared(table: Table, metrics: Sequence[str]) -> list[str]:
    """The metrics of a table that are compared: the chosen ones, or the first."""
    names = [name.removeprefix("scores.") for name in scored(table.runs, metrics)]
    return names if metrics else names[:1]


def scores(table: Table, made: Sequence[Table], metrics: Sequence[str], attempts: Sequence[Attempt]) -> Section:
    """The table of scores, with what is significantly best in bold, and a row for what has no run."""
    plain = section(table, made, metrics, N_COSTS)
    grid = plain.grids[0]
    found = rows(table.runs)
    lines = [list(line) for line in grid.rows]
    names = set(scored(table.runs, ()))
    for j, column in enumerate(grid.columns):
        if f"scores.{column}" in names:
            first = best(found, column)
            for row, line in zip(found, lines, strict=True):
                line[j] = line[j]._replace(is_bold=row is first)
    absent = list(without_runs(table, made, found, attempts, len(grid.columns)))
    bold = ["bold: better than every other method, each time with p (sign-flip, Holm) below 0.05"] if any(
        cell.is_bold for line in lines for cell in line) else []  # fmt: skip
    return replace(plain, grids=[replace(grid, rows=[*lines, *absent])], notes=[*plain.notes, *bold])


def without_runs(
    table: Table, made: Sequence[Table], found: Sequence[Row], attempts: Sequence[Attempt], width: int
) -> Iterator[list[Cell]]:
    """A row for each method without a run here that has runs elsewhere in the place, or was tried here."""
    if table.shots is None and all(run.is_system for run in table.runs):
        return
    here = {row.method for row in found}
    shots = "all" if table.shots is None else str(table.shots)
    place = {"data": table.data, "backbone": table.backbone, "shots": shots}
    tried: dict[str, str] = {}
    for attempt in attempts:
        if all(attempt.identity[key] == value for key, value in place.items()):
            tried.setdefault(attempt.identity["method"], attempt.state)
    siblings = (run for other in made if other[:2] == table[:2] for run in other.runs if not run.is_system)
    known = dict.fromkeys(run.fields["run.method"] for run in siblings if not run.is_floor)
    for method in dict.fromkeys([*known, *tried]):
        if method not in here:
            yield [*cells([method, 0]), Cell(tried.get(method, NOT_RUN)), *cells([ABSENT] * (width - 3))]


def comparison(
    table: Table, made: Sequence[Table], names: Sequence[str], baseline: str, resamples: int
) -> Iterator[Section]:
    """The paired comparisons of a table and its extrapolation gap; why there is none where there is none."""
    found = rows(table.runs)
    if sum(bool(row.runs[0].seeds) and not row.runs[0].is_system for row in found) < 2:
        return
    grids = [comparison_grid(found, baseline, name, resamples) for name in names]
    gaps = [gap for name in names if (gap := gap_grid(found, name))]
    notes = dict.fromkeys(grid for grid in grids if isinstance(grid, str))
    shown: list[Grid] = [grid for grid in grids if isinstance(grid, Grid)]
    yield Section(f"Comparison · {heading(table, made)}", [*shown, *gaps], list(notes))
