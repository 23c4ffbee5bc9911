"""A table of one's own: any keys as rows and columns, a metric in its cells; never over what cannot be compared.

runs -> comparable or refused -> cells of runs that differ in their seeds alone -> a grid for each metric
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from peft_cli.report.document import Cell, Grid, Section, cells
from peft_cli.report.intervals import CONFIDENCE, digits, estimate, interval
from peft_cli.report.performance import scored
from peft_cli.report.runs import SEEDS, Attempt, Found, Run, as_typed, field
from peft_cli.report.tables import differing

NOT_RUN = "not run"
SAME_TEST = ("test_limit", "data.sha256.test", "scored.protocol")  # alike in all runs of a data set, as decoding is


def pivot(found: Found, rows: Sequence[str], columns: Sequence[str], metrics: Sequence[str]) -> Iterator[Section]:
    """A table for each metric; without `columns` one table with the metrics as columns.

    Raises ValueError where it would mix runs that cannot be compared, with what they differ in, or where no run has
    such a key.
    """
    rows = rows or ["method"]
    names = scored(found.runs, metrics)
    runs = [run for run in found.runs if any(run.fields.get(name) is not None for name in names)]
    check(found.runs, [*rows, *columns], metrics, names)
    groups = grouped(runs, rows, columns)
    for key, group in groups.items():
        check_pooled(group, dict(zip([*rows, *columns], [*key[0], *key[1]], strict=True)))
    if columns:
        for name in names:
            refuse_to_mix(runs, name)
            yield Section(f"{name.removeprefix('scores.')} by {', '.join(rows)} and {', '.join(columns)}",
                          [crossed(groups, rows, columns, name, found.attempts)], told(runs, name))  # fmt: skip
    else:
        for name in names:
            refuse_to_mix(runs, name)
        yield Section(f"{', '.join(rows)}: scores", [lined(groups, rows, names)], told(runs, *names))


def check(runs: Sequence[Run], keys: Sequence[str], metrics: Sequence[str], names: Sequence[str]) -> None:
    """Raises ValueError for a metric or a key that no run has."""
    for key in keys:
        if all(field(run, key) is None and not has(run, key) for run in runs):
            raise ValueError(
                f"no run has {key}; method, backbone, data, shots, seed and keys of its configuration work"
            )
    missing = [metric for metric in metrics if f"scores.{metric}" not in names]
    if missing:
        there = ", ".join(name.removeprefix("scores.") for name in scored(runs, ()))
        raise ValueError(f"no run has a score {missing[0]}; there are {there}")


def has(run: Run, key: str) -> bool:
    """Whether the run has a key, though it may be null."""
    return any(name in run.fields for name in (f"run.{key}", f"config.{key}", key))


def grouped(runs: Sequence[Run], rows: Sequence[str], columns: Sequence[str]) -> dict[tuple, list[Run]]:
    """The runs of each cell, by (values of the rows' keys, values of the columns' keys), in a reader's order.

    The untouched backbone, which no number of shots changes, stands in the column of each.
    """
    shots = {as_typed(run.fields["run.shots"]) for run in runs if not run.is_floor}
    spread = [*rows, *columns] if shots and "shots" in [*rows, *columns] and "method" in [*rows, *columns] else []
    groups = defaultdict(dict)
    for run in runs:
        for value in sorted(shots) if spread and run.is_floor else [as_typed(run.fields.get("run.shots"))]:
            here = {"shots": value}
            key = tuple(
                tuple(here.get(name) or as_typed(field(run, name)) for name in side) for side in (rows, columns)
            )
            groups[key].setdefault((*identity(run).values(), *run.seeds, frozenset(run.settings.items())), run)
    stored = {run.fields["run.method"]: run.fields.get("cost.params_stored", 0) for run in runs}
    order = sorted(groups, key=lambda key: [orderly(value, stored) for side in key for value in side])
    return {key: list(groups[key].values()) for key in order}


def identity(run: Run) -> dict[str, str]:
    """What a run is of, beside its settings and seeds."""
    return {key: as_typed(run.fields[f"run.{key}"]) for key in ("data", "backbone", "shots", "method")}


def orderly(value: str, stored: Mapping[str, int]) -> tuple:
    """A key that sorts numbers as numbers, then null (all shots), then methods by what they store, then names."""
    try:
        return 1, float(value), ""
    except ValueError:
        return (2 if value == "null" else 3), stored.get(value, 0), value


def check_pooled(group: Sequence[Run], place: Mapping[str, str]) -> None:
    """Raises ValueError where a cell has runs that differ in more than their seeds."""
    known = differing([identity(run) for run in group if not run.is_floor])
    mixed = sorted(known or differing([identity(run) | {"shots": ""} for run in group]))
    mixed = mixed or sorted(differing([run.settings for run in group]))
    mixed = [key for key in mixed if key not in (*place, *SEEDS)]
    if not mixed:
        return
    key = mixed[0]
    values = sorted({as_typed(field(run, key)) for run in group})
    where = ", ".join(f"{name}={value}" for name, value in place.items())
    raise ValueError(
        f"one cell ({where}) would mix runs with {key}={', '.join(values)}{others(mixed)}; "
        f"choose with --where {key}={values[0]}, or make {key} a row or a column"
    )


def others(mixed: Sequence[str]) -> str:
    """The further keys in which runs differ."""
    return f" (and other {', '.join(mixed[1:4])}{', ...' if len(mixed) > 4 else ''})" if len(mixed) > 1 else ""


def refuse_to_mix(runs: Sequence[Run], name: str) -> None:
    """Raises ValueError where runs of one data set have other test sets, limits, rules, signatures or decoding."""
    by_data = defaultdict(list)
    for run in runs:
        if run.fields.get(name) is not None:
            by_data[run.fields["run.data"]].append(run)
    for data, group in by_data.items():
        alike = [comparable(run, name) for run in group]
        for key in alike[0]:
            first: dict[str, Run] = {}
            counts: dict[str, int] = defaultdict(int)
            for run, facts in zip(group, alike, strict=True):
                value = as_typed(facts.get(key))
                first.setdefault(value, run)
                counts[value] += 1
            if len(first) > 1:
                told = " and ".join(
                    f"{key}={value} ({counts[value]} runs, such as {first[value].folder})" for value in first
                )
                raise ValueError(
                    f"{data}: {told} cannot stand in one table; choose with --where {key}={next(iter(first))}"
                )


def comparable(run: Run, name: str) -> dict:
    """What has to be alike for a score to be comparable: test set, limit, rules, the metric's signature, decoding."""
    signature = signature_of(run, name)
    decoding = {
        key: value for key, value in run.settings.items() if key.startswith("decode.") and key != "decode.batch_size"
    }
    return (
        {key: field(run, key) for key in SAME_TEST}
        | {signature: run.fields.get(signature)}
        | ({} if run.is_system else decoding)
    )


def signature_of(run: Run, name: str) -> str:
    """The field of the signature that a score has: its own, or the longest one that its name begins with."""
    score = name.removeprefix("scores.")
    fitting = [
        key for key in run.fields if key.startswith("signatures.") and score.startswith(key.removeprefix("signatures."))
    ]
    return max(fitting, key=len, default="signatures")


def told(runs: Sequence[Run], *names: str) -> list[str]:
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
    stored = {
        run.fields["run.method"]: run.fields.get("cost.params_stored", 0) for group in groups.values() for run in group
    }
    across = sorted({key[1] for key in groups}, key=lambda side: [orderly(value, stored) for value in side])
    down = list(dict.fromkeys(key[0] for key in groups))
    precision = digits([run.fields.get(name) for group in groups.values() for run in group])
    lines, reasons = [], {}
    for row in down:
        line = cells([", ".join(row)])
        for column in across:
            place = dict(zip([*rows, *columns], [*row, *column], strict=True))
            line.append(filled(groups.get((row, column), []), name, precision) or missing(place, attempts, reasons))
        lines.append(line)
    headers = [
        ", ".join(rows),
        *(", ".join(f"{key}={value}" for key, value in zip(columns, column, strict=True)) for column in across),
    ]
    return Grid(headers, lines, notes=list(reasons))


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
