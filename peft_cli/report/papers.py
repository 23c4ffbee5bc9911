"""The papers' numbers beside ours: experiments/reference/*.yaml has them, their source, and runs that repeat them.

A file -> PaperTable (columns data.metric, rows of methods and values) -> theirs, ours, difference, within our interval
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import yaml

from peft_cli.config.options import resource_folder
from peft_cli.report.document import Cell, Grid, Section, cells
from peft_cli.report.intervals import ABSENT, CONFIDENCE, NOT_RUN, estimate, interval
from peft_cli.report.runs import Run, as_typed

FRACTION = 100  # ours over theirs where a paper prints between 0 and 1
NO_METHOD = "not here"
COLUMNS = ["cell", "theirs", "ours", "runs", "difference", "within"]


@dataclass(frozen=True)
class PaperTable:
    """A table of a paper, or a claim where its table could not be read."""

    name: str
    title: str
    columns: list[str]  # data.metric
    rows: list[dict[str, Any]]  # values, and method, backbone, label, source, where as far as a row has them
    sources: dict[str, dict[str, str]]  # text and url of each
    source: str = ""  # of the rows that have none of their own
    backbone: str | None = None
    where: dict[str, Any] | None = None  # the settings of our runs that are compared
    fractions: tuple[str, ...] = ()  # columns that are printed between 0 and 1
    not_ours: str | None = None  # why no run of ours can be compared with it
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

    @property
    def citations(self) -> list[dict[str, str]]:
        """Text and address of each source of the table once."""
        names = dict.fromkeys([row.get("source", self.source) for row in self.rows] or [self.source])
        return [self.sources[name] for name in names]


@cache
def read_tables() -> list[PaperTable]:
    """Returns every table of every file."""
    return [
        table
        for path in sorted((resource_folder("experiments") / "reference").glob("*.yaml"))
        for table in read_file(path)
    ]


def read_file(path: Path) -> list[PaperTable]:
    """Returns the tables of a file. Raises ValueError where a row does not fit its table."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    tables = [
        PaperTable(**({"columns": [], "rows": []} | given), sources=content["sources"]) for given in content["tables"]
    ]
    for table in tables:
        for row in table.rows:
            if len(row["values"]) != len(table.columns):
                counts = f"{len(row['values'])} values for {len(table.columns)} columns"
                raise ValueError(f"{path}: {table.name} has a row with {counts}: {row}")
            if row.get("source", table.source) not in table.sources:
                names = ", ".join(table.sources)
                raise ValueError(f"{path}: {table.name} has a row without one of the sources {names}")
    return tables


def choose_tables(names: Sequence[str]) -> list[PaperTable]:
    """Returns the tables of some names. Raises ValueError for a name that no table has."""
    known = {table.name: table for table in read_tables()}
    if "all" in names:
        return list(known.values())
    missing = [name for name in names if name not in known]
    if missing:
        raise ValueError(f"there is no paper's table {missing[0]}; there are {', '.join(known)}, and all")
    return [known[name] for name in names]


def chosen_tables(runs: Sequence[Run], names: Sequence[str]) -> Iterator[Section]:
    """Yields the tables of some names with every cell, whether it was run or not."""
    for table in choose_tables(names):
        yield paper_section(table, list(lines(table, runs)))


def matching_tables(runs: Sequence[Run]) -> Iterator[Section]:
    """Yields of all tables the cells that have a run; the tables without one are named."""
    without, known = [], {run.fields["run.data"] for run in runs}
    for table in read_tables():
        found = list(lines(table, runs)) if any(column.partition(".")[0] in known for column in table.columns) else []
        ours = [line for line in found if line[2].value is not None]
        if ours:
            yield paper_section(table, ours)
        else:
            without.append(table.name)
    if without:
        advice = "`peft-report --reproduce NAME` prints the commands of one"
        note = f"no run of ours belongs to {', '.join(without)}; {advice}"
        yield Section("The papers' tables without a run", notes=[note])


def paper_section(table: PaperTable, found: list[list[Cell]]) -> Section:
    """Returns a paper's table beside ours."""
    notes = [f"{cited['text']}: {cited['url']}" for cited in table.citations]
    if table.claim:
        notes.append(f"claim: {table.claim}")
    if table.not_ours:
        notes.append(f"without ours: {table.not_ours}")
    if table.commands:
        notes.append(f"repeated by `peft-report --reproduce {table.name} | sh`")
    if found:
        interval = f"our {CONFIDENCE:.0%} t-interval over seeds"
        notes.append(f"within: whether theirs lies in {interval}; difference: ours - theirs")
    title = f"Paper beside ours · {table.name}: {table.title}"
    return Section(title, [Grid(COLUMNS, found)] if found else [], notes)


def lines(table: PaperTable, runs: Sequence[Run]) -> Iterator[list[Cell]]:
    """Yields a line for each published number: what it is, theirs, ours, runs, difference, within."""
    by_method = defaultdict(list)
    for run in runs:
        if not run.is_system:
            by_method[run.fields["run.data"], run.fields["run.method"]].append(run)
    for j, column in enumerate(table.columns):
        for row in table.rows:
            theirs = row["values"][j]
            if theirs is None:
                continue
            version = row.get("source", table.source) if len(table.citations) > 1 else None
            names = [column, row.get("label", row.get("method")), row.get("backbone", table.backbone), version]
            title = " · ".join(name for name in names if name and name != "-")
            candidates = by_method[column.partition(".")[0], row.get("method", "")]
            ours = our_cells(table, row, j, [run for run in candidates if fits(run, table, row)])
            yield [*cells([title]), Cell(f"{theirs:.{table.digits[j]}f}", theirs), *ours]


def our_cells(table: PaperTable, row: Mapping[str, Any], j: int, candidates: Sequence[Run]) -> list[Cell]:
    """Returns ours, runs, difference and within for column `j` of a row; or why there is no number of ours."""
    if "method" not in row or table.not_ours:
        return cells([ABSENT if "method" in row else NO_METHOD, ABSENT, ABSENT, ABSENT])
    metric, theirs, digits = table.columns[j].partition(".")[2], row["values"][j], table.digits[j]
    found = [run for run in candidates if run.score(metric) is not None]
    kinds = {(tuple(sorted(run.settings.items())), tuple(run.conditions.items())) for run in found}
    if len(kinds) > 1:
        return cells([f"{len(kinds)} settings: choose with --where", len(found), ABSENT, ABSENT])
    scale = FRACTION if table.columns[j] in table.fractions else 1
    first_of_seeds = {run.seeds: run for run in reversed(found)}.values()
    values = [score / scale for run in first_of_seeds if (score := run.score(metric)) is not None]
    if not values:
        return cells([NOT_RUN, 0, ABSENT, ABSENT])
    mean, half = interval(values)
    within = ABSENT if half is None else "yes" if abs(mean - theirs) <= half else "no"
    difference = Cell(f"{mean - theirs:+.{digits}f}", mean - theirs)
    return [Cell(estimate(values, digits), mean), *cells([len(values)]), difference, Cell(within)]


def fits(run: Run, table: PaperTable, row: Mapping[str, Any]) -> bool:
    """Returns whether a run of a row's method is the row's: all training examples, the whole test set, its settings."""
    wanted = {"backbone": row.get("backbone", table.backbone), "shots": None, "test_limit": None}
    wanted |= (table.where or {}) | row.get("where", {})
    return all(as_typed(run.field(key)) == as_typed(value) for key, value in wanted.items())


def commands(names: Sequence[str]) -> list[str]:
    """Returns the shell commands that repeat some tables. Raises ValueError for a table that has none."""
    found = []
    for table in choose_tables(names):
        if not table.commands and "all" not in names:
            why = table.not_ours or table.claim or "its data sets are not here"
            raise ValueError(f"{table.name} has no runs of its own: {why}")
        found += table.commands
    return found
