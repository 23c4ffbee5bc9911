"""What methods cost: exact counts, and what was measured on one machine, each relative to other methods too."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

from peft_cli.report.document import Cell, Grid, cells
from peft_cli.report.intervals import ABSENT
from peft_cli.report.measures import EXACT, MEASURED, STEP, Measure, cost, memory_kind, short
from peft_cli.report.runs import Run
from peft_cli.report.tables import Row, Table, labels, rows

RELATIVE_TO = ("ft", "pt")  # full tuning and prompt tuning
RELATIVE = "Cost relative to"
SHARING = (
    "tensors: how many are stored for a task; one batch: whether queries of several tasks, each with a method of its "
    "own, can share one"
)
OPERATIONS = (
    "saved MiB: kept for the backward pass, without weights; GFLOP/step: forward and backward, a product and its sum "
    "are two"
)
QUARTILES = tuple(Measure("", cost(f"step_seconds.{name}", 1e3), short) for name in ("p25", "p75"))
Labelled = Sequence[tuple[str, Row]]


def cost_grids(table: Table) -> Iterator[Grid]:
    """Yields the exact costs, and for each machine those that were measured there; each as ratios too."""
    made = [row for row in rows(table.runs) if not row.is_system]
    labelled = list(zip(labels(made), made, strict=True))
    runs = [run for row in made for run in row.runs]
    sharing = [SHARING] if any("cost.shares_batches" in run.fields for run in runs) else []
    yield from grids(labelled, EXACT, "exact on any machine", [*sharing, OPERATIONS])
    for machine in dict.fromkeys(run.machine for run in runs):
        here = [
            (label, row._replace(runs=[run for run in row.runs if run.machine == machine])) for label, row in labelled
        ]
        here = [(label, row) for label, row in here if row.runs]
        everything = [run for run in table.runs if not run.is_system and run.machine == machine]
        floor, source = noise([row for _, row in here], everything)
        kinds = " or ".join(dict.fromkeys(memory_kind(run.fields) for _, row in here for run in row.runs))
        notes = [source, f"memory: peak of {kinds}; step ms: median (quartiles) of a run's steps; medians over runs"]
        yield from grids(here, MEASURED, f"measured on {machine}", notes, floor)


def grids(
    labelled: Labelled, measures: Sequence[Measure], caption: str, notes: Sequence[str], floor: float | None = None
) -> Iterator[Grid]:
    """Yields one grid of values, and one for each method that they are relative to."""
    shown = [measure for measure in measures if any(row.median(measure) is not None for _, row in labelled)]
    lines = [[*cells([label]), *(value_cell(row, measure) for measure in shown)] for label, row in labelled]
    references = {name: [row for _, row in labelled if row.method == name] for name in RELATIVE_TO}
    absent = [
        f"relative to {name}: absent, as there are {len(found)} rows of {name} here"
        for name, found in references.items() if len(found) != 1
    ]  # fmt: skip
    yield Grid(["method", *(measure.title for measure in shown)], lines, f"Cost, {caption}", [*notes, *absent])
    compared = [measure for measure in shown if measure.has_ratio]
    close = ["≈: within the noise floor of step times"] if floor is not None and STEP in shown else []
    for name, found in references.items():
        if len(found) == 1:
            ratios = [
                [*cells([label]), *(ratio_cell(row, found[0], measure, floor) for measure in compared)]
                for label, row in labelled
            ]
            heads = ["method", *(measure.title for measure in compared)]
            yield Grid(heads, ratios, f"{RELATIVE} {name}, {caption}", close)


def value_cell(row: Row, measure: Measure) -> Cell:
    """Returns the median over runs; behind that of step times the medians of their quartiles."""
    value = row.median(measure)
    if value is None:
        return Cell(ABSENT)
    low, high = (row.median(quartile) if measure is STEP else None for quartile in QUARTILES)
    spread = "" if low is None or high is None else f" ({short(low)}-{short(high)})"
    return Cell(measure.write(value) + spread, value)


def ratio_cell(row: Row, reference: Row, measure: Measure, floor: float | None) -> Cell:
    """Returns how many times the reference; a step time that differs by less than the noise floor is marked."""
    value, base = row.median(measure), reference.median(measure)
    if value is None or not base:
        return Cell(ABSENT)
    share = value / base
    is_noise = measure is STEP and floor is not None and abs(share - 1) <= floor and share != 1
    return Cell(f"{'≈ ' if is_noise else ''}{short(share)}", share)


def noise(made: Sequence[Row], runs: Sequence[Run]) -> tuple[float | None, str]:
    """Returns by what share step times of the same work differ, at most, and from which runs that is known.

    From runs that were repeated with the settings and seeds of another (A/A); else from runs that differ in their
    seeds alone, whose steps do the same work but for the lengths of the examples.
    """
    repeated = defaultdict(list)
    for run in runs:
        repeated[run.fields["run.method"], run.seeds, tuple(sorted(run.settings.items()))].append(run)
    kinds = {
        "A/A pairs of repeated runs": repeated.values(),
        "pairs of runs that differ in their seeds alone (no run was repeated)": [row.runs for row in made],
    }
    for kind, groups in kinds.items():
        if gaps := list(step_gaps(groups)):
            return max(gaps), f"noise floor of step times: {max(gaps):.1%} at most in {len(gaps)} {kind}"
    return None, "noise floor of step times: unknown, as no run was repeated and no method has two seeds"


def step_gaps(groups: Iterable[Sequence[Run]]) -> Iterator[float]:
    """Yields for each two runs of a group by what share the longer median step exceeds the shorter."""
    for group in groups:
        steps = [value for run in group if (value := STEP.take(run.fields))]
        for one, other in combinations(steps, 2):
            yield max(one, other) / min(one, other) - 1
