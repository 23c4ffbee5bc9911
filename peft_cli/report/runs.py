"""A finished run as a report sees it: its fields, its settings, and what has to be equal for it to be compared."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from sys import intern
from typing import Any

from peft_cli.report.measures import EXACT, MEASURED, PERFORMANCE, Machine, machine
from peft_cli.run_folder.result import CANNOT_CHANGE_A_RESULT, SEEDS, UNUSED_WITHOUT_SHOTS

SAME_IN_A_TABLE = ("shots", "test_limit", "protocol", "more_metrics")  # the last two: conditions have what was scored
NOT_KEPT = ("data.train_ids", "data.validation_ids")  # as long as the data set; their sha256 identifies a draw
VALIDATED = {f"validation {name}": f"training.best_validation_{name}" for name in ("loss", "metric")}  # by title
TEXTS = ("run.method", "run.backbone", "run.data", "data.sha256.test")
TEXTS_OF_A_RUN = ("backbone.sha256", "environment.python", "environment.device", "cost.memory_kind")
COUNTS = ("run.shots", *(f"run.{name}" for name in SEEDS))
NUMBERED = ("scores.", "scored.items", "training.best_validation")  # how the names of numbers begin
LARGEST, LONGEST = 1e15, 200  # a number beyond has no digits after the point; characters of a name


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run, or the scores of another system that peft-score wrote: that has no settings and no costs."""

    folder: Path
    fields: dict[str, Any]  # everything in its result.json but NOT_KEPT, by dotted name
    settings: dict[str, str]  # key -> JSON of what can change a result and is not the same in all of a table
    conditions: dict[str, str]  # what was scored and how: equal in runs that may be compared
    metrics: tuple[str, ...]  # that it was scored by
    seeds: tuple[int | None, ...]  # (seed, data_seed); empty for the untouched backbone, which reads neither
    is_untouched: bool  # whether nothing was trained
    is_system: bool  # whether peft-score wrote it

    @property
    def group(self) -> tuple[str, str, tuple[tuple[str, str], ...]]:
        """Data, backbone and conditions: what runs that may be compared have in common."""
        return self.fields["run.data"], self.fields["run.backbone"], tuple(self.conditions.items())

    @property
    def machine(self) -> Machine:
        """The machine that its times hold for."""
        return machine(self.fields)

    def score(self, metric: str) -> float | None:
        """Returns the value of a metric, named as in the head of a table; None where the run has none."""
        return self.fields.get(VALIDATED.get(metric, f"scores.{metric}"))

    def field(self, name: str) -> Any:
        """Returns the value of a name as users type it: method, shots, method.lr, or a whole dotted name."""
        return next((self.fields[full] for full in full_names(name) if full in self.fields), None)

    def has(self, name: str) -> bool:
        """Returns whether the run has a value for a name, though it may be null."""
        return any(full in self.fields for full in full_names(name))


def full_names(name: str) -> tuple[str, str, str]:
    """Returns the fields that a name as users type it may stand for."""
    return f"run.{name}", f"config.{name}", name


def parse_run(folder: Path, result: Any) -> Run:
    """Returns the run of the content of a result.json. Raises ValueError where a table could not show it."""
    if not isinstance(result, dict):
        raise ValueError("it is no JSON object")
    try:
        is_system = "system" in result
        ignored = ("cost.", *NOT_KEPT) if is_system else NOT_KEPT
        fields = {name: value for name, value in flat(result).items() if not name.startswith(ignored)}
        check_fields(fields, is_system)
        is_untouched = fields["run.shots"] == 0
        seeds = () if is_untouched else tuple(fields[f"run.{name}"] for name in SEEDS)
        settings = system_settings(fields) if is_system else run_settings(fields)
        conditions, metrics = conditions_of(fields, is_system), tuple(under(fields, "scores."))
        return Run(folder, fields, settings, conditions, metrics, seeds, is_untouched, is_system)
    except KeyError as error:
        raise ValueError(f"it has no {error.args[0]}") from error


def check_fields(fields: Mapping[str, Any], is_system: bool) -> None:
    """Raises KeyError for a field that is absent, ValueError for one that is of the wrong type or too large."""
    for name in TEXTS if is_system else (*TEXTS, *TEXTS_OF_A_RUN):
        is_text = isinstance(fields[name], str) and len(fields[name]) <= LONGEST
        check(is_text, name, fields[name], f"a text of at most {LONGEST} characters")
    for name in COUNTS if is_system else (*COUNTS, "environment.threads"):
        is_count = isinstance(fields[name], int) and is_number(fields[name])
        check(is_count or fields[name] is None, name, fields[name], "a whole number")
    for name in ("data.n_test",) if is_system else ("data.n_test", "cost.params_backbone"):
        check(is_number(fields[name]) and fields[name] > 0, name, fields[name], "a number above 0")
    numbers = {name: value for name, value in fields.items() if name.startswith(NUMBERED)}
    if not is_system:
        numbers |= {measure.title: measure.take(fields) for measure in (*PERFORMANCE, *EXACT, *MEASURED)}
    for name, value in numbers.items():
        check(value is None or is_number(value), name, value, "a finite number")


def check(is_right: bool, name: str, value: Any, kind: str) -> None:
    """Raises ValueError where a field is not of its kind."""
    if not is_right:
        raise ValueError(f"{name} is {as_typed(value)[:40]} and has to be {kind}")


def is_number(value: Any) -> bool:
    """Returns whether a value is a number that can be averaged and written."""
    return isinstance(value, int | float) and abs(value) <= LARGEST


def conditions_of(fields: Mapping[str, Any], is_system: bool) -> dict[str, str]:
    """Returns what has to be equal in runs that are compared: backbone, test set, protocol, signatures."""
    names = () if is_system else ("backbone.name", "test_limit")
    conditions = {name: str(fields[f"config.{name}"]) for name in names}
    conditions["data.sha256.test"] = fields["data.sha256.test"][:12]
    if "scored.protocol" in fields:
        conditions["protocol"] = str(fields["scored.protocol"])
    signatures = sorted(under(fields, "signatures.").items())
    return conditions | {f"signatures.{name}": str(signature) for name, signature in signatures}


def flat(node: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Returns each value inside nested mappings by its dotted name; a list is a value. Equal texts are one object."""
    values: dict[str, Any] = {}
    for key, value in node.items():
        name = f"{path}{key}"
        if isinstance(value, dict):
            values |= flat(value, f"{name}.")
        else:
            values[intern(name)] = intern(value) if isinstance(value, str) else value
    return values


def under(fields: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Returns the fields that begin with `prefix`, without it."""
    return {name.removeprefix(prefix): value for name, value in fields.items() if name.startswith(prefix)}


def run_settings(fields: Mapping[str, Any]) -> dict[str, str]:
    """Returns what distinguishes the rows of a table: the configuration without seeds and what changes no result."""
    unused = UNUSED_WITHOUT_SHOTS if fields["run.shots"] == 0 else ()
    ignored = (*CANNOT_CHANGE_A_RESULT, *SEEDS, *SAME_IN_A_TABLE, *unused)
    sections = tuple(f"{name}." for name in ignored)
    settings = {
        intern(key): intern(json.dumps(value))
        for key, value in under(fields, "config.").items()
        if key not in ignored and not key.startswith(sections)
    }
    if sources := fields.get("sources"):
        settings["init_from"] = describe_sources(sources)
    return settings


def system_settings(fields: Mapping[str, Any]) -> dict[str, str]:
    """Returns what distinguishes systems of one name: the checksum of their predictions."""
    return {"sha256": as_typed(fields.get("system.sha256"))[:12]}


def describe_sources(sources: Iterable[Mapping[str, Any]]) -> str:
    """Returns the runs that a run went on from: "mini with all shots", or "2 runs of mini with 50 shots"."""
    texts = []
    for source in sources:
        shots = "all" if source["run"]["shots"] is None else source["run"]["shots"]
        before = f" after {describe_sources(source['sources'])}" if source["sources"] else ""
        texts.append(f"{source['run']['data']} with {shots} shots{before}")
    return " and ".join(text if n == 1 else f"{n} runs of {text}" for text, n in Counter(texts).items())


def as_typed(value: Any) -> str:
    """Returns a value as it stands on the command line of peft-run."""
    return value if isinstance(value, str) else json.dumps(value)


def where(runs: Sequence[Run], conditions: Sequence[str]) -> list[Run]:
    """Returns the runs that meet every condition, such as "shots=50,200" or "method.lr=0.3".

    Raises ValueError for a condition that no run could meet, with what there is.
    """
    for condition in conditions:
        name, equals, wanted = condition.partition("=")
        if not equals:
            raise ValueError(f"--where {condition} is not possible: write it as {condition}=<value>[,<value>]")
        values = {as_typed(run.field(name)) for run in runs}
        missing = sorted(set(wanted.split(",")) - values)
        if missing:
            there = ", ".join(sorted(values)[:12])
            raise ValueError(f"--where {condition}: no run that is left has {name}={missing[0]}; there are {there}")
        runs = [run for run in runs if as_typed(run.field(name)) in wanted.split(",")]
    return list(runs)


def metrics_of(runs: Iterable[Run], chosen: Sequence[str] = ()) -> list[str]:
    """Returns the chosen metrics that some run has, in the order of the runs; all scores where none is chosen."""
    scores = dict.fromkeys(name for run in runs for name in run.metrics)
    validated = [title for title in VALIDATED if title in chosen and any(run.score(title) is not None for run in runs)]
    return [name for name in scores if not chosen or name in chosen] + validated


def check_metrics(runs: Sequence[Run], chosen: Sequence[str]) -> None:
    """Raises ValueError for a metric that no run has."""
    there = metrics_of(runs)
    for metric in chosen:
        if not metrics_of(runs, [metric]):
            raise ValueError(f"no run has a score {metric}; there are {', '.join([*there, *VALIDATED])}")
