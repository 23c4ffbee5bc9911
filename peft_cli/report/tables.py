"""Which runs share a table, which are one row of it, and what rows are called.

runs -> Table (same data, backbone, shots, test set, metrics) -> Row (same settings, all seeds)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

from peft_cli.report.runs import COSTS, Run

SAME_FOR_SYSTEMS = ("data.sha256.test", "protocol")
ABSENT = "-"


class Table(NamedTuple):
    """Runs that may be compared; shots is None where all training examples were taken."""

    data: str
    backbone: str
    facts: dict[str, str]
    shots: int | None
    runs: list[Run]

    def takes(self, system: Run) -> bool:
        """Whether another system's scores may stand here: same test set and protocol, no metric computed otherwise."""
        alike = all(self.facts.get(key, fact) == fact for key, fact in system.facts.items())
        return alike and system.fields["run.data"] == self.data and set(SAME_FOR_SYSTEMS) <= set(self.facts)


class Row(NamedTuple):
    """Runs that differ in nothing but their seeds."""

    method: str
    settings: dict[str, str]
    runs: list[Run]

    def cost(self, i: int) -> float | None:
        """The median of a column of COSTS over the runs."""
        values = [run.costs[i][0] for run in self.runs if run.costs[i][0] is not None]
        return median(values) if values else None


def tables(runs: Sequence[Run]) -> list[Table]:
    """All tables; untouched backbones stand in every table of their place, and alone where nothing was trained.

    Other systems stand in every table that takes them, or in one of their own.
    """
    floors, trained = defaultdict(list), defaultdict(list)
    systems = [run for run in runs if run.is_system]
    for run in runs:
        if run.is_system:
            continue
        if run.is_floor:
            floors[run.place].append(run)
        else:
            trained[run.place, run.fields["run.shots"]].append(run)
    places = {place for place, _ in trained}
    found = trained | {(place, 0): [] for place in floors if place not in places}
    order = sorted(found, key=lambda key: (key[0][:2], key[1] is None, key[1] or 0, key[0]))
    made = [Table(*place[:2], dict(place[2]), shots, floors[place] + found[place, shots]) for place, shots in order]
    alone = defaultdict(list)
    for run in systems:
        if not any(table.takes(run) for table in made):
            alone[run.place].append(run)
    made = [table._replace(runs=table.runs + [run for run in systems if table.takes(run)]) for table in made]
    return made + [Table(*place[:2], dict(place[2]), None, group) for place, group in sorted(alone.items())]


def rows(runs: Sequence[Run]) -> list[Row]:
    """Rows in their order: untouched, then by what is stored, then other systems.

    Of runs with the same seeds the first one counts.
    """
    found: dict[tuple, dict[tuple, Run]] = defaultdict(dict)
    for run in runs:
        same = (run.is_system, run.fields["run.method"], tuple(sorted(run.settings.items())))
        found[same].setdefault(run.seeds, run)
    made = [
        Row(method, next(iter(same.values())).settings, list(same.values())) for (_, method, _), same in found.items()
    ]
    stored = [cost.title for cost in COSTS].index("stored")

    def place(row: Row) -> tuple:
        first = row.runs[0]
        return not first.is_floor, first.is_system, row.cost(stored) or 0, row.method, str(row.settings)

    return sorted(made, key=place)


def labels(made: Sequence[Row]) -> list[str]:
    """The method of each row, with the settings that differ: between rows of a method, or beside the methods' own."""
    values = gathered([row.settings for row in made])
    trained = gathered([row.settings for row in made if not row.runs[0].is_floor])
    shared = {key for key in trained if len(set(trained[key])) > 1 and not key.startswith("method.")}
    same: dict[str, list[dict]] = defaultdict(list)
    for row in made:
        same[row.method].append(row.settings)
    own = {method: differing(group) for method, group in same.items()}
    texts = []
    for row in made:
        keys = [key for key in values if key in own[row.method] or (key in shared and key in row.settings)]
        keys = [key for key in keys if not is_told_by_others(key, row.settings, keys)]
        told = ", ".join(f"{key}={row.settings[key]}" if key in row.settings else f"no {key}" for key in keys)
        texts.append(f"{row.method} ({told})".replace('"', "") if told else row.method)
    return texts


def is_told_by_others(key: str, settings: Mapping[str, str], keys: Sequence[str]) -> bool:
    """Whether `key` is, or is inside of, a mapping that is null here and has keys of its own in other rows."""
    inner = [other for other in keys if other.startswith(f"{key}.")]
    outer = [other for other in keys if key.startswith(f"{other}.")]
    is_null = settings.get(key, "null") == "null"
    return is_null and bool(inner or any(settings.get(other, "null") == "null" for other in outer))


def gathered(mappings: Sequence[Mapping]) -> dict[str, list]:
    """Every key with the values that it has."""
    values = defaultdict(list)
    for mapping in mappings:
        for key, value in mapping.items():
            values[key].append(value)
    return values


def differing(mappings: Sequence[Mapping]) -> set[str]:
    """The keys that have several values, or that some have and others have not."""
    values = gathered(mappings)
    return {key for key in values if len(set(values[key])) > 1 or len(values[key]) < len(mappings)}


def is_comparable(i: int, runs: Sequence[Run]) -> bool:
    """Whether the values of a column of COSTS were measured alike."""
    return len({within for value, within in (run.costs[i] for run in runs) if value is not None}) <= 1
