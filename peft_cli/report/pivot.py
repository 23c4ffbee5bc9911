"""A table of one's own: any keys as rows and columns, a metric in its cells; never over what cannot be compared.

runs -> comparable or refused -> cells of runs that differ in their seeds alone -> a grid for each metric
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from peft_cli.report.comparable import check_pooled, identity, refuse_to_mix, signature_of
from peft_cli.report.document import Cell, Grid, Section, cells
from peft_cli.report.intervals import CONFIDENCE, digits, estimate, interval
from peft_cli.report.performance import scored
from peft_cli.report.runs import Attempt, Found, Run, as_typed, field

NOT_RUN = "not run"


def pivot(found: Found, rows: Sequence[str], columns: Sequence[str], metrics: Sequence[str]) -> Iterator[Section]:
    """A table for each metric; without `columns` one table with the metrics as columns.

    Raises ValueError where it would mix runs that cannot be compared, with what they differ in, or where no run has
    such a key.
    """
    rows = rows or ["method"]
    check(found.runs, [*rows, *columns], metrics)
    names = scored(found.runs, metrics)
    runs = [run for run in found.runs if any(run.fields.get(name) is not None for name in names)]
    groups = grouped(runs, rows, columns)
    for (row, column), group in groups.items():
        check_pooled(group, dict(zip([*rows, *columns], [*row, *column], strict=True)))
    for name in names:
        refuse_to_mix(runs, name)
    if not columns:
        yield Section(f"{', '.join(rows)}: scores", [lined(groups, rows, names)], told(runs, names))
        return
    for name in names:
        grid = crossed(groups, rows, columns, name, found.attempts)
        title = f"{name.removeprefix('scores.')} by {', '.join(rows)} and {', '.join(columns)}"
        yield Section(title, [grid], told(runs, [name]))


def check(runs: Sequence[Run], keys: Sequence[str], metrics: Sequence[str]) -> None:
    """Raises ValueError for a metric or a key that no run has."""
    for key in keys:
        if not any(has(run, key) for run in runs):
            raise ValueError(f"no run has {key}; possible are method, backbone, data, shots, seed and keys of a run")
    there = [name.removeprefix("scores.") for name in scored(runs, ())]
    for metric in metrics:
        if metric not in there:
            raise ValueError(f"no run has a score {metric}; there are {', '.join(there)}")


def has(run: Run, key: str) -> bool:
    """Whether the run has a key, though it may be null."""
    return any(name in run.fields for name in (f"run.{key}", f"config.{key}", key))


def grouped(runs: Sequence[Run], rows: Sequence[str], columns: Sequence[str]) -> dict[tuple, list[Run]]:
    """The runs of each cell, by (values of the rows' keys, values of the columns' keys), in a reader's order.

    Where method and shots are keys, the untouched backbone stands with each number of shots: none changes it.
    """
    shots = sorted({as_typed(run.fields["run.shots"]) for run in runs if not run.is_floor})
    is_spread = bool(shots) and {"method", "shots"} <= {*rows, *columns}
    groups = defaultdict(dict)
    for run in runs:
        kind = (*identity(run).values(), *run.seeds, frozenset(run.settings.items()))
        for place in [{"shots": value} for value in shots] if is_spread and run.is_floor else [{}]:
            key = tuple(
                tuple(place.get(name) or as_typed(field(run, name)) for name in side) for side in (rows, columns)
            )
            groups[key].setdefault(kind, run)
    stored = stored_by_method(runs)
    order = sorted(groups, key=lambda key: [orderly(value, stored) for side in key for value in side])
    return {key: list(groups[key].values()) for key in order}


def stored_by_method(runs: Sequence[Run]) -> dict[str, int]:
    """How many weights each method stores."""
    return {run.fields["run.method"]: run.fields.get("cost.params_stored", 0) for run in runs}


def orderly(value: str, stored: Mapping[str, int]) -> tuple:
    """A key that sorts numbers as numbers, then null (all shots), then methods by what they store, then names."""
    try:
        return 1, float(value), ""
    except ValueError:
        return (2 if value == "null" else 3), stored.get(value, 0), value


def told(runs: Sequence[Run], names: Sequence[str]) -> list[str]:
    """What is known about the scores of a pivot."""
    signatures = {key.removeprefix("signatures."): run.fields[key]
                  for run in runs for name in names if (key := signature_of(run, name)) in run.fields}  # fmt: skip
    return [
        *(f"{name}: `{signature}`" for name, signature in sorted(signatures.items())),
        f"± is half the {CONFIDENCE:.0%} t-interval over seeds, absent with one run; in brackets the number of runs",
    ]


def crossed(
    groups: Mapping, rows: Sequence[str], columns: Sequence[str], name: str, attempts: Sequence[Attempt]
) -> Grid:
    """Rows against columns; a cell without runs says why, and the notes say it in full."""
    runs = [run for group in groups.values() for run in group]
    stored, precision = stored_by_method(runs), digits([run.fields.get(name) for run in runs])
    across = sorted({key[1] for key in groups}, key=lambda side: [orderly(value, stored) for value in side])
    down = list(dict.fromkeys(key[0] for key in groups))
    lines, reasons = [], {}
    for row in down:
        line = cells([", ".join(row)])
        for column in across:
            place = dict(zip([*rows, *columns], [*row, *column], strict=True))
            line.append(filled(groups.get((row, column), []), name, precision) or missing(place, attempts, reasons))
        lines.append(line)
    titles = (", ".join(f"{key}={value}" for key, value in zip(columns, column, strict=True)) for column in across)
    return Grid([", ".join(rows), *titles], lines, notes=list(reasons))


def filled(group: Sequence[Run], name: str, precision: int) -> Cell | None:
    """Mean, interval and number of runs; nothing where no run has the score."""
    values = [run.fields[name] for run in group if run.fields.get(name) is not None]
    if not values:
        return None
    return Cell(f"{estimate(values, precision)} ({len(values)})", interval(values)[0])


def missing(place: Mapping[str, str], attempts: Sequence[Attempt], reasons: dict[str, None]) -> Cell:
    """Why a cell has no number: not run, unfinished, failed or impossible; the reason goes to `reasons`."""
    fitting = [
        attempt for attempt in attempts
        if all(attempt.identity[key] == value for key, value in typed(place).items() if key in attempt.identity)
    ]  # fmt: skip
    if not fitting or "method" not in place:
        return Cell(NOT_RUN)
    for attempt in fitting:
        reasons[f"{', '.join(place.values())}: {attempt.state}: {attempt.reason}"] = None
    return Cell(fitting[0].state)


def typed(place: Mapping[str, str]) -> dict[str, str]:
    """`place` with all shots as folders are named."""
    return {key: "all" if (key, value) == ("shots", "null") else value for key, value in place.items()}


def lined(groups: Mapping, rows: Sequence[str], names: Sequence[str]) -> Grid:
    """Rows against metrics."""
    lines = []
    precision = {name: digits([run.fields.get(name) for group in groups.values() for run in group]) for name in names}
    for key, group in groups.items():
        line = cells([", ".join(key[0]), len(group)])
        lines.append([*line, *(filled(group, name, precision[name]) or Cell(NOT_RUN) for name in names)])
    return Grid([", ".join(rows), "runs", *(name.removeprefix("scores.") for name in names)], lines)
