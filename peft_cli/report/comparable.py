"""What may stand in one table or one cell, and which runs differ in what where it may not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from peft_cli.report.runs import Run, as_typed, field, under
from peft_cli.report.tables import differing
from peft_cli.run_folder.result import SEEDS

SAME_TEST = ("test_limit", "data.sha256.test", "scored.protocol")  # alike in all runs of a data set, as decoding is
DECODING, SIGNATURES = "decode.", "signatures."


def identity(run: Run) -> dict[str, str]:
    """What a run is of, beside its settings and seeds."""
    return {key: as_typed(run.fields[f"run.{key}"]) for key in ("data", "backbone", "shots", "method")}


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
            kinds: dict[str, list[Run]] = defaultdict(list)
            for run, facts in zip(group, alike, strict=True):
                kinds[as_typed(facts.get(key))].append(run)
            if len(kinds) > 1:
                told = (f"{key}={value} ({len(kind)} runs, such as {kind[0].folder})" for value, kind in kinds.items())
                way = f"choose with --where {key}={next(iter(kinds))}"
                raise ValueError(f"{data}: {' and '.join(told)} cannot stand in one table; {way}")


def comparable(run: Run, name: str) -> dict:
    """What has to be alike for a score to be comparable: test set, limit, rules, the metric's signature, decoding."""
    signature = signature_of(run, name)
    facts = {key: field(run, key) for key in SAME_TEST} | {signature: run.fields.get(signature)}
    decoding = {} if run.is_system else under(run.settings, DECODING)
    return facts | {f"{DECODING}{key}": value for key, value in decoding.items() if key != "batch_size"}


def signature_of(run: Run, name: str) -> str:
    """The field of the signature that a score has: its own, or the longest one that its name begins with."""
    score = name.removeprefix("scores.")
    names = (key for key in run.fields if key.startswith(SIGNATURES))
    return max((key for key in names if score.startswith(key.removeprefix(SIGNATURES))), key=len, default=SIGNATURES)
