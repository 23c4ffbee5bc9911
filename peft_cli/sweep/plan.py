"""What a sweep would do, without doing it: the state of each run, and what is left in time, memory and disk."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tabulate import tabulate

from peft_cli.run_folder.failure import sentence
from peft_cli.run_folder.result import CANNOT_CHANGE_A_RESULT, read_results, without
from peft_cli.sweep import Engine, Run
from peft_cli.sweep.board import duration, name

SEEDS = ("seed", "data_seed")
SCALED = (*SEEDS, "shots", "test_limit", "train.steps", "train.schedule", "train.warmup_steps", "train.validate_every")
HARDLY_COSTS = (*SCALED, "train.patience", "train.weight_decay", "train.select", "method.lr", "init_from")
PROBE = {"steps": 8, "warmup_steps": 0, "validate_every": None}  # of train, for a probe
PROBE_EXAMPLES = 8  # to train on and to predict


class Estimate(NamedTuple):
    """What a run costs."""

    seconds: float
    memory_bytes: float
    disk_bytes: float
    source: str


def plan(
    runs: Sequence[Run],
    states: Mapping[str, str],
    check: Callable[[dict], None],
    jobs: int | None,
    probe: Engine | None,
) -> str:
    """The plan of some distinct runs, with their states by folder, as text.

    Costs are those of finished runs; with `probe`, an engine, a few steps are timed where nothing like it is finished.
    """
    told = {path: reason for run in runs if (path := str(run.folder.path)) and (reason := refusal(run, states, check))}
    states = {path: "impossible" if path in told else state for path, state in states.items()}
    left = [run for run in runs if states[str(run.folder.path)] in ("new", "resumable", "failed")]
    known = Known(read_cost(folder, result) for root in roots(runs) for folder, result in read_results(root))
    if probe and (unlike := without_twins([run for run in left if known.estimate(run) is None])):
        for cost in probed(unlike, probe):
            known.add(cost)
    costs = {str(run.folder.path): known.estimate(run) for run in left}
    rows = [row(run, states, told, costs) for run in runs]
    table = tabulate(rows, ["state", "run", "time", "memory", "disk", "as in"], tablefmt="plain", disable_numparse=True)
    return "\n".join([table, "", summary(states, left, list(costs.values()), jobs or 1)])


def refusal(run: Run, states: Mapping[str, str], check: Callable[[dict], None]) -> str | None:
    """Why a run that is not finished cannot be, in a sentence; None where nothing is seen that speaks against it."""
    if states[str(run.folder.path)] == "finished":
        return None
    try:
        check(run.config)
    except (ValueError, OSError) as error:
        return sentence(error)
    return None


def roots(runs: Iterable[Run]) -> list[Path]:
    """The folders of all run folders that some runs name."""
    return [Path(root) for root in dict.fromkeys(run.config["runs"] for run in runs)]


class Cost(NamedTuple):
    """What a finished run was and what it cost."""

    config: dict
    result: dict
    disk_bytes: int


def read_cost(folder: Path, result: dict) -> Cost:
    """What a finished run cost."""
    return Cost(result["config"], result, sum(path.stat().st_size for path in folder.iterdir() if path.is_file()))


def shape(config: Mapping, ignored: Sequence[str]) -> str:
    """What two runs that cost the same have in common."""
    return json.dumps(without(config, [*CANNOT_CHANGE_A_RESULT, *ignored]), sort_keys=True)


def without_twins(runs: Iterable[Run]) -> list[Run]:
    """The first run of each shape."""
    return list({shape(run.config, HARDLY_COSTS): run for run in reversed(list(runs))}.values())


class Known:
    """The costs of finished runs, by what they have in common with others."""

    LIKENESSES = ((SEEDS, "other seeds"), (HARDLY_COSTS, "other sizes, scaled"))

    def __init__(self, costs: Iterable[Cost]):
        self.alike: dict[tuple, list[Cost]] = defaultdict(list)
        for cost in costs:
            self.add(cost)

    def add(self, cost: Cost) -> None:
        """Adds a finished run; none that had others beside it, as its time and memory are those of all."""
        if cost.result["cost"].get("fused_with"):
            return
        for ignored, _ in self.LIKENESSES:
            self.alike[ignored, shape(cost.config, ignored)].append(cost)

    def estimate(self, run: Run) -> Estimate | None:
        """What a run costs: as its seeds did, or as what differs in size alone, scaled; None where there is neither."""
        for ignored, source in self.LIKENESSES:
            if alike := self.alike.get((ignored, shape(run.config, ignored))):
                seconds = fmean(scaled(run.config, cost.result, exactly=ignored == SEEDS) for cost in alike)
                memory = max(cost.result["cost"]["peak_memory_bytes"] for cost in alike)
                return Estimate(seconds, memory, fmean(cost.disk_bytes for cost in alike), f"{len(alike)} {source}")
        return None


def scaled(config: Mapping, result: Mapping, exactly: bool) -> float:
    """The seconds of a run of `config`, all its steps made, from the result of one that may have other sizes."""
    total, training = result["cost"]["total_seconds"], result["training"]
    if exactly:
        return total
    predicting, n_test = result["cost"]["generation_seconds_per_example"], result["data"]["n_test"]
    total += predicting * ((config["test_limit"] or n_test) - n_test)
    if training and config["shots"] != 0:
        step = result["cost"]["step_seconds"]["median"] or training["train_seconds"] / training["steps"]
        total += step * config["train"]["steps"] - training["train_seconds"]
    return total


def probed(runs: Sequence[Run], engine: Engine) -> list[Cost]:
    """The costs of a few steps of each run, done in a folder that is then removed."""
    with TemporaryDirectory() as folder:
        small = []
        for run in runs:
            config = deepcopy(run.config) | {"runs": folder, "test_limit": PROBE_EXAMPLES, "wandb": run.config["wandb"]}
            config["train"] |= PROBE
            if config["shots"] != 0:
                config["shots"] = min(config["shots"] or PROBE_EXAMPLES, PROBE_EXAMPLES)
            small.append(Run(run.overrides, config, run.choices))
        engine(small)
        return [read_cost(folder, result) for folder, result in read_results(Path(folder))]


def row(run: Run, states: Mapping, told: Mapping[str, str], costs: Mapping[str, Estimate | None]) -> list[str]:
    """The line of one run."""
    path = str(run.folder.path)
    if reason := told.get(path):
        return ["impossible", name(run), "", "", "", reason]
    if not (cost := costs.get(path)):
        return [states[path], name(run), "", "", "", "" if path not in costs else "nothing finished is like it"]
    return [
        states[path],
        name(run),
        duration(cost.seconds),
        size(cost.memory_bytes),
        size(cost.disk_bytes),
        cost.source,
    ]


def summary(states: Mapping[str, str], left: Sequence[Run], costs: Sequence[Estimate | None], jobs: int) -> str:
    """All in all."""
    counts = Counter(state.partition(":")[0] for state in states.values())
    lines = [f"{len(states)} runs: " + ", ".join(f"{count} {state}" for state, count in counts.most_common())]
    found = [cost for cost in costs if cost]
    if found:
        seconds = sum(cost.seconds for cost in found) / min(jobs, len(found))
        memory = sum(sorted((cost.memory_bytes for cost in found), reverse=True)[:jobs])
        disk = sum(cost.disk_bytes for cost in found)
        lines.append(
            f"left: about {duration(seconds)} with jobs={jobs}, {size(memory)} of memory, {size(disk)} of disk"
        )
    if len(found) < len(left):
        lines.append(
            f"not estimated: {len(left) - len(found)} runs; plan=probe times a few steps where nothing is known"
        )
    return "\n".join(lines)


def size(count: float) -> str:
    """A number of bytes in the unit that fits."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
