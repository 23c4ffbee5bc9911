"""The table of scores and costs of runs that may be compared, and notes on how they were measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from peft_cli.report.document import Cell, Grid, Section, cells
from peft_cli.report.folders import UNFINISHED, Inventory
from peft_cli.report.intervals import ABSENT, CONFIDENCE, digits, estimate, interval
from peft_cli.report.measures import PERFORMANCE, Measure, memory_kind
from peft_cli.report.runs import VALIDATED, Run, metrics_of, under
from peft_cli.report.tables import Row, Table, differing, gather, is_comparable, labels, rows


def performance(tables: Sequence[Table], chosen: Sequence[str]) -> Iterator[Section]:
    """Yields a section for each table, with the chosen metrics; with all where none is chosen."""
    for table in tables:
        yield performance_section(table, tables, chosen)


def performance_section(
    table: Table, tables: Sequence[Table], chosen: Sequence[str], costs: Sequence[Measure] = PERFORMANCE
) -> Section:
    """Returns a table under its heading, with some costs, and notes on how its values were measured."""
    made = rows(table.runs)
    runs = [run for row in made for run in row.runs]
    validated = [name for name in VALIDATED if any(run.score(name) is not None for run in runs)]
    metrics = [*(name for name in metrics_of(runs, chosen) if name not in validated), *validated]
    precision = {name: 2 if name in validated else digits(run.score(name) for run in runs) for name in metrics}
    shown = [measure for measure in costs if is_comparable(measure, runs)]
    lines = []
    for row, label in zip(made, labels(made), strict=True):
        scores = [score_cell(row, name, precision[name]) for name in metrics]
        lines.append([*cells([label, len(row.runs)]), *scores, *(cost_cell(row, measure) for measure in shown)])
    headers = ["method", "runs", *metrics, *(measure.title for measure in shown)]
    return Section(heading(table, tables), [Grid(headers, lines)], list(notes(table, runs)))


def score_cell(row: Row, metric: str, precision: int) -> Cell:
    """Returns mean and interval of a metric over the runs of a row."""
    scores = row.scores(metric)
    return Cell(estimate(scores, precision), interval(scores)[0] if scores else None)


def cost_cell(row: Row, measure: Measure) -> Cell:
    """Returns the median of a cost over the runs of a row."""
    value = row.median(measure)
    return Cell(ABSENT if value is None else measure.write(value), value)


def heading(table: Table, tables: Sequence[Table]) -> str:
    """Returns data, backbone, shots, and the conditions that distinguish this table from others of the same data."""
    shots = f"{table.backbone} · {table.n_shots} shots" if table.has_runs else "other systems"
    return " · ".join([table.data, shots, *distinguishing_conditions(table, tables)])


def distinguishing_conditions(table: Table, tables: Sequence[Table]) -> Iterator[str]:
    """Yields as many conditions as distinguish a table from others of the same data and backbone."""
    alike = [other.conditions for other in tables if other[:2] == table[:2]]
    for key, value in table.conditions.items():
        if key in differing(alike):
            common = set.intersection(*(set(conditions.get(key, ABSENT).split("|")) for conditions in alike))
            yield f"{key}={'|'.join(part for part in value.split('|') if part not in common) or value}"
            alike = [conditions for conditions in alike if conditions.get(key) == value]
    for key in sorted(differing(alike) - set(table.conditions)):
        yield f"no {key}"


def notes(table: Table, runs: Sequence[Run]) -> Iterator[str]:
    """Yields how scores were computed, over how many runs and examples, and on which machines costs were measured."""
    signatures = {name: signature for run in runs for name, signature in under(run.conditions, "signatures.").items()}
    for name, signature in sorted(signatures.items()):
        yield f"{name}: `{signature}`"
    yield from scoring_notes([run.fields for run in runs])
    own = [run for run in runs if not run.is_system]
    if own:
        yield from run_notes(table, runs, own)


def run_notes(table: Table, runs: Sequence[Run], own: Sequence[Run]) -> Iterator[str]:
    """Yields the notes on runs of peft-run; `runs` are all of the table's rows."""
    fields = [run.fields for run in own]
    repeated = len(table.runs) - len(runs)
    again = f"; {repeated} more with the settings and seeds of one of these left out" if repeated else ""
    yield f"runs: {len(runs)}{again}; ± is half the {CONFIDENCE:.0%} t-interval over seeds, absent with one run"
    yield f"test examples: {fields[0]['data.n_test']:,}"
    weights = dict.fromkeys(run["backbone.sha256"][:12] for run in fields)
    sha = f"sha256 {next(iter(weights))}" if len(weights) == 1 else f"weights with {len(weights)} different sha256"
    yield f"backbone: {table.conditions['backbone.name']}, {sha}; % is what is stored over the backbone's weights"
    yield f"device: {' or '.join(map(str, dict.fromkeys(run.machine for run in own)))}"
    left_out = [measure.title for measure in PERFORMANCE if not is_comparable(measure, runs)]
    if left_out:
        yield f"not shown, as they were not measured alike (several devices or kinds of memory): {', '.join(left_out)}"
    kinds = " or ".join(dict.fromkeys(map(memory_kind, fields)))
    yield f"memory: peak of {kinds}; costs are medians over runs"
    yield f"versions: {', '.join(versions(fields))}"


def scoring_notes(fields: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yields the protocol, how many references how many items have, and why a score has no value."""
    if "scored.protocol" in fields[0]:
        counts = ", ".join(f"{n} ({items:,})" for n, items in fields[0]["scored.references"])
        yield (
            f"protocol: {fields[0]['scored.protocol']}, {fields[0]['scored.items']:,} items; "
            f"references of an item (so many items): {counts}"
        )
    for name, reasons in gather(under(run, "undefined.") for run in fields).items():
        yield f"{name}: no value in {len(reasons)} of {len(fields)} runs: {join(reasons)}"


def versions(fields: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yields each package with its version or versions, and the commit of this one where it is a checkout."""
    commits = [{"commit": run["environment.commit"]} for run in fields if run.get("environment.commit")]
    packages = [{"python": run["environment.python"]} | under(run, "environment.versions.") for run in fields]
    for name, values in gather([*packages, *commits]).items():
        yield f"{name} {join(values)}"


def join(values: Sequence[object]) -> str:
    """Returns the different ones of some values, with "or" between them."""
    return " or ".join(dict.fromkeys(map(str, values)))


def runs_without_result(inventory: Inventory) -> Iterator[Section]:
    """Yields what has no row: the failed runs with their reasons, and how many are unfinished or unreadable."""
    failed = [attempt for attempt in inventory.attempts if attempt.state != UNFINISHED]
    lines = [f"`{attempt.folder}`: {attempt.reason}" for attempt in failed]
    if unfinished := len(inventory.attempts) - len(failed):
        lines.append(f"{unfinished} interrupted or still running: a log, and neither a result nor an error")
    if inventory.warnings:
        lines.append(f"{len(inventory.warnings)} with a result.json that cannot be read")
    if lines:
        yield Section("Runs without a row", notes=lines)
