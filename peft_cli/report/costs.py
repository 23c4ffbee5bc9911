"""What methods cost: exact counts, and what was measured on one machine, each relative to other methods too."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from statistics import median
from typing import NamedTuple

from peft_cli.report.document import Cell, Grid, cells
from peft_cli.report.intervals import ABSENT
from peft_cli.report.runs import Run, short, times, whole
from peft_cli.report.tables import Row, Table, labels, rows

RELATIVE_TO = ("ft", "pt")  # full tuning and prompt tuning
RELATIVE = "Cost relative to"


class Measure(NamedTuple):
    """A column: its title, what it takes from a run's fields, how it is written."""

    title: str
    take: Callable[[Mapping], float | None]
    write: Callable[[float], str]
    is_relative: bool = True  # whether a share of another method's says anything


def scaled(name: str, factor: float = 1.0) -> Callable[[Mapping], float | None]:
    """What takes a field in another unit."""
    return lambda fields: times(factor, fields.get(f"cost.{name}"))


def yes_or_no(value: float) -> str:
    """What runs say that can or cannot do something."""
    return {0: "no", 1: "yes"}.get(value, "some")


EXACT = (
    Measure("trained", scaled("params_trained"), whole),
    Measure("stored", scaled("params_stored"), whole),
    Measure("tensors", scaled("tensors_stored"), whole),
    Measure("stored %", lambda run: 100 * run["cost.params_stored"] / run["cost.params_backbone"], short, False),
    Measure("one batch", scaled("shares_batches"), yes_or_no, is_relative=False),
    Measure("positions", scaled("positions_added"), whole),
    Measure("KiB on disk", scaled("bytes_stored", 2**-10), short),
    Measure("GFLOP/step", scaled("flops_per_step", 1e-9), short),
    Measure("saved MiB", scaled("saved_for_backward_bytes", 2**-20), short),
)
SHARING = (
    "tensors: how many are stored for a task; one batch: whether queries of several tasks, each with a method of its "
    "own, can share one"
)
STEP = Measure("step ms", scaled("step_seconds.median", 1e3), short)
MEASURED = (
    STEP,
    Measure("memory MiB", scaled("peak_memory_bytes", 2**-20), whole),
    Measure("ms/example", scaled("generation_seconds_per_example", 1e3), short),
    Measure("total s", scaled("total_seconds"), short),
    Measure("energy J", scaled("energy_joules"), short),
)
QUARTILES = ("step_seconds.p25", "step_seconds.p75")


def cost_grids(table: Table) -> Iterator[Grid]:
    """The exact costs, and for each machine those that were measured there; each relative to other methods too."""
    made = [row for row in rows(table.runs) if not row.runs[0].is_system]
    names = labels(made)
    tells = any("cost.shares_batches" in run.fields for row in made for run in row.runs)
    yield from blocks(made, names, EXACT, "exact on any machine", [*([SHARING] if tells else []),
        "saved MiB: kept for the backward pass, without weights; GFLOP/step: forward and backward, a product and its "
        "sum are two"])  # fmt: skip
    machines = dict.fromkeys(run.machine for row in made for run in row.runs)
    for machine in machines:
        here = [(row._replace(runs=[run for run in row.runs if run.machine == machine]), name)
                for row, name in zip(made, names, strict=True)]  # fmt: skip
        here = [(row, name) for row, name in here if row.runs]
        repeated = [run for run in table.runs if run.machine == machine and not run.is_system]
        floor, known = noise([row for row, _ in here], repeated)
        caption = f"measured on {machine[0]} (threads: {machine[1]})"
        kinds = " or ".join(dict.fromkeys(run.fields["cost.memory_kind"] for row, _ in here for run in row.runs))
        notes = [known, f"memory: peak of {kinds}; step ms: median (quartiles) of a run's steps; medians over runs"]
        yield from blocks([row for row, _ in here], [name for _, name in here], MEASURED, caption, notes, floor)


def blocks(
    made: Sequence[Row], names: Sequence[str], measures: Sequence[Measure], caption: str, notes: list[str],
    floor: float | None = None,
) -> Iterator[Grid]:  # fmt: skip
    """One grid of values, and one for each method that they are put in relation to."""
    values = [[middle(row, measure) for measure in measures] for row in made]
    shown = [i for i in range(len(measures)) if any(line[i] is not None for line in values)]
    titles = [measures[i].title for i in shown]
    lines = []
    for row, name, line in zip(made, names, values, strict=True):
        texts = [
            Cell(ABSENT if line[i] is None else measures[i].write(line[i]) + spread(row, measures[i]), line[i])
            for i in shown
        ]
        lines.append([*cells([name]), *texts])
    places = {reference: [i for i, row in enumerate(made) if row.method == reference] for reference in RELATIVE_TO}
    absent = [
        f"relative to {reference}: absent, as {reference} stands in {len(at)} rows here"
        for reference, at in places.items() if len(at) != 1
    ]  # fmt: skip
    yield Grid(["method", *titles], lines, f"Cost, {caption}", [*notes, *absent])
    for reference, at in places.items():
        if len(at) == 1:
            base = values[at[0]]
            compared = [i for i in shown if measures[i].is_relative]
            floors = [floor if measures[i] is STEP else None for i in compared]
            relative = [
                [*cells([name]), *(ratio(line[i], base[i], known) for i, known in zip(compared, floors, strict=True))]
                for name, line in zip(names, values, strict=True)
            ]
            close = ["≈: within the noise floor of step times"] if floor is not None and STEP.title in titles else []
            heads = ["method", *(measures[i].title for i in compared)]
            yield Grid(heads, relative, f"{RELATIVE} {reference}, {caption}", close)


def told(row: Row, measure: Measure, value: float | None) -> Cell:
    """A value with the quartiles that belong to it."""
    return Cell(ABSENT if value is None else measure.write(value) + spread(row, measure), value)


def middle(row: Row, measure: Measure) -> float | None:
    """The median over the runs of a row; None where none has it."""
    values = [value for run in row.runs if (value := measure.take(run.fields)) is not None]
    return median(values) if values else None


def spread(row: Row, measure: Measure) -> str:
    """The quartiles of the steps' times, as medians over runs; nothing where they were not written down."""
    if measure is not STEP:
        return ""
    ends = [middle(row, Measure("", scaled(name, 1e3), short)) for name in QUARTILES]
    return "" if None in ends else f" ({short(ends[0])}-{short(ends[1])})"


def ratio(value: float | None, reference: float | None, floor: float | None) -> Cell:
    """How many times the reference; marked where it differs by less than the noise."""
    if value is None or not reference:
        return Cell(ABSENT)
    share = value / reference
    is_noise = floor is not None and abs(share - 1) <= floor and share != 1
    return Cell(f"{'≈ ' if is_noise else ''}{short(share)}", share)


def noise(made: Sequence[Row], runs: Sequence[Run]) -> tuple[float | None, str]:
    """By what share step times of the same work differ, at most, and how that is known.

    From runs that were repeated with the settings and seeds of another (A/A); else from runs that differ in their
    seeds alone, whose steps do the same work but for the lengths of the examples.
    """
    repeated = defaultdict(list)
    for run in runs:
        repeated[run.fields["run.method"], run.seeds, tuple(sorted(run.settings.items()))].append(run)
    gaps = list(apart(repeated.values()))
    if gaps:
        return max(
            gaps
        ), f"noise floor of step times: {max(gaps):.1%} at most in {len(gaps)} A/A pairs of repeated runs"
    gaps = list(apart([row.runs for row in made]))
    if gaps:
        kind = "pairs of runs that differ in their seeds alone (no run was repeated)"
        return max(gaps), f"noise floor of step times: {max(gaps):.1%} at most in {len(gaps)} {kind}"
    return None, "noise floor of step times: unknown, as no run was repeated and no method has two seeds"


def apart(groups: Sequence[Sequence[Run]]) -> Iterator[float]:
    """For each two runs of a group, by what share the longer median step exceeds the shorter."""
    for group in groups:
        steps = [value for run in group if (value := STEP.take(run.fields))]
        for one, other in combinations(steps, 2):
            yield max(one, other) / min(one, other) - 1
