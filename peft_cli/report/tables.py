"""Which runs share a table, which are one row of it, and how rows are labelled.

runs -> Table (same data, backbone, shots, conditions) -> Row (same settings, all seeds)
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from peft_cli.report.measures import STORED, Measure
from peft_cli.report.runs import Run
from peft_cli.run_folder.files import one_line

SAME_FOR_SYSTEMS = ("data.sha256.test", "protocol")
LONGEST_SETTING, LONGEST_LABEL = 60, 200  # characters


class Table(NamedTuple):
    """Runs that may be compared; shots is None where all training examples were taken."""

    data: str
    backbone: str
    conditions: dict[str, str]
    shots: int | None
    runs: list[Run]

    def accepts(self, system: Run) -> bool:
        """Returns whether another system's scores are comparable: same test set and protocol, equal signatures."""
        is_alike = all(self.conditions.get(key, value) == value for key, value in system.conditions.items())
        is_same_data = system.fields["run.data"] == self.data
        return is_alike and is_same_data and set(SAME_FOR_SYSTEMS) <= set(self.conditions)

    @property
    def has_runs(self) -> bool:
        """Whether it has runs of peft-run and not other systems alone."""
        return any(not run.is_system for run in self.runs)

    @property
    def n_shots(self) -> str:
        """The number of training examples as titles and folders have it."""
        return "all" if self.shots is None else str(self.shots)


class Row(NamedTuple):
    """Runs that differ in nothing but their seeds."""

    method: str
    settings: dict[str, str]
    runs: list[Run]

    @property
    def is_untouched(self) -> bool:
        """Whether it is of the untouched backbone."""
        return self.runs[0].is_untouched

    @property
    def is_system(self) -> bool:
        """Whether it is of another system."""
        return self.runs[0].is_system

    @property
    def is_trained(self) -> bool:
        """Whether it is of a method that was trained by peft-run."""
        return not self.is_untouched and not self.is_system

    def median(self, measure: Measure) -> float | None:
        """Returns the median of a cost over the runs; None where no run has it."""
        values = [value for run in self.runs if (value := measure.take(run.fields)) is not None]
        return median(values) if values else None

    def scores(self, metric: str) -> list[float] | None:
        """Returns the values of a metric; None where a run has none."""
        values = [value for run in self.runs if (value := run.score(metric)) is not None]
        return values if len(values) == len(self.runs) else None


def tables(runs: Sequence[Run]) -> list[Table]:
    """Returns all tables. The untouched backbone is in each table of its group, alone where nothing was trained.

    Another system is in each table that accepts it, or in one without runs.
    """
    untouched, trained = defaultdict(list), defaultdict(list)
    systems = [run for run in runs if run.is_system]
    for run in runs:
        if run.is_untouched and not run.is_system:
            untouched[run.group].append(run)
        elif not run.is_system:
            trained[run.group, run.fields["run.shots"]].append(run)
    known = {group for group, _ in trained}
    by_shots = trained | {(group, 0): [] for group in untouched if group not in known}
    order = sorted(by_shots, key=lambda key: (key[0][:2], key[1] is None, key[1] or 0, key[0]))
    made = [
        Table(data, backbone, dict(conditions), shots, untouched[group] + by_shots[group, shots])
        for group, shots in order for data, backbone, conditions in [group]
    ]  # fmt: skip
    alone = defaultdict(list)
    for run in systems:
        if not any(table.accepts(run) for table in made):
            alone[run.group].append(run)
    made = [table._replace(runs=table.runs + [run for run in systems if table.accepts(run)]) for table in made]
    return made + [Table(group[0], group[1], dict(group[2]), None, found) for group, found in sorted(alone.items())]


def rows(runs: Iterable[Run]) -> list[Row]:
    """Returns the rows: untouched, then by the number of weights stored, then other systems.

    Of runs with the same seeds the first one counts.
    """
    groups: dict[tuple, dict[tuple, Run]] = defaultdict(dict)
    for run in runs:
        key = (run.is_system, run.fields["run.method"], tuple(sorted(run.settings.items())))
        groups[key].setdefault(run.seeds, run)
    made = [Row(key[1], next(iter(found.values())).settings, list(found.values())) for key, found in groups.items()]

    def order(row: Row) -> tuple:
        return not row.is_untouched, row.is_system, row.median(STORED) or 0, row.method, str(row.settings)

    return sorted(made, key=order)


def labels(made: Sequence[Row]) -> list[str]:
    """Returns a label for each row, no two alike: the method, with the settings that distinguish it from other rows."""
    values = gather([row.settings for row in made])
    trained = gather([row.settings for row in made if row.is_trained])
    shared = {key for key in trained if len(set(trained[key])) > 1 and not key.startswith("method.")}
    same: dict[str, list[Row]] = defaultdict(list)
    for row in made:
        same[row.method].append(row)
    own = {method: differing([row.settings for row in group if not row.is_system]) for method, group in same.items()}
    texts = []
    for row in made:
        keys = [key for key in values if key in own[row.method] or (key in shared and key in row.settings)]
        keys = [key for key in keys if not is_implied(key, row.settings, keys)]
        if row.is_system:
            keys = list(row.settings) if len(same[row.method]) > 1 else []
        texts.append(label(row, keys))
    return unique(texts)


def label(row: Row, keys: Sequence[str]) -> str:
    """Returns the method of a row with some of its settings."""
    shown = [
        f"{key}={clip(row.settings[key], LONGEST_SETTING)}" if key in row.settings else f"no {key}" for key in keys
    ]
    text = f"{row.method} ({', '.join(shown)})".replace('"', "") if shown else row.method
    return clip(one_line(text), LONGEST_LABEL)


def clip(text: str, most: int) -> str:
    """Returns a text of at most so many characters."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def unique(texts: Sequence[str]) -> list[str]:
    """Returns the texts with a number behind each that came before."""
    seen: Counter[str] = Counter()
    made = []
    for text in texts:
        seen[text] += 1
        made.append(text if seen[text] == 1 else f"{text} #{seen[text]}")
    return made if len(set(made)) == len(made) else unique(made)


def is_implied(key: str, settings: Mapping[str, str], keys: Sequence[str]) -> bool:
    """Returns whether `key` is, or is inside of, a mapping that is null here and has keys of its own in other rows."""
    inner = [other for other in keys if other.startswith(f"{key}.")]
    outer = [other for other in keys if key.startswith(f"{other}.")]
    is_null = settings.get(key, "null") == "null"
    return is_null and bool(inner or any(settings.get(other, "null") == "null" for other in outer))


def gather(mappings: Iterable[Mapping[str, Any]]) -> dict[str, list]:
    """Returns every key with the values that it has."""
    values = defaultdict(list)
    for mapping in mappings:
        for key, value in mapping.items():
            values[key].append(value)
    return values


def differing(mappings: Sequence[Mapping[str, str]]) -> set[str]:
    """Returns the keys that have several values, or that are absent from some of the mappings."""
    values = gather(mappings)
    return {key for key in values if len(set(values[key])) > 1 or len(values[key]) < len(mappings)}


def is_comparable(measure: Measure, runs: Iterable[Run]) -> bool:
    """Returns whether the values of a cost were measured alike."""
    return len({measure.condition(run.fields) for run in runs if measure.take(run.fields) is not None}) <= 1
