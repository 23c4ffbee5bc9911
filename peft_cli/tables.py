"""From finished runs to Markdown tables: which runs share a table, which are one row, and what a row says.

result -> Run -> Table (same data, backbone, shots, test set, metrics) -> Row (same settings, all seeds) -> Markdown
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean, median, stdev
from typing import Any, NamedTuple

from peft_cli.results import CANNOT_CHANGE_A_RESULT, UNUSED_WITHOUT_SHOTS

CONFIDENCE = 0.95
SEEDS = ("seed", "data_seed")
SAME_IN_A_TABLE = ("shots", "test_limit", "protocol", "more_metrics")  # the last two: facts tell what was scored
MACHINE = ("environment.device", "environment.threads")
SAME_FOR_SYSTEMS = ("data.sha256.test", "protocol")
MORE_THAT_IS_READ = (
    "run.method",
    *(f"run.{name}" for name in SEEDS),
    "data.n_test",
    "backbone.sha256",
    "environment.python",
    "environment.commit",
)
ABSENT = "-"


class Cost(NamedTuple):
    """A column: what it takes from a run's fields, how it is written, and the fields that make values comparable."""

    title: str
    take: Callable[[Mapping], float | None]
    write: Callable[[float], str]
    within: tuple[str, ...] = ()


def whole(value: float) -> str:
    """`value` as a whole number."""
    return f"{value:,.0f}"


def short(value: float) -> str:
    """`value` with three digits, or with all that stand before the point."""
    return whole(value) if value >= 100 else f"{value:.3g}"


def times(factor: float, value: float | None) -> float | None:
    """`value` in another unit; what was not measured stays None."""
    return None if value is None else factor * value


COSTS = (
    Cost("trained", lambda run: run["cost.params_trained"], whole),
    Cost("stored", lambda run: run["cost.params_stored"], whole),
    Cost("%", lambda run: 100 * run["cost.params_stored"] / run["cost.params_backbone"], short),
    Cost("step ms", lambda run: times(1e3, run["cost.step_seconds.median"]), short, MACHINE),
    Cost("memory MiB", lambda run: times(2**-20, run["cost.peak_memory_bytes"]), whole, ("cost.memory_kind",)),
    Cost("positions", lambda run: run["cost.positions_added"], whole),
    Cost("bytes", lambda run: run["cost.bytes_stored"], whole),
    Cost("s/example", lambda run: run["cost.generation_seconds_per_example"], short, MACHINE),
)


@dataclass(frozen=True)
class Run:
    """A finished run."""

    folder: Path
    fields: dict[str, Any]  # everything in its result.json, by dotted name
    settings: dict[str, str]  # key -> JSON of what can change a result and is not the same in all of a table
    facts: dict[str, str]  # what all runs of a table share beside data, backbone and shots
    costs: tuple[tuple[float | None, tuple], ...]  # for each of COSTS its value, and what makes it comparable

    @property
    def is_floor(self) -> bool:
        """Whether this is the untouched backbone."""
        return self.fields["run.shots"] == 0

    @property
    def is_system(self) -> bool:
        """Whether peft-score wrote it: another system's predictions, which have scores and no costs."""
        return "system.name" in self.fields

    @property
    def seeds(self) -> tuple:
        """(seed, data_seed); nothing for the untouched backbone, which reads neither."""
        return () if self.is_floor else tuple(self.fields[f"run.{name}"] for name in SEEDS)

    @property
    def place(self) -> tuple:
        """What runs have in common that may be compared: data, backbone, and the facts."""
        return self.fields["run.data"], self.fields["run.backbone"], tuple(self.facts.items())


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


def as_run(folder: Path, result: Any) -> Run:
    """The run of what a result.json says. Raises ValueError where it lacks something that a table needs."""
    fields = dict(flat(result))
    try:
        is_system = "system.name" in fields
        names = () if is_system else ("backbone.name", "test_limit")
        facts = {name: str(fields[f"config.{name}"]) for name in names}
        facts["data.sha256.test"] = fields["data.sha256.test"][:12]
        if "scored.protocol" in fields:
            facts["protocol"] = fields["scored.protocol"]
        facts |= {f"signatures.{name}": str(text) for name, text in sorted(under(fields, "signatures.").items())}
        if is_system:
            return Run(folder, fields, {}, facts, ((None, ()),) * len(COSTS))
        costs = tuple((cost.take(fields), tuple(fields[name] for name in cost.within)) for cost in COSTS)
        run = Run(folder, fields, settings(fields), facts, costs)
        _ = run.place, [fields[name] for name in MORE_THAT_IS_READ]
    except (KeyError, TypeError) as error:
        reason = f"it has no {error.args[0]}" if isinstance(error, KeyError) else error
        advice = "delete that folder and run it again"
        raise ValueError(f"{folder / 'result.json'} is no result of a run ({reason}); {advice}") from error
    return run


def flat(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Each value inside nested mappings, with its dotted name; a list is a value."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from flat(value, f"{path}.{key}" if path else key)
    else:
        yield path, node


def under(fields: Mapping, prefix: str) -> dict:
    """The fields that begin with `prefix`, without it."""
    return {name.removeprefix(prefix): value for name, value in fields.items() if name.startswith(prefix)}


def settings(fields: Mapping) -> dict[str, str]:
    """What tells rows of a table apart: the configuration without seeds and what cannot change a result."""
    unused = UNUSED_WITHOUT_SHOTS if fields["run.shots"] == 0 else ()
    ignored = (*CANNOT_CHANGE_A_RESULT, *SEEDS, *SAME_IN_A_TABLE, *unused)
    sections = tuple(f"{name}." for name in ignored)
    config = under(fields, "config.").items()
    found = {key: json.dumps(value) for key, value in config if key not in ignored and not key.startswith(sections)}
    if sources := fields.get("sources"):
        found["init_from"] = intermediate(sources)
    return found


def intermediate(sources: Sequence[Mapping]) -> str:
    """What a run went on from, in words: "mini with all shots", or "2 runs of mini with 50 shots"."""
    told = []
    for source in sources:
        shots = "all" if source["run"]["shots"] is None else source["run"]["shots"]
        before = f" after {intermediate(source['sources'])}" if source["sources"] else ""
        told.append(f"{source['run']['data']} with {shots} shots{before}")
    counts = Counter(told)
    return " and ".join(text if n == 1 else f"{n} runs of {text}" for text, n in counts.items())


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
    shared = {key for key in values if len(set(values[key])) > 1 and not key.startswith("method.")}
    same: dict[str, list[dict]] = defaultdict(list)
    for row in made:
        same[row.method].append(row.settings)
    own = {method: differing(group) for method, group in same.items()}
    texts = []
    for row in made:
        keys = [key for key in values if key in own[row.method] or (key in shared and key in row.settings)]
        told = ", ".join(f"{key}={row.settings[key]}" if key in row.settings else f"no {key}" for key in keys)
        texts.append(f"{row.method} ({told})".replace('"', "").replace("|", "\\|") if told else row.method)
    return texts


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


@cache
def quantile(n: int) -> float:
    """Student's t for the two-sided interval of the mean of `n` values."""
    from scipy.stats import t  # not at the top: half a second

    return float(t.ppf((1 + CONFIDENCE) / 2, n - 1))


def interval(values: Sequence[float]) -> tuple[float, float | None]:
    """The mean, and half the width of its t-interval; None where one value has none."""
    n = len(values)
    return fmean(values), quantile(n) * stdev(values) / n**0.5 if n > 1 else None


def estimate(values: Sequence[float | None], digits: int = 1) -> str:
    """A score over the runs of a row, as in "52.1 ± 1.3"; absent where a run has none."""
    if None in values:
        return ABSENT
    mean, half = interval(values)
    return f"{mean:.{digits}f} ± {ABSENT if half is None else f'{half:.{digits}f}'}"


def digits(values: Sequence[float | None]) -> int:
    """How many digits after the point the scores of a column have: NIST and CIDEr are no percentages."""
    return 1 if max((abs(value) for value in values if value is not None), default=0.0) >= 15 else 2


def is_comparable(i: int, runs: Sequence[Run]) -> bool:
    """Whether the values of a column of COSTS were measured alike."""
    return len({within for value, within in (run.costs[i] for run in runs) if value is not None}) <= 1
