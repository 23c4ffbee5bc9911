"""The papers' numbers beside ours: experiments/reference/*.yaml has them, their source, and runs that repeat them.

A file -> PaperTable (columns data.metric, rows of methods and values) -> theirs, ours, difference, within our interval
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from peft_cli.config.check import folder
from peft_cli.report.document import Cell, Grid, Section, cells
from peft_cli.report.intervals import ABSENT, CONFIDENCE, interval
from peft_cli.report.runs import Run, as_typed, field

FRACTION = 100  # ours over theirs where a paper prints between 0 and 1
NOT_RUN, SYSTEM = "not run", "not here"


@dataclass(frozen=True)
class PaperTable:
    """A table of a paper, or a claim where its table could not be read."""

    name: str
    title: str
    columns: list[str]  # data.metric
    rows: list[dict]  # values, and method, backbone, label, source, where as far as a row has them
    sources: dict[str, dict[str, str]]  # text and url of each
    source: str | None = None  # of the rows that have none of their own
    backbone: str | None = None
    where: dict[str, Any] | None = None  # the settings of our runs that are compared
    fractions: tuple[str, ...] = ()  # columns that are printed between 0 and 1
    not_ours: str | None = None  # why no run of ours can stand beside it
    claim: str | None = None
    common: str = ""  # overrides of all runs that repeat it
    runs: tuple[str, ...] = ()  # overrides of peft-run -m, a line for each sweep

    @cached_property
    def digits(self) -> list[int]:
        """How many digits after the point each column is printed with."""
        printed = ([row["values"][j] for row in self.rows] for j in range(len(self.columns)))
        return [max(len(str(v).partition(".")[2]) for v in column if v is not None) for column in printed]

    @property
    def commands(self) -> list[str]:
        """The shell commands that repeat the table."""
        return [f"peft-run -m {self.common.strip()} {line}".replace("  ", " ") for line in self.runs]

    def cited(self, row: Mapping) -> dict[str, str]:
        """Text and address of where a row was read."""
        return self.sources[row.get("source", self.source)]


def load() -> list[PaperTable]:
    """Every table of every file. Raises ValueError where a file is not as this module's docstring has it."""
    return [table for path in sorted((folder("experiments") / "reference").glob("*.yaml")) for table in read(path)]


def read(path: Path) -> list[PaperTable]:
    """The tables of a file."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    found = []
    for given in content["tables"]:
        table = PaperTable(**({"columns": [], "rows": []} | given), sources=content["sources"])
        for row in table.rows:
            if len(row["values"]) != len(table.columns):
                counts = f"{len(row['values'])} values for {len(table.columns)} columns"
                raise ValueError(f"{path}: {table.name} has a row with {counts}: {row}")
            if row.get("source", table.source) not in table.sources:
                raise ValueError(
                    f"{path}: {table.name} has a row without one of the sources {', '.join(table.sources)}"
                )
        found.append(table)
    return found


def named(names: Sequence[str]) -> list[PaperTable]:
    """The tables of these names. Raises ValueError for a name that there is not."""
    known = {table.name: table for table in load()}
    if "all" in names:
        return list(known.values())
    missing = [name for name in names if name not in known]
    if missing:
        raise ValueError(f"there is no paper's table {missing[0]}; there are {', '.join(known)}, and all")
    return [known[name] for name in names]


def beside(runs: Sequence[Run], names: Sequence[str]) -> Iterator[Section]:
    """The chosen tables with every cell, whether it was run or not."""
    for table in named(names):
        yield section(table, list(lines(table, runs)))


def matching(runs: Sequence[Run]) -> Iterator[Section]:
    """Of all tables the cells that have a run; the tables without one are named."""
    without, known = [], {run.fields["run.data"] for run in runs}
    for table in load():
        found = list(lines(table, runs)) if any(column.partition(".")[0] in known for column in table.columns) else []
        ours = [line for line in found if line[2].value is not None]
        if ours:
            yield section(table, ours)
        else:
            without.append(table.name)
    if without:
        note = (
            f"no run of ours belongs to {', '.join(without)}; `peft-report --reproduce NAME` prints the commands of one"
        )
        yield Section("The papers' tables without a run", notes=[note])


def section(table: PaperTable, found: Sequence[list[Cell]]) -> Section:
    """A paper's table beside ours."""
    notes = [f"{cited['text']}: {cited['url']}" for cited in cited_in(table)]
    if table.claim:
        notes.append(f"claim: {table.claim}")
    if table.not_ours:
        notes.append(f"without ours: {table.not_ours}")
    if table.commands:
        notes.append(f"repeated by `peft-report --reproduce {table.name} | sh`")
    if found:
        notes.append(
            f"within: whether theirs lies in our {CONFIDENCE:.0%} t-interval over seeds; difference: ours - theirs"
        )
    columns = ["cell", "theirs", "ours", "runs", "difference", "within"]
    return Section(
        f"Paper beside ours · {table.name}: {table.title}", [Grid(columns, list(found))] if found else [], notes
    )


def cited_in(table: PaperTable) -> list[dict[str, str]]:
    """Each source of a table once."""
    keys = dict.fromkeys([row.get("source", table.source) for row in table.rows] or [table.source])
    return [table.sources[key] for key in keys]


def by_method(runs: Sequence[Run]) -> dict[tuple[str, str], list[Run]]:
    """The runs of each data set and method."""
    found = defaultdict(list)
    for run in runs:
        if not run.is_system:
            found[run.fields["run.data"], run.fields["run.method"]].append(run)
    return found


def lines(table: PaperTable, runs: Sequence[Run]) -> Iterator[list[Cell]]:
    """A line for each published number: what it is, theirs, ours, runs, difference, within."""
    known = by_method(runs)
    for j, column in enumerate(table.columns):
        for row in table.rows:
            theirs = row["values"][j]
            if theirs is None:
                continue
            digits = table.digits[j]
            backbone = row.get("backbone", table.backbone)
            version = row.get("source", table.source) if len(cited_in(table)) > 1 else None
            names = [column, row.get("label", row.get("method")), backbone, version]
            told = " · ".join(name for name in names if name and name != "-")
            yield [*cells([told]), Cell(f"{theirs:.{digits}f}", theirs), *ours(table, row, column, known, digits)]


def ours(
    table: PaperTable, row: Mapping, column: str, runs: Mapping[tuple[str, str], Sequence[Run]], digits: int
) -> list[Cell]:
    """Ours, runs, difference and within; why there is none where there is none."""
    if "method" not in row or table.not_ours:
        return cells([SYSTEM if "method" not in row else ABSENT, ABSENT, ABSENT, ABSENT])
    data, _, metric = column.partition(".")
    there = runs.get((data, row["method"]), ())
    found = [run for run in there if fits(run, table, row) and run.fields.get(f"scores.{metric}") is not None]
    found = list({run.seeds: run for run in reversed(found)}.values()) if alike(found) else found
    if not found:
        return cells([NOT_RUN, 0, ABSENT, ABSENT])
    if not alike(found):
        return cells(
            [f"{len({settled(run) for run in found})} settings: choose with --where", len(found), ABSENT, ABSENT]
        )
    scale = FRACTION if column in table.fractions else 1
    theirs = row["values"][table.columns.index(column)]
    mean, half = interval([run.fields[f"scores.{metric}"] / scale for run in found])
    within = ABSENT if half is None else "yes" if abs(mean - theirs) <= half else "no"
    told = f"{mean:.{digits}f} ± {ABSENT if half is None else f'{half:.{digits}f}'}"
    difference = Cell(f"{mean - theirs:+.{digits}f}", mean - theirs)
    return [Cell(told, mean), *cells([len(found)]), difference, Cell(within)]


def fits(run: Run, table: PaperTable, row: Mapping) -> bool:
    """Whether a run of a row's method is the row's: all training examples, the whole test set, what else it names."""
    wanted = {"backbone": row.get("backbone", table.backbone), "shots": None, "test_limit": None}
    wanted |= (table.where or {}) | row.get("where", {})
    return all(as_typed(field(run, key)) == as_typed(value) for key, value in wanted.items())


def settled(run: Run) -> tuple:
    """What tells runs apart that may not be pooled."""
    return tuple(sorted(run.settings.items())), tuple(run.facts.items())


def alike(runs: Sequence[Run]) -> bool:
    """Whether runs differ in their seeds alone."""
    return len({settled(run) for run in runs}) == 1


def reproduced(names: Sequence[str]) -> list[str]:
    """The shell commands that repeat some tables. Raises ValueError for a table that has none."""
    found = []
    for table in named(names):
        if not table.commands and "all" not in names:
            raise ValueError(
                f"{table.name} has no runs of its own: {table.not_ours or table.claim or 'its data sets are not here'}"
            )
        found += table.commands
    return found
