"""Many runs: plan, skip what is finished, one process for each, on this machine or through Slurm.

composed runs -> sort out (finished, failed earlier, to do) -> plan.py, or an engine: local.py or slurm.py -> outcomes
                                                                   shown by board.py
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from pydantic import PositiveInt

from peft_cli.config.values import check
from peft_cli.run_folder.failure import Failure, repeat_command
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
    config: dict
    choices: dict[str, str]

    @cached_property
    def folder(self) -> RunFolder:
        """Where it leaves its result."""
        return folder_of(self.config, self.choices)

    @property
    def command(self) -> str:
        """The command that repeats it alone."""
        return repeat_command(self.overrides)

    def state(self) -> str:
        """finished, failed, running (with who runs it), resumable or new."""
        folder = self.folder
        if folder.is_finished:
            return "finished"
        if who := owner(folder.path):
            return f"running: {who}"
        if folder.error():
            return "failed"
        return "resumable" if (folder.path / "log.jsonl").exists() else "new"

    def failure(self) -> Failure | None:
        """How it failed, as its folder tells; None where it has not."""
        error = self.folder.error()
        return error and Failure(error["error"], error["is_wrong_request"], error["log"])

    def fail(self, reason: str) -> Failure:
        """Writes down why it failed where its own process could not, with the end of what that printed."""
        folder = self.folder
        try:
            folder.write_error(reason, False, folder.printed(), self.command)
        except OSError as error:
            return Failure(f"{reason} (error.json could not be written: {error.strerror})", False)
        return self.failure()


Task = Callable[[dict, dict[str, str], list[str]], None]  # a run's configuration, options and overrides
Engine = Callable[[Sequence[Run]], dict[str, Failure]]  # does runs, and tells the failures by folder


def sweep(
    composed: Sequence[Composed], options: Options, engine: Engine, request: Callable[[dict], None]
) -> list[Failure | None]:
    """Does what is left of a sweep and returns how each run failed, None where it did not; or prints the plan of it.

    `request` raises ValueError for a configuration that cannot be run; it is asked for a plan alone.

    A run that failed at an earlier time is a failure again, without being started, unless `options.retry`.
    """
    check(asdict(options), Options, "")
    runs = [Run(*one) for one in composed]
    distinct = {str(run.folder.path): run for run in runs}
    states = {path: run.state() for path, run in distinct.items()}
    if options.plan:
        from peft_cli.sweep.plan import plan

        probe = engine if options.plan == "probe" else None
        print(plan(list(distinct.values()), states, request, options.jobs, probe))
        return [None] * len(runs)
    failures = {path: run.failure() for path, run in distinct.items() if states[path] == "failed" and not options.retry}
    to_do = [run for path, run in distinct.items() if states[path] != "finished" and path not in failures]
    finished = len(distinct) - len(to_do) - len(failures)
    again = f", {len(failures)} failed earlier (retry=true runs them again)" if failures else ""
    same = f" in {len(runs)} combinations" if len(runs) > len(distinct) else ""
    print(f"{len(distinct)} runs{same}: {finished} finished already{again}, {len(to_do)} to do", file=sys.stderr)
    if to_do:
        failures |= engine(to_do)
    return [failures.get(str(run.folder.path)) for run in runs]
