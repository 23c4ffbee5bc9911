"""What a sweep would do, without doing it: the state of each run, and what is left in time, memory and disk."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from tabulate import tabulate

from peft_cli.run_folder.discovery import read_results
from peft_cli.run_folder.failure import sentence
from peft_cli.run_folder.files import warn_once
from peft_cli.run_folder.result import CANNOT_CHANGE_A_RESULT, SEEDS, without
from peft_cli.sweep import Engine, Options, Run
from peft_cli.sweep.board import format_duration, is_number, run_name
from peft_cli.sweep.gpus import smallest_memory, visible_gpus

SCALED = (*SEEDS, "shots", "test_limit", "train.steps", "train.schedule", "train.warmup_steps", "train.validate_every")
HARDLY_COSTS = (*SCALED, "train.patience", "train.weight_decay", "train.select", "method.lr", "init_from")
PROBE = {"steps": 8, "warmup_steps": 0, "validate_every": None}  # of train, for a probe
PROBE_EXAMPLES = 8  # to train on and to predict
COLUMNS = ["state", "run", "time", "memory", "disk", "as in"]


class Cost(NamedTuple):
    """What a finished run was and what it cost."""

    config: dict[str, Any]
    seconds: float
    memory_bytes: float
    gpu_bytes: float | None  # of memory that torch took on a GPU
    disk_bytes: float
    n_test: float
    seconds_per_example: float  # of predicting
    train_seconds: float
    seconds_per_step: float  # 0 where nothing trained


class Estimate(NamedTuple):
    """What a run will cost."""

    seconds: float
    memory_bytes: float
    gpu_bytes: float | None
    disk_bytes: float
    source: str


def plan(
    runs: Sequence[Run],
    states: Mapping[str, str],
    check_request: Callable[[dict[str, Any]], None],
    options: Options,
    engine: Engine,
) -> str:
    """Returns the plan of some distinct runs, with their states by folder, as text.

    Costs are those of finished runs; with plan=probe the engine times a few steps where nothing like it is finished.
    """
    refusals = {str(run.folder.path): refusal(run, states, check_request) for run in runs}
    states = {path: "impossible" if refusals[path] else state for path, state in states.items()}
    left = [run for run in runs if states[str(run.folder.path)] in ("new", "resumable", "failed")]
    known = Known(read_costs({Path(run.config["runs"]) for run in runs}))
    if options.plan == "probe":
        for cost in probe(without_twins([run for run in left if known.estimate(run) is None]), engine):
            known.add(cost)
    estimates = {str(run.folder.path): known.estimate(run) for run in left}
    rows = [row(run, states, refusals, estimates) for run in runs]
    table = tabulate(rows, COLUMNS, tablefmt="plain", disable_numparse=True)
    found = [estimate for estimate in estimates.values() if estimate]
    return "\n".join([table, "", *summary(states, found, len(left), options)])


def refusal(run: Run, states: Mapping[str, str], check_request: Callable[[dict[str, Any]], None]) -> str | None:
    """Returns why a run that is not finished cannot be done, in a sentence; None where no reason is seen."""
    if states[str(run.folder.path)] == "finished":
        return None
    try:
        check_request(run.config)
    except (ValueError, OSError) as error:
        return sentence(error)
    return None


def read_costs(roots: Iterable[Path]) -> list[Cost]:
    """Returns what each finished run below some folders cost; those of other systems have no costs."""
    results = read_results(*(root for root in roots if root.is_dir()))
    costs = (read_cost(folder, result) for folder, result in results if "system" not in result)
    return [cost for cost in costs if cost]


def read_cost(folder: Path, result: Mapping[str, Any]) -> Cost | None:
    """Returns what a finished run cost; None, after a warning, where its result does not have that."""
    try:
        cost, training = result["cost"], result["training"] or {"train_seconds": 0, "steps": 0}
        median = cost["step_seconds"]["median"] or training["train_seconds"] / max(1, training["steps"])
        found = Cost(
            config=dict(result["config"]),
            seconds=cost["total_seconds"],
            memory_bytes=cost["peak_memory_bytes"],
            gpu_bytes=cost.get("peak_reserved_bytes") if cost.get("memory_kind") == "cuda" else None,
            disk_bytes=sum(path.stat().st_size for path in folder.iterdir() if path.is_file()),
            n_test=result["data"]["n_test"],
            seconds_per_example=cost["generation_seconds_per_example"],
            train_seconds=training["train_seconds"],
            seconds_per_step=median,
        )
        if not all(value is None or is_number(value) for value in found[1:]):
            raise ValueError("a cost is no number")
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        warn_once(f"{folder / 'result.json'} has no costs that can be read ({error}); the plan does without it")
        return None
    return found


def shape(config: Mapping[str, Any], ignored: Sequence[str]) -> str:
    """Returns what two runs that cost the same have in common."""
    return json.dumps(without(config, [*CANNOT_CHANGE_A_RESULT, *ignored]), sort_keys=True)


def without_twins(runs: Iterable[Run]) -> list[Run]:
    """Returns the first run of each shape."""
    return list({shape(run.config, HARDLY_COSTS): run for run in reversed(list(runs))}.values())


class Known:
    """The costs of finished runs, by what they have in common with others."""

    LIKENESSES = ((SEEDS, "other seeds"), (HARDLY_COSTS, "other sizes, scaled"))

    def __init__(self, costs: Iterable[Cost]):
        self.alike: dict[tuple[tuple[str, ...], str], list[Cost]] = defaultdict(list)
        for cost in costs:
            self.add(cost)

    def add(self, cost: Cost) -> None:
        """Adds a finished run."""
        for ignored, _ in self.LIKENESSES:
            self.alike[ignored, shape(cost.config, ignored)].append(cost)

    def estimate(self, run: Run) -> Estimate | None:
        """Returns the cost of runs with other seeds, or of runs that differ in size alone, scaled; None without any."""
        for ignored, source in self.LIKENESSES:
            if alike := self.alike.get((ignored, shape(run.config, ignored))):
                return Estimate(
                    fmean(cost.seconds if ignored == SEEDS else scaled(run.config, cost) for cost in alike),
                    max(cost.memory_bytes for cost in alike),
                    max((cost.gpu_bytes for cost in alike if cost.gpu_bytes), default=None),
                    fmean(cost.disk_bytes for cost in alike),
                    f"{len(alike)} {source}",
                )
        return None


def scaled(config: Mapping[str, Any], cost: Cost) -> float:
    """Returns the seconds of a run of `config`, all its steps made, from the cost of one that may have other sizes."""
    n_test = config["test_limit"] or cost.n_test
    total = cost.seconds + cost.seconds_per_example * (n_test - cost.n_test)
    if cost.seconds_per_step and config["shots"] != 0:
        total += cost.seconds_per_step * config["train"]["steps"] - cost.train_seconds
    return total


def probe(runs: Sequence[Run], engine: Engine) -> list[Cost]:
    """Returns the costs of a few steps of each run, done in a folder that is then removed."""
    if not runs:
        return []
    with TemporaryDirectory() as folder:
        small = []
        for run in runs:
            config = deepcopy(run.config) | {"runs": folder, "test_limit": PROBE_EXAMPLES}
            config["train"] |= PROBE
            if config["shots"] != 0:
                config["shots"] = min(config["shots"] or PROBE_EXAMPLES, PROBE_EXAMPLES)
            small.append(Run(run.overrides, config, run.choices))
        engine(small)
        return read_costs([Path(folder)])


def row(
    run: Run,
    states: Mapping[str, str],
    refusals: Mapping[str, str | None],
    estimates: Mapping[str, Estimate | None],
) -> list[str]:
    """Returns the line of one run."""
    path = str(run.folder.path)
    if reason := refusals[path]:
        return ["impossible", run_name(run), "", "", "", reason]
    if not (found := estimates.get(path)):
        return [states[path], run_name(run), "", "", "", "nothing finished is like it" if path in estimates else ""]
    sizes = [format_bytes(found.memory_bytes), format_bytes(found.disk_bytes)]
    return [states[path], run_name(run), format_duration(found.seconds), *sizes, found.source]


def summary(states: Mapping[str, str], found: Sequence[Estimate], n_left: int, options: Options) -> list[str]:
    """Returns lines with the runs of each state, what those that are left cost, and what is not in that."""
    counts = Counter(state.partition(":")[0] for state in states.values())
    lines = [f"{len(states)} runs: " + ", ".join(f"{count} {state}" for state, count in counts.most_common())]
    if found:
        lines.append(format_total(found, n_left, options))
    if missing := n_left - len(found):
        hint = "plan=probe times a few steps of each kind"
        lines.append(
            f"{'not in that' if found else 'not estimated'}: {missing} runs, like which none is finished; {hint}"
        )
    if options.jobs_per_gpu > 1 and n_left:
        lines.append(gpu_need(found, options.jobs_per_gpu))
    return lines


def format_total(found: Sequence[Estimate], n_left: int, options: Options) -> str:
    """Returns what some of the runs that are left cost together, as a line."""
    jobs = options.jobs or max(1, len(visible_gpus()) * options.jobs_per_gpu)
    seconds = sum(estimate.seconds for estimate in found) / min(jobs, len(found))
    memory = sum(sorted((estimate.memory_bytes for estimate in found), reverse=True)[:jobs])
    disk = sum(estimate.disk_bytes for estimate in found)
    which = "left" if len(found) == n_left else f"{len(found)} of {n_left} runs that are left"
    about = "at least" if options.jobs_per_gpu > 1 else "about"  # runs on one GPU slow each other down
    sizes = f"{format_bytes(memory)} of memory, {format_bytes(disk)} of disk"
    return f"{which}: {about} {format_duration(seconds)} with jobs={jobs}, {sizes}"


def gpu_need(found: Sequence[Estimate], jobs_per_gpu: int) -> str:
    """Returns how much memory of a GPU several runs at a time need, and whether each GPU has that, as a line."""
    peak = max((estimate.gpu_bytes for estimate in found if estimate.gpu_bytes), default=None)
    if peak is None:
        return f"jobs_per_gpu={jobs_per_gpu}: its memory is unknown, as no run like these has finished on a GPU"
    need = f"jobs_per_gpu={jobs_per_gpu} needs {format_bytes(jobs_per_gpu * peak)} of each GPU, besides CUDA's own"
    size = smallest_memory(visible_gpus())
    if size is None:
        return f"{need}; how much these GPUs have is unknown here"
    fits = "fits" if jobs_per_gpu * peak < size else "does not fit, so lower jobs_per_gpu"
    return f"{need}; the smallest has {format_bytes(size)}: it {fits}"


def format_bytes(count: float) -> str:
    """Returns a number of bytes in the unit that fits."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
