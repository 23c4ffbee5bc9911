"""Many runs: plan, skip what is finished, one process for each, on this machine or through Slurm.

composed runs -> sort out (finished, failed earlier, to do) -> plan.py, or an engine: local.py or slurm.py -> failures
                                                                   shown by board.py
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import PositiveInt

from peft_cli.run_folder.failure import Failure, repeat_command
from peft_cli.run_folder.files import make_folder
from peft_cli.run_folder.lock import owner
from peft_cli.run_folder.result import RunFolder, folder_of

if TYPE_CHECKING:
    from peft_cli.config.compose import Composed


@dataclass(frozen=True)
class Options:
    """How a sweep is done; none of it changes a result."""

    jobs: PositiveInt | None
    retry: bool
    plan: bool | Literal["probe"]
    jobs_per_gpu: PositiveInt


@dataclass(frozen=True)
class Run:
    """One run of a sweep."""

    overrides: list[str]
    config: dict[str, Any]
    choices: dict[str, str]

    @cached_property
    def folder(self) -> RunFolder:
        """The folder of its result."""
        return folder_of(self.config, self.choices)

    @property
    def command(self) -> str:
        """The command that repeats it alone."""
        return repeat_command(self.overrides)

    def state(self) -> str:
        """Returns finished, failed, running (with the process that does it), resumable or new."""
        folder = self.folder
        if folder.is_finished:
            return "finished"
        if process := owner(folder.path):
            return f"running: {process}"
        if folder.failure():
            return "failed"
        return "resumable" if (folder.path / "log.jsonl").exists() else "new"

    def fail(self, reason: str) -> Failure:
        """Writes down a failure that the run's own process could not, with the end of what that printed."""
        folder, failure = self.folder, Failure(reason, False)
        try:
            folder.write_error(failure, folder.output_end(), self.command)
        except OSError as error:
            return Failure(f"{reason} (error.json could not be written: {error.strerror})", False)
        return folder.failure() or failure


Task = Callable[[dict[str, Any], dict[str, str], list[str]], None]  # a run's configuration, options and overrides
Engine = Callable[[Sequence[Run]], dict[str, Failure]]  # does runs, and returns the failures by folder


def sweep(
    composed: Iterable[Composed], options: Options, engine: Engine, check_request: Callable[[dict[str, Any]], None]
) -> list[Failure | None]:
    """Does what is left of a sweep and returns how each run failed, None where it did not; or prints the plan of it.

    `check_request` raises ValueError for a configuration that cannot be run; only a plan calls it. A run that failed
    at an earlier time is a failure again, without being started, unless `options.retry`.
    """
    runs = [Run(*one) for one in composed]
    distinct = {str(run.folder.path): run for run in runs}
    states = {path: run.state() for path, run in distinct.items()}
    if options.plan:
        from peft_cli.sweep.plan import plan

        print(plan(list(distinct.values()), states, check_request, options, engine))
        return [None] * len(runs)
    failures: dict[str, Failure] = {}
    for path, run in distinct.items():
        if states[path] == "failed" and not options.retry and (failure := run.folder.failure()):
            failures[path] = failure
    to_do = [run for path, run in distinct.items() if states[path] != "finished" and path not in failures]
    print(summary(len(runs), len(distinct), len(failures), len(to_do)), file=sys.stderr)
    if to_do:
        for root in {run.config["runs"] for run in to_do}:
            check_writable(Path(root))
        failures |= engine(to_do)
    return [failures.get(str(run.folder.path)) for run in runs]


def check_writable(root: Path) -> None:
    """Makes the folder of all runs; raises ValueError where nothing can be written there."""
    make_folder(root)
    if not os.access(root, os.W_OK):
        raise ValueError(f"runs={root} cannot be written to, and not all of its runs are finished; change runs=")


def summary(n_combinations: int, n_runs: int, n_failed: int, n_to_do: int) -> str:
    """Returns how many runs of a sweep are in which state, in one line."""
    same = f" in {n_combinations} combinations" if n_combinations > n_runs else ""
    failed = f", {n_failed} failed earlier (retry=true runs them again)" if n_failed else ""
    return f"{n_runs} runs{same}: {n_runs - n_failed - n_to_do} finished already{failed}, {n_to_do} to do"
