"""The runs that a report is about: found below folders, read from their results, chosen by their fields.

folders -> find (finished, failed, unfinished) -> read -> Run (fields, settings, facts, costs) -> where
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from sys import intern
from typing import Any, NamedTuple, NoReturn

from peft_cli.run_folder.result import CANNOT_CHANGE_A_RESULT, SEEDS, UNUSED_WITHOUT_SHOTS

FINISHED, FAILED, INTERRUPTED = "result.json", "error.json", "log.jsonl"  # the first of these tells a folder's state
SAME_IN_A_TABLE = ("shots", "test_limit", "protocol", "more_metrics")  # the last two: facts tell what was scored
MACHINE = ("environment.device", "environment.threads")
MORE_THAT_IS_READ = (
    "run.method",
    *(f"run.{name}" for name in SEEDS),
    "data.n_test",
    "backbone.sha256",
    "environment.python",
    "environment.commit",
)
NOT_KEPT = ("data.train_ids", "data.validation_ids")  # as long as the data set; their sha256 tells draws apart
TIMED = (
    *("cost.step_seconds.", "cost.tokens_per_second", "cost.peak_", "cost.energy_joules", "cost.total_seconds"),
    *("cost.generation_seconds_per_example", "training.train_seconds"),
)  # how the names of fields begin that runs in one process have together
UNFINISHED = "unfinished"  # a log, and neither a result nor an error


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
    return whole(value) if abs(value) >= 100 else f"{value:.3g}"


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
    fields: dict[str, Any]  # everything in its result.json but NOT_KEPT, by dotted name
    settings: dict[str, str]  # key -> JSON of what can change a result and is not the same in all of a table
    facts: dict[str, str]  # what was scored, by which rules: alike in runs that may be compared
    costs: tuple[tuple[float | None, tuple], ...]  # for each of COSTS its value, and what it may be compared within

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

    @property
    def machine(self) -> tuple:
        """The device and its threads."""
        return tuple(self.fields[name] for name in MACHINE)


class Attempt(NamedTuple):
    """A folder without a result: what its path says was tried, and why nothing came of it."""

    folder: Path
    state: str  # failed | impossible | unfinished
    reason: str

    @property
    def identity(self) -> dict[str, str]:
        """Data, backbone, method and shots, as peft-run names folders: <data>/<backbone>/<method>/shots=<k>,..."""
        data, backbone, method, name = ("", "", "", *self.folder.parts)[-4:]
        shots = name.partition(",")[0].partition("-")[0].removeprefix("shots=")
        return {"data": data, "backbone": backbone, "method": method, "shots": shots}


class Found(NamedTuple):
    """All that lies below some folders."""

    runs: list[Run]
    attempts: list[Attempt]
    unreadable: list[str]  # for each result that cannot be read the reason


def find(folders: Sequence[Path]) -> Found:
    """Everything below `folders`, each run folder once. Raises ValueError where no run has a result."""
    states = states_below(folders)
    runs, unreadable = [], []
    for folder, state in states:
        if state == FINISHED:
            try:
                runs.append(read(folder))
            except (ValueError, OSError) as error:
                unreadable.append(sentence(error))
    attempts = [attempted(folder, state) for folder, state in states if state != FINISHED]
    if not runs:
        n_failed = sum(attempt.state != UNFINISHED for attempt in attempts)
        counts = f"{n_failed} failed, {len(attempts) - n_failed} unfinished, {len(unreadable)} unreadable"
        raise ValueError(f"no result of a run below {', '.join(map(str, folders))} ({counts}); peft-run makes them")
    return Found(runs, attempts, unreadable)


def states_below(folders: Sequence[Path]) -> list[tuple[Path, str]]:
    """All run folders below `folders`, each once, with the file that tells their state."""
    states: dict[Path, tuple[Path, str]] = {}
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"there is no folder {folder}; name the one that peft-run was given as runs=")
        for path, _, names in os.walk(folder, onerror=refuse_to_skip):
            state = next((name for name in (FINISHED, FAILED, INTERRUPTED) if name in names), None)
            if state:
                states.setdefault(Path(os.path.realpath(path)), (Path(path), state))
    return sorted(states.values())


def refuse_to_skip(error: OSError) -> NoReturn:
    """Raises the error of a folder that cannot be looked into, which os.walk would pass over."""
    raise error


def read(folder: Path) -> Run:
    """The run of a finished folder. Raises ValueError where its result.json cannot be read."""
    path = folder / FINISHED
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no result of a run ({error}); delete that folder and run it again") from error
    return as_run(folder, result)


def attempted(folder: Path, state: str) -> Attempt:
    """What became of a folder without a result."""
    if state == INTERRUPTED:
        return Attempt(folder, UNFINISHED, "a log, and neither a result nor an error")
    try:
        error = json.loads((folder / FAILED).read_text(encoding="utf-8"))
        text = error["error"].strip().partition("\n")[0].rstrip(": ")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Attempt(folder, "failed", f"{FAILED} cannot be read")
    is_refusal = error.get("is_wrong_request", text.startswith("ValueError"))
    return Attempt(folder, "impossible" if is_refusal else "failed", text)


def sentence(error: ValueError | OSError) -> str:
    """What went wrong, in one line."""
    is_about_file = isinstance(error, OSError) and error.filename
    return f"{error.filename}: {error.strerror}" if is_about_file else " ".join(str(error).split())


def as_run(folder: Path, result: Any) -> Run:
    """The run of what a result.json says. Raises ValueError where it lacks something that a table needs."""
    try:
        fields = its_own({name: value for name, value in flat(result).items() if name not in NOT_KEPT})
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
    except (KeyError, TypeError, AttributeError) as error:
        reason = f"it has no {error.args[0]}" if isinstance(error, KeyError) else error
        advice = "delete that folder and run it again"
        raise ValueError(f"{folder / 'result.json'} is no result of a run ({reason}); {advice}") from error
    return run


def its_own(fields: dict[str, Any]) -> dict[str, Any]:
    """`fields` with no times and no memory where the run had others beside it in its process: they are of all."""
    if not fields.get("cost.fused_with"):
        return fields
    return {name: None if name.startswith(TIMED) else value for name, value in fields.items()}


def flat(node: Mapping, path: str = "") -> dict[str, Any]:
    """Each value inside nested mappings by its dotted name; a list is a value. Equal texts are one object."""
    found = {}
    for key, value in node.items():
        name = f"{path}{key}"
        if isinstance(value, dict):
            found |= flat(value, f"{name}.")
        else:
            found[intern(name)] = intern(value) if isinstance(value, str) else value
    return found


def under(fields: Mapping, prefix: str) -> dict:
    """The fields that begin with `prefix`, without it."""
    return {name.removeprefix(prefix): value for name, value in fields.items() if name.startswith(prefix)}


def settings(fields: Mapping) -> dict[str, str]:
    """What tells rows of a table apart: the configuration without seeds and what cannot change a result."""
    unused = UNUSED_WITHOUT_SHOTS if fields["run.shots"] == 0 else ()
    ignored = (*CANNOT_CHANGE_A_RESULT, *SEEDS, *SAME_IN_A_TABLE, *unused)
    sections = tuple(f"{name}." for name in ignored)
    config = under(fields, "config.").items()
    found = {
        intern(key): intern(json.dumps(value))
        for key, value in config
        if key not in ignored and not key.startswith(sections)
    }
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


def field(run: Run, name: str) -> Any:
    """What a run says under a name as users type it: method, shots, method.lr, or a whole dotted name."""
    for full in (f"run.{name}", f"config.{name}", name):
        if full in run.fields:
            return run.fields[full]
    return None


def where(runs: Sequence[Run], conditions: Sequence[str]) -> list[Run]:
    """The runs that meet every condition, such as "shots=50,200" or "method.lr=0.3".

    Raises ValueError for a condition that no run could meet, with what there is.
    """
    for condition in conditions:
        name, equals, wanted = condition.partition("=")
        if not equals:
            raise ValueError(f"--where {condition} is not possible: write it as {condition}=<value>[,<value>]")
        values = {as_typed(field(run, name)) for run in runs}
        missing = sorted(set(wanted.split(",")) - values)
        if missing:
            there = ", ".join(sorted(values)[:12])
            raise ValueError(f"--where {condition}: no run that is left has {name}={missing[0]}; there are {there}")
        runs = [run for run in runs if as_typed(field(run, name)) in wanted.split(",")]
    return list(runs)


def as_typed(value: Any) -> str:
    """A value as it stands on the command line of peft-run."""
    return value if isinstance(value, str) else json.dumps(value)
