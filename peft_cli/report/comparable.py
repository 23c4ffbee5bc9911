"""What may share one table or one cell, and in what runs differ where they may not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from peft_cli.report.runs import Run, as_typed, under
from peft_cli.report.tables import differing
from peft_cli.run_folder.result import SEEDS

SAME_TEST = ("test_limit", "data.sha256.test", "scored.protocol")  # equal in all runs of a data set, as decoding is
DECODING, SIGNATURES = "decode.", "signatures."


def identity(run: Run) -> dict[str, str]:
    """Returns what a run is of, apart from its settings and seeds."""
    return {key: as_typed(run.fields[f"run.{key}"]) for key in ("data", "backbone", "shots", "method")}


def check_cell(group: Sequence[Run], place: Mapping[str, str]) -> None:
    """Raises ValueError where a cell has runs that differ in more than their seeds."""
    mixed = differing([identity(run) for run in group if not run.is_untouched])
    mixed = mixed or differing([identity(run) | {"shots": ""} for run in group])
    mixed = mixed or differing([run.settings for run in group])
    keys = sorted(mixed - {*place, *SEEDS})
    if not keys:
        return
    key = keys[0]
    values = sorted({as_typed(run.field(key)) for run in group})
    where = ", ".join(f"{name}={value}" for name, value in place.items())
    more = f" (and other {', '.join(keys[1:4])}{', ...' if len(keys) > 4 else ''})" if len(keys) > 1 else ""
    raise ValueError(
        f"one cell ({where}) would mix runs with {key}={', '.join(values)}{more}; "
        f"choose with --where {key}={values[0]}, or make {key} a row or a column"
    )


def check_table(runs: Sequence[Run], metric: str) -> None:
    """Raises ValueError where runs of one data set have other test sets, limits, rules, signatures or decoding."""
    by_data = defaultdict(list)
    for run in runs:
        if run.score(metric) is not None:
            by_data[run.fields["run.data"]].append(run)
    for data, group in by_data.items():
        conditions = [conditions_of_score(run, metric) for run in group]
        for key in conditions[0]:
            kinds: dict[str, list[Run]] = defaultdict(list)
            for run, values in zip(group, conditions, strict=True):
                kinds[as_typed(values.get(key))].append(run)
            if len(kinds) > 1:
                parts = (f"{key}={value} ({len(kind)} runs, such as {kind[0].folder})" for value, kind in kinds.items())
                way = f"choose with --where {key}={next(iter(kinds))}"
                raise ValueError(f"{data}: {' and '.join(parts)} cannot be in one table; {way}")


def conditions_of_score(run: Run, metric: str) -> dict[str, Any]:
    """Returns what has to be equal for a score to be comparable: test set, limit, rules, its signature, decoding."""
    signature = signature_name(run, metric)
    conditions = {key: run.field(key) for key in SAME_TEST} | {signature: run.conditions.get(signature)}
    decoding = {} if run.is_system else under(run.settings, DECODING)
    return conditions | {f"{DECODING}{key}": value for key, value in decoding.items() if key != "batch_size"}


def signature_name(run: Run, metric: str) -> str:
    """Returns the condition that is the signature of a score: its own, or the longest that its name begins with."""
    names = (key for key in run.conditions if key.startswith(SIGNATURES))
    return max((key for key in names if metric.startswith(key.removeprefix(SIGNATURES))), key=len, default=SIGNATURES)
