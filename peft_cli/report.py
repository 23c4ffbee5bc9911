"""`peft-report`: Markdown tables and a CSV file of finished runs. Imports neither torch nor transformers.

folders -> found (finished, failed, interrupted) -> runs -> tables (tables.py) -> Markdown
"""

from __future__ import annotations

import csv
import json
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from tabulate import tabulate

from peft_cli.results import read_results
from peft_cli.tables import (
    ABSENT,
    CONFIDENCE,
    COSTS,
    MACHINE,
    Run,
    Table,
    as_run,
    differing,
    digits,
    estimate,
    gathered,
    is_comparable,
    labels,
    rows,
    tables,
    under,
)

FINISHED, FAILED, INTERRUPTED = "result.json", "error.json", "log.jsonl"  # the first of these tells a folder's state
VALIDATED = {f"training.best_validation_{name}": f"validation {name}" for name in ("loss", "metric")}
TOO_LONG_FOR_A_CELL = ("data.train_ids", "data.validation_ids")


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the report and returns the exit code: 0, or 2 for a request that cannot be met."""
    try:
        return report(parse(arguments))
    except BrokenPipeError:  # `peft-report | head`: who reads has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError) as error:
        print(f"peft-report: {sentence(error)}", file=sys.stderr)
        return 2


def parse(arguments: Sequence[str] | None) -> Namespace:
    """The command line's folders and files."""

    def refuse(message: str) -> NoReturn:
        raise ValueError(f"{message}; peft-report --help shows what there is")

    parser = ArgumentParser(
        "peft-report",
        description="Prints a Markdown table for each data set, backbone and number of shots below FOLDER.",
    )
    parser.error = refuse
    parser.add_argument(
        "folders",
        nargs="*",
        default=[Path("runs")],
        type=Path,
        metavar="FOLDER",
        help="folders of runs (default: runs)",
    )
    parser.add_argument("--status", action="store_true", help="tell how many runs are in which state, and why")
    parser.add_argument("--stale", action="store_true", help="list the runs that no file in experiments/ asks for")
    parser.add_argument("--csv", type=Path, metavar="PATH", help="also write a CSV file with one row for each run")
    parser.add_argument("--markdown", type=Path, metavar="PATH", help="also write what is printed to a file")
    return parser.parse_args(arguments)


def report(options: Namespace) -> int:
    """Reads, tabulates, writes and prints what `options` ask for."""
    if options.status or options.stale:
        from peft_cli.status import stale, status

        print("\n".join(tell(options.folders) for tell in [status] * options.status + [stale] * options.stale))
        return 0
    found = find(options.folders)
    runs, unreadable = read(found[FINISHED])
    for reason in unreadable:
        print(f"peft-report: warning: left out: {reason}", file=sys.stderr)
    if not runs:
        counts = f"{len(found[FAILED])} failed, {len(found[INTERRUPTED])} unfinished, {len(unreadable)} unreadable"
        raise ValueError(
            f"no result of a run below {', '.join(map(str, options.folders))} ({counts}); peft-run makes them"
        )
    text = "\n\n".join([*sections(runs), *remarks(found, len(unreadable))])
    if options.csv:
        write_csv(options.csv, runs)
    if options.markdown:
        options.markdown.write_text(text + "\n", encoding="utf-8")
    print(text, flush=True)
    return 0


def sentence(error: ValueError | OSError) -> str:
    """What went wrong, in one line."""
    is_about_file = isinstance(error, OSError) and error.filename
    return f"{error.filename}: {error.strerror}" if is_about_file else " ".join(str(error).split())


def find(folders: Sequence[Path]) -> dict[str, list[Path]]:
    """All run folders below `folders`, each once, by the file that tells their state."""
    states: dict[Path, tuple[Path, str]] = {}
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"there is no folder {folder}; name the one that peft-run was given as runs=")
        for path, _, names in os.walk(folder, onerror=refuse_to_skip):
            state = next((name for name in (FINISHED, FAILED, INTERRUPTED) if name in names), None)
            if state:
                states.setdefault(Path(path).resolve(), (Path(path), state))
    found: dict[str, list[Path]] = {FINISHED: [], FAILED: [], INTERRUPTED: []}
    for path, state in sorted(states.values()):
        found[state].append(path)
    return found


def refuse_to_skip(error: OSError) -> NoReturn:
    """Raises the error of a folder that cannot be looked into, which os.walk would pass over."""
    raise error


def read(folders: Sequence[Path]) -> tuple[list[Run], list[str]]:
    """The runs of finished `folders`, and for each that cannot be read the reason."""
    runs, unreadable = [], []
    for folder in folders:
        try:
            runs += [as_run(path, result) for path, result in read_results(folder) if path == folder]
        except (ValueError, OSError) as error:
            unreadable.append(sentence(error))
    return runs, unreadable


def sections(runs: Sequence[Run]) -> Iterator[str]:
    """The Markdown of each table."""
    found = tables(runs)
    for table in found:
        yield markdown(table, [other for other in found if other[:2] == table[:2]])


def markdown(table: Table, siblings: Sequence[Table]) -> str:
    """A table under its heading, and what has to be known about it. `siblings` have the same data and backbone."""
    made = rows(table.runs)
    runs = [run for row in made for run in row.runs]
    scores = list(dict.fromkeys(name for run in runs for name in run.fields if name.startswith("scores.")))
    validated = [name for name in VALIDATED if any(run.fields.get(name) is not None for run in runs)]
    shown = [i for i in range(len(COSTS)) if is_comparable(i, runs)]
    precision = {name: digits([run.fields.get(name) for run in runs]) for name in scores}
    lines = []
    for row, label in zip(made, labels(made), strict=True):
        estimates = [estimate([run.fields.get(name) for run in row.runs], precision[name]) for name in scores]
        costs = [ABSENT if row.cost(i) is None else COSTS[i].write(row.cost(i)) for i in shown]
        chosen_by = [estimate([run.fields.get(name) for run in row.runs], digits=2) for name in validated]
        lines.append([label, len(row.runs), *estimates, *chosen_by, *costs])
    scored = [name.removeprefix("scores.") for name in scores]
    headers = ["method", "runs", *scored, *(VALIDATED[name] for name in validated), *(COSTS[i].title for i in shown)]
    align = ["left", *["right"] * (len(headers) - 1)]
    body = tabulate(lines, headers, tablefmt="pipe", colalign=align, disable_numparse=True)
    return f"## {heading(table, siblings)}\n\n{body}\n\n" + "\n".join(f"- {note}" for note in notes(table, runs))


def heading(table: Table, siblings: Sequence[Table]) -> str:
    """Data, backbone, shots, and as many facts as it takes to tell this table apart from its siblings."""
    alike = [sibling.facts for sibling in siblings]
    shots = f"{table.backbone} · {'all' if table.shots is None else table.shots} shots"
    told = [f"{table.data} · {'other systems' if all(run.is_system for run in table.runs) else shots}"]
    for key, fact in table.facts.items():
        if key in differing(alike):
            common = set.intersection(*(set(facts.get(key, ABSENT).split("|")) for facts in alike))
            told.append(f"{key}={'|'.join(part for part in fact.split('|') if part not in common) or fact}")
            alike = [facts for facts in alike if facts.get(key) == fact]
    absent = sorted(differing(alike) - set(table.facts))
    return " · ".join([*told, *(f"no {key}" for key in absent)])


def notes(table: Table, runs: Sequence[Run]) -> Iterator[str]:
    """What was measured, with what and on what."""
    signatures = {name: fact for run in runs for name, fact in under(run.facts, "signatures.").items()}
    for name, signature in sorted(signatures.items()):
        yield f"{name}: `{signature}`"
    yield from scored([run.fields for run in runs])
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
    left_out = [COSTS[i].title for i in range(len(COSTS)) if not is_comparable(i, runs)]
    if left_out:
        yield f"not shown, as they were not measured alike (several devices or kinds of memory): {', '.join(left_out)}"
    kinds = " or ".join(dict.fromkeys(run["cost.memory_kind"] for run in fields))
    yield f"memory: peak of {kinds}; costs are medians over runs"
    yield f"versions: {', '.join(versions(fields))}"


def scored(fields: Sequence[Mapping]) -> Iterator[str]:
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


def remarks(found: Mapping[str, Sequence[Path]], unreadable: int) -> Iterator[str]:
    """What has no row: the failed runs with their reasons, and the numbers of the unfinished and unreadable ones."""
    lines = [f"- `{folder}`: {told_by(folder / FAILED)}" for folder in found[FAILED]]
    if found[INTERRUPTED]:
        lines.append(
            f"- {len(found[INTERRUPTED])} interrupted or still running: a log, and neither a result nor an error"
        )
    if unreadable:
        lines.append(f"- {unreadable} with a result.json that cannot be read")
    if lines:
        yield "## Runs without a row\n\n" + "\n".join(lines)


def told_by(path: Path) -> str:
    """The first line of the error in an error.json."""
    try:
        text = json.loads(path.read_text(encoding="utf-8"))["error"]
    except (OSError, ValueError, KeyError, TypeError):
        return f"{path.name} cannot be read"
    return text.strip().partition("\n")[0].rstrip(": ")


def write_csv(path: Path, runs: Sequence[Run]) -> None:
    """Writes one row for each run: its folder and every field of its result; null is empty, a list is JSON."""
    found = dict.fromkeys(name for run in runs for name in run.fields if name not in TOO_LONG_FOR_A_CELL)
    parents = {name.rpartition(".")[0] for name in found}  # "training" is null where others have "training.steps"
    names = [name for name in found if name not in parents]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["folder", *names])
        for run in runs:
            values = (run.fields.get(name) for name in names)
            writer.writerow(
                [run.folder, *(json.dumps(value) if isinstance(value, list) else value for value in values)]
            )


if __name__ == "__main__":
    sys.exit(main())
