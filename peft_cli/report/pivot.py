"""A table of the user's own: any keys as rows and columns, a metric in its cells; never over what cannot be compared.

runs -> comparable or refused -> cells of runs that differ in their seeds alone -> a grid for each metric
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from peft_cli.report.comparable import check_cell, check_table, identity, signature_name
from peft_cli.report.document import Cell, Grid, Section, cells
from peft_cli.report.folders import Attempt, Inventory
from peft_cli.report.intervals import CONFIDENCE, NOT_RUN, digits, estimate, interval
from peft_cli.report.runs import Run, as_typed, metrics_of

Side = tuple[str, ...]  # the values of the keys that are rows, or of those that are columns
Groups = dict[tuple[Side, Side], list[Run]]


def pivot(
    inventory: Inventory, rows: Sequence[str], columns: Sequence[str], chosen: Sequence[str]
) -> Iterator[Section]:
    """Yields a table for each metric; without `columns` one table with the metrics as columns.

    Raises ValueError where it would mix runs that cannot be compared, with what they differ in, or where no run has
    such a key.
    """
    rows = rows or ["method"]
    for key in (*rows, *columns):
        if not any(run.has(key) for run in inventory.runs):
            raise ValueError(f"no run has {key}; possible are method, backbone, data, shots, seed and keys of a run")
    metrics = metrics_of(inventory.runs, chosen)
    runs = [run for run in inventory.runs if any(run.score(metric) is not None for metric in metrics)]
    groups = group_runs(runs, rows, columns)
    for (row, column), group in groups.items():
        check_cell(group, dict(zip([*rows, *columns], [*row, *column], strict=True)))
    for metric in metrics:
        check_table(runs, metric)
    if not columns:
        yield Section(f"{', '.join(rows)}: scores", [metrics_grid(groups, rows, metrics)], notes(runs, metrics))
        return
    for metric in metrics:
        grid = crossed_grid(groups, rows, columns, metric, inventory.attempts)
        yield Section(f"{metric} by {', '.join(rows)} and {', '.join(columns)}", [grid], notes(runs, [metric]))


def group_runs(runs: Sequence[Run], rows: Sequence[str], columns: Sequence[str]) -> Groups:
    """Returns the runs of each cell, in the order in which rows and columns are read.

    Where method and shots are keys, the untouched backbone is repeated for each number of shots: none changes it.
    """
    shots = sorted({as_typed(run.fields["run.shots"]) for run in runs if not run.is_untouched})
    is_repeated = bool(shots) and {"method", "shots"} <= {*rows, *columns}
    groups: dict[tuple[Side, Side], dict[tuple, Run]] = defaultdict(dict)
    for run in runs:
        kind = (*identity(run).values(), *run.seeds, frozenset(run.settings.items()))
        for place in [{"shots": value} for value in shots] if is_repeated and run.is_untouched else [{}]:
            row, column = (
                tuple(place.get(name) or as_typed(run.field(name)) for name in side) for side in (rows, columns)
            )
            groups[row, column].setdefault(kind, run)
    stored = stored_by_method(runs)
    order = sorted(groups, key=lambda key: [sort_key(value, stored) for side in key for value in side])
    return {key: list(groups[key].values()) for key in order}


def stored_by_method(runs: Sequence[Run]) -> dict[str, float]:
    """Returns how many weights each method stores."""
    return {run.fields["run.method"]: run.fields.get("cost.params_stored") or 0 for run in runs}


def sort_key(value: str, stored: Mapping[str, float]) -> tuple[int, float, str]:
    """Returns a key that sorts numbers, then null (all shots), then methods by what they store, then names."""
    try:
        return 1, float(value), ""
    except ValueError:
        return (2 if value == "null" else 3), stored.get(value, 0), value


def notes(runs: Sequence[Run], metrics: Sequence[str]) -> list[str]:
    """Returns how the scores of a pivot were computed."""
    names = ((run, signature_name(run, metric)) for run in runs for metric in metrics)
    signatures = {name: run.conditions[name] for run, name in names if name in run.conditions}
    return [
        *(f"{name.partition('.')[2]}: `{signature}`" for name, signature in sorted(signatures.items())),
        f"± is half the {CONFIDENCE:.0%} t-interval over seeds, absent with one run; in brackets the number of runs",
    ]


def crossed_grid(
    groups: Groups, rows: Sequence[str], columns: Sequence[str], metric: str, attempts: Sequence[Attempt]
) -> Grid:
    """Returns rows against columns; a cell without runs has a word for why, and the notes have the whole reason."""
    runs = [run for group in groups.values() for run in group]
    stored, precision = stored_by_method(runs), digits(run.score(metric) for run in runs)
    across = sorted({column for _, column in groups}, key=lambda side: [sort_key(value, stored) for value in side])
    lines: list[list[Cell]] = []
    reasons: dict[str, None] = {}
    for row in dict.fromkeys(row for row, _ in groups):
        line = cells([", ".join(row)])
        for column in across:
            place = dict(zip([*rows, *columns], [*row, *column], strict=True))
            group = groups.get((row, column), [])
            line.append(score_cell(group, metric, precision) or missing_cell(place, attempts, reasons))
        lines.append(line)
    titles = (", ".join(f"{key}={value}" for key, value in zip(columns, column, strict=True)) for column in across)
    return Grid([", ".join(rows), *titles], lines, notes=list(reasons))


def score_cell(group: Sequence[Run], metric: str, precision: int) -> Cell | None:
    """Returns mean, interval and number of runs; None where no run has the score."""
    values = [value for run in group if (value := run.score(metric)) is not None]
    return Cell(f"{estimate(values, precision)} ({len(values)})", interval(values)[0]) if values else None


def missing_cell(place: Mapping[str, str], attempts: Sequence[Attempt], reasons: dict[str, None]) -> Cell:
    """Returns why a cell has no number: not run, unfinished, failed or impossible; the reason goes to `reasons`."""
    typed = {key: "all" if (key, value) == ("shots", "null") else value for key, value in place.items()}
    fitting = [
        attempt for attempt in attempts
        if all(attempt.identity[key] == value for key, value in typed.items() if key in attempt.identity)
    ]  # fmt: skip
    if not fitting or "method" not in place:
        return Cell(NOT_RUN)
    for attempt in fitting:
        reasons[f"{', '.join(place.values())}: {attempt.state}: {attempt.reason}"] = None
    return Cell(fitting[0].state)


def metrics_grid(groups: Groups, rows: Sequence[str], metrics: Sequence[str]) -> Grid:
    """Returns rows against metrics."""
    lines = []
    precision = {metric: digits(run.score(metric) for group in groups.values() for run in group) for metric in metrics}
    for (row, _), group in groups.items():
        line = cells([", ".join(row), len(group)])
        lines.append([*line, *(score_cell(group, name, precision[name]) or Cell(NOT_RUN) for name in metrics)])
    return Grid([", ".join(rows), "runs", *metrics], lines)
