"""The table of scores and costs of runs that may be compared, and what has to be known about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from peft_cli.report.document import Cell, Grid, Section, cells
from peft_cli.report.intervals import ABSENT, CONFIDENCE, digits, estimate, interval
from peft_cli.report.runs import COSTS, MACHINE, Attempt, Run, under
from peft_cli.report.tables import Row, Table, differing, gathered, is_comparable, labels, rows

VALIDATED = {f"training.best_validation_{name}": f"validation {name}" for name in ("loss", "metric")}


def performance(tables: Sequence[Table], metrics: Sequence[str]) -> Iterator[Section]:
    """A section for each table, with the chosen metrics; all where none is chosen."""
    for table in tables:
        yield section(table, tables, metrics)


def section(table: Table, tables: Sequence[Table], metrics: Sequence[str], n_costs: int = len(COSTS)) -> Section:
    """A table under its heading with the first so many of COSTS, and what has to be known about it."""
    made = rows(table.runs)
    runs = [run for row in made for run in row.runs]
    scores = scored(runs, metrics)
    validated = [name for name in VALIDATED if any(run.fields.get(name) is not None for run in runs)]
    shown = [i for i in range(n_costs) if is_comparable(i, runs)]
    precision = {name: digits([run.fields.get(name) for run in runs]) for name in scores} | dict.fromkeys(validated, 2)
    lines = []
    for row, label in zip(made, labels(made), strict=True):
        estimates = [estimated(row, name, precision[name]) for name in precision]
        lines.append([*cells([label, len(row.runs)]), *estimates, *(costed(row, i) for i in shown)])
    names = [name.removeprefix("scores.") for name in scores] + [VALIDATED[name] for name in validated]
    headers = ["method", "runs", *names, *(COSTS[i].title for i in shown)]
    return Section(heading(table, tables), [Grid(headers, lines)], list(notes(table, runs)))


def scored(runs: Sequence[Run], metrics: Sequence[str]) -> list[str]:
    """The fields of the chosen metrics that some run has, in the order of the runs; all where none is chosen."""
    names = dict.fromkeys(name for run in runs for name in run.fields if name.startswith("scores."))
    return [name for name in names if not metrics or name.removeprefix("scores.") in metrics]


def estimated(row: Row, name: str, precision: int) -> Cell:
    """Mean and interval of a field over the runs of a row."""
    values = [run.fields.get(name) for run in row.runs]
    return Cell(estimate(values, precision), None if None in values else interval(values)[0])


def costed(row: Row, i: int) -> Cell:
    """The median of a column of COSTS over the runs of a row."""
    value = row.cost(i)
    return Cell(ABSENT if value is None else COSTS[i].write(value), value)


def heading(table: Table, tables: Sequence[Table]) -> str:
    """Data, backbone, shots, and as many facts as it takes to tell this table apart from those of its place."""
    shots = f"{table.backbone} · {'all' if table.shots is None else table.shots} shots"
    alone = all(run.is_system for run in table.runs)
    return " · ".join([table.data, "other systems" if alone else shots, *telling(table, tables)])


def telling(table: Table, tables: Sequence[Table]) -> Iterator[str]:
    """The facts that tell a table apart from others of the same data and backbone."""
    alike = [other.facts for other in tables if other[:2] == table[:2]]
    for key, fact in table.facts.items():
        if key in differing(alike):
            common = set.intersection(*(set(facts.get(key, ABSENT).split("|")) for facts in alike))
            yield f"{key}={'|'.join(part for part in fact.split('|') if part not in common) or fact}"
            alike = [facts for facts in alike if facts.get(key) == fact]
    for key in sorted(differing(alike) - set(table.facts)):
        yield f"no {key}"


def notes(table: Table, runs: Sequence[Run]) -> Iterator[str]:
    """What was measured, with what and on what."""
    signatures = {name: fact for run in runs for name, fact in under(run.facts, "signatures.").items()}
    for name, signature in sorted(signatures.items()):
        yield f"{name}: `{signature}`"
    yield from judged([run.fields for run in runs])
    fields = [run.fields for run in runs if not run.is_system]
    if not fields:
        return
    repeated = len(table.runs) - len(runs)
    again = f"; {repeated} more with the settings and seeds of one of these left out" if repeated else ""
    yield f"runs: {len(runs)}{again}; ± is half the {CONFIDENCE:.0%} t-interval over seeds, absent with one run"
    yield f"test examples: {fields[0]['data.n_test']:,}"
    weights = dict.fromkeys(run["backbone.sha256"][:12] for run in fields)
    sha = f"sha256 {next(iter(weights))}" if len(weights) == 1 else f"weights with {len(weights)} different sha256"
    yield f"backbone: {table.facts['backbone.name']}, {sha}; % is what is stored over the backbone's weights"
    machines = dict.fromkeys(tuple(run[name] for name in MACHINE) for run in fields)
    yield f"device: {' or '.join(f'{device} (threads: {threads})' for device, threads in machines)}"
    if n_fused := sum(bool(run.get("cost.fused_with")) for run in fields):
        yield f"{n_fused} runs had others beside them in one process (fuse): their times and memory are left out"
    left_out = [COSTS[i].title for i in range(len(COSTS)) if not is_comparable(i, runs)]
    if left_out:
        yield f"not shown, as they were not measured alike (several devices or kinds of memory): {', '.join(left_out)}"
    kinds = " or ".join(dict.fromkeys(run["cost.memory_kind"] for run in fields))
    yield f"memory: peak of {kinds}; costs are medians over runs"
    yield f"versions: {', '.join(versions(fields))}"


def judged(fields: Sequence[Mapping]) -> Iterator[str]:
    """By which protocol, how many references how many items have, and why a score has no value."""
    if "scored.protocol" in fields[0]:
        counts = ", ".join(f"{n} ({items:,})" for n, items in fields[0]["scored.references"])
        yield (
            f"protocol: {fields[0]['scored.protocol']}, {fields[0]['scored.items']:,} items; "
            f"references of an item (so many items): {counts}"
        )
    for name, reasons in gathered([under(run, "undefined.") for run in fields]).items():
        yield f"{name}: no value in {len(reasons)} of {len(fields)} runs: {' or '.join(dict.fromkeys(reasons))}"


def versions(fields: Sequence[Mapping]) -> Iterator[str]:
    """Each package with its version or versions, and the commit of this one where it is a checkout."""
    commits = [{"commit": run["environment.commit"]} for run in fields if run["environment.commit"]]
    packages = [{"python": run["environment.python"]} | under(run, "environment.versions.") for run in fields]
    for name, values in gathered([*packages, *commits]).items():
        yield f"{name} {' or '.join(dict.fromkeys(values))}"


def remarks(attempts: Sequence[Attempt], unreadable: int) -> Iterator[Section]:
    """What has no row: the failed runs with their reasons, and the numbers of the unfinished and unreadable ones."""
    lines = [f"`{attempt.folder}`: {attempt.reason}" for attempt in attempts if attempt.state != "unfinished"]
    unfinished = len(attempts) - len(lines)
    if unfinished:
        lines.append(f"{unfinished} interrupted or still running: a log, and neither a result nor an error")
    if unreadable:
        lines.append(f"{unreadable} with a result.json that cannot be read")
    if lines:
        yield Section("Runs without a row", notes=lines)
