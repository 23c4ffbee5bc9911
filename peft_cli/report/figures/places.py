"""What is drawn together: all numbers of shots of one data set and backbone, scored alike; points of a table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from peft_cli.report.costs import EXACT, MEASURED, middle
from peft_cli.report.figures.style import Look, looks
from peft_cli.report.intervals import interval
from peft_cli.report.performance import scored, telling
from peft_cli.report.tables import Row, Table, labels, rows

MOST_PANELS = 6


class Point(NamedTuple):
    """A row of a table: a cost, the mean of a score, and half its interval."""

    label: str
    x: float
    y: float
    half: float | None


@dataclass(frozen=True)
class Place:
    """Tables that differ in their shots alone."""

    title: str
    tables: list[Table]

    @cached_property
    def rows(self) -> list[list[tuple[str, Row]]]:
        """For each table its rows with their labels, without other systems."""
        made = [rows([run for run in table.runs if not run.is_system]) for table in self.tables]
        return [list(zip(labels(group), group, strict=True)) for group in made]

    @cached_property
    def looks(self) -> dict[str, Look]:
        """The look of each trained row, by its label."""
        trained = {label: row for group in self.rows for label, row in group if not row.runs[0].is_floor}
        return looks({label: row.method for label, row in trained.items()})

    def panels(self, most: int = MOST_PANELS) -> list[tuple[str, list[tuple[str, Row]]]]:
        """(title, rows) for each number of shots; of more than `most` the first, the last, and some between."""
        every = list(zip(self.shots, self.rows, strict=True))
        n = min(most, len(every))
        return [every[round(i * (len(every) - 1) / max(1, n - 1))] for i in range(n)]

    @cached_property
    def floor(self) -> dict[str, str]:
        """The untouched backbone's name and the dash of its line; nothing where it was not run."""
        return {row.method: "--" for group in self.rows for _, row in group if row.runs[0].is_floor}

    @cached_property
    def n_weights(self) -> int:
        """How many weights the backbone has."""
        return self.rows[0][0][1].runs[0].fields["cost.params_backbone"]

    @cached_property
    def means(self) -> str:
        """Over how many runs a mean is taken, and on how many test examples a score."""
        trained = [row for group in self.rows for _, row in group if not row.runs[0].is_floor]
        tests = {f"{run.fields['data.n_test']:,}" for row in trained for run in row.runs}
        n = span([len(row.runs) for row in trained])
        return f"means of {n} run{'' if n == '1' else 's'} ({' or '.join(sorted(tests))} test examples)"

    @cached_property
    def shots(self) -> list[str]:
        """A panel's title for each table."""
        return [f"{'all' if table.shots is None else table.shots} shots" for table in self.tables]

    def metrics(self, chosen: Sequence[str]) -> list[str]:
        """The chosen metrics that there are, or the first."""
        runs = [run for table in self.tables for run in table.runs]
        names = [name.removeprefix("scores.") for name in scored(runs, chosen)]
        return names if chosen else names[:1]


def places(tables: Sequence[Table]) -> list[Place]:
    """All places in which something was trained."""
    groups = defaultdict(list)
    for table in tables:
        if any(not run.is_system and not run.is_floor for run in table.runs):
            groups[table.data, table.backbone, tuple(table.facts.items())].append(table)
    return [
        Place(" · ".join([data, backbone, *telling(group[0], tables)]), group)
        for (data, backbone, _), group in groups.items()
    ]


def span(counts: Sequence[int]) -> str:
    """The least and the most of some counts, as in "1 to 3"."""
    least, most = min(counts), max(counts)
    return f"{least}" if least == most else f"{least} to {most}"


def points(group: Sequence[tuple[str, Row]], metric: str, cost: str) -> list[Point]:
    """The rows that have both the cost and, in each run, the score."""
    (measure,) = (measure for measure in (*EXACT, *MEASURED) if measure.title == cost)
    found = []
    for label, row in group:
        x, values = middle(row, measure), [run.fields.get(f"scores.{metric}") for run in row.runs]
        if x is not None and None not in values:
            found.append(Point(label, x, *interval(values)))
    return found
