"""What is drawn together: all numbers of shots of one data set and backbone, scored alike; points of a table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from peft_cli.report.figures.style import Look, Point, assign_looks, looks
from peft_cli.report.intervals import interval
from peft_cli.report.measures import Measure
from peft_cli.report.performance import distinguishing_conditions
from peft_cli.report.runs import metrics_of
from peft_cli.report.tables import Row, Table, labels, rows

MOST_PANELS = 6
Labelled = list[tuple[str, Row]]


@dataclass(frozen=True)
class Benchmark:
    """Tables that differ in their shots alone."""

    title: str
    tables: list[Table]
    look_numbers: dict[str, int]  # of every method of the report

    @cached_property
    def rows(self) -> list[Labelled]:
        """For each table its rows with their labels, without other systems."""
        made = [rows(run for run in table.runs if not run.is_system) for table in self.tables]
        return [list(zip(labels(group), group, strict=True)) for group in made]

    @cached_property
    def trained(self) -> dict[str, Row]:
        """The rows that were trained, by label."""
        return {label: row for group in self.rows for label, row in group if row.is_trained}

    @cached_property
    def looks(self) -> dict[str, Look]:
        """The look of each trained row, by its label."""
        return looks({label: row.method for label, row in self.trained.items()}, self.look_numbers)

    def panels(self, most: int = MOST_PANELS) -> list[tuple[str, Labelled]]:
        """Returns (title, rows) for each number of shots; of more than `most` the first, the last, and some between."""
        every = [(f"{table.n_shots} shots", group) for table, group in zip(self.tables, self.rows, strict=True)]
        n = min(most, len(every))
        return [every[round(i * (len(every) - 1) / max(1, n - 1))] for i in range(n)]

    @cached_property
    def untouched(self) -> dict[str, str]:
        """The untouched backbone's name and the dash of its line; nothing where it was not run."""
        return {row.method: "--" for group in self.rows for _, row in group if row.is_untouched}

    @cached_property
    def n_weights(self) -> int:
        """How many weights the backbone has."""
        return self.rows[0][0][1].runs[0].fields["cost.params_backbone"]

    @cached_property
    def means(self) -> str:
        """Over how many runs a mean is taken, and on how many test examples a score."""
        trained = [row for group in self.rows for _, row in group if row.is_trained]
        tests = {f"{run.fields['data.n_test']:,}" for row in trained for run in row.runs}
        n = count_range([len(row.runs) for row in trained])
        return f"means of {n} run{'' if n == '1' else 's'} ({' or '.join(sorted(tests))} test examples)"

    def metrics(self, chosen: Sequence[str]) -> list[str]:
        """Returns the chosen metrics that there are, or the first."""
        metrics = metrics_of((run for table in self.tables for run in table.runs), chosen)
        return metrics if chosen else metrics[:1]


def benchmarks(tables: Sequence[Table]) -> list[Benchmark]:
    """Returns all benchmarks in which something was trained."""
    groups = defaultdict(list)
    for table in tables:
        if any(not run.is_system and not run.is_untouched for run in table.runs):
            groups[table.data, table.backbone, tuple(table.conditions.items())].append(table)
    numbers = assign_looks(run.fields["run.method"] for table in tables for run in table.runs)
    return [
        Benchmark(" · ".join([data, backbone, *distinguishing_conditions(group[0], tables)]), group, numbers)
        for (data, backbone, _), group in groups.items()
    ]


def count_range(counts: Sequence[int]) -> str:
    """Returns the least and the most of some counts, as in "1 to 3"."""
    least, most = min(counts), max(counts)
    return f"{least}" if least == most else f"{least} to {most}"


def points(group: Labelled, metric: str, measure: Measure) -> list[Point]:
    """Returns the rows that have both the cost and, in each run, the score."""
    found = []
    for label, row in group:
        x, scores = row.median(measure), row.scores(metric)
        if x is not None and scores:
            found.append(Point(label, x, *interval(scores)))
    return found
