"""A sweep through Slurm: submitit starts each run as a task of a job array; what became of it, its own folder tells.

A run that Slurm preempts, requeues or moves to another node goes on from its checkpoint. The client may end at any
time: the jobs go on, and the same command waits for them.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from pydantic import PositiveFloat, PositiveInt

from peft_cli.run_folder.failure import Failure
from peft_cli.run_folder.files import make_folder, open_regular
from peft_cli.run_folder.lock import AlreadyRunning
from peft_cli.run_folder.signals import Stopped
from peft_cli.sweep import Run, Task, queue
from peft_cli.sweep.board import Board
from peft_cli.sweep.worker import limit_threads, redirect, report_error

NOTICE_SECONDS = 120  # of notice before a job's time limit, at most; Slurm looks about every 30 seconds
BUSY_SECONDS = 5.0  # between two tries of a job to get a run that another process holds
MOST_STARTS = 100  # of one job: a run whose steps never reach a checkpoint would be requeued for ever
MISSING = 3  # times a job has to be missing in the queue, since files may take a while to be seen
GOES_ON = ("TIMEOUT", "PREEMPTED", "NODE_FAIL", "BOOT_FAIL", "FAILED by SIGTERM")  # no fault of the run (nor a scancel)
NO_STEP = "Unable to create step for job"  # srun's last words where Slurm could not start the run in its requeued job
MOST_SUBMISSIONS = 10  # of one run by one client
JOB = "slurm.json"  # in a run's folder: the job that does it
JOB_ID = re.compile(r"\d+(_\d+)?")
END_BYTES = 4096  # of what a job printed


@dataclass(frozen=True)
class Resources:
    """What each run needs of Slurm; conf/launcher/slurm.yaml explains each key."""

    partition: str | None
    minutes: PositiveInt
    cpus: PositiveInt | None
    gpus: PositiveInt | None
    memory_gb: PositiveFloat | None
    setup: list[str]
    more: Mapping[str, Any]
    wait: bool
    poll_seconds: PositiveFloat

    def parameters(self) -> dict[str, Any]:
        """Returns the same as submitit's parameters."""
        options = {
            "slurm_partition": self.partition,
            "slurm_time": self.minutes,
            "slurm_cpus_per_task": self.cpus,
            "slurm_gpus_per_node": self.gpus,
            "slurm_mem": None if self.memory_gb is None else f"{round(1024 * self.memory_gb)}M",
            "slurm_setup": list(self.setup) or None,
        }
        return {
            **{name.removeprefix("slurm_"): value for name, value in options.items() if value is not None},
            "job_name": "peft-run",
            "signal_delay_s": min(NOTICE_SECONDS, 30 * self.minutes),  # at the earliest at half the time
            "stderr_to_stdout": True,
            "additional_parameters": {"requeue": True, **self.more},
        }


@dataclass(frozen=True)
class Work:
    """The task of a job; submitit pickles it, and calls it in the job."""

    task: Task
    run: Run

    def __call__(self) -> None:
        """Does the run. Its output, its result or its error are in its folder."""
        redirect(self.run)
        if cpus := os.environ.get("SLURM_CPUS_PER_TASK"):
            os.environ.setdefault("OMP_NUM_THREADS", cpus)
        limit_threads()
        try:
            signal.signal(signal.SIGUSR2, stop)  # in place of submitit's, to which a run that still loads has failed
            while not self.is_done():
                time.sleep(BUSY_SECONDS)
        except Stopped as stopped:
            print(f"peft-run: {stopped}", file=sys.stderr)
            self.requeue(stopped.number)
        except (Exception, SystemExit) as error:
            report_error(self.run, error)

    def is_done(self) -> bool:
        """Does the run and returns True, or False where another process holds it; a lost node's claim lasts a while."""
        try:
            self.task(self.run.config, self.run.choices, self.run.overrides)
        except AlreadyRunning as error:
            print(f"peft-run: {error}", file=sys.stderr)
            return False
        return True

    def requeue(self, number: int) -> None:
        """Starts the job again if its time limit stopped it."""
        starts = 1 + int(os.environ.get("SLURM_RESTART_COUNT", 0))
        if number != signal.SIGUSR2:
            self.run.fail(f"stopped by {signal.Signals(number).name}; retry=true goes on from its checkpoint")
        elif starts >= MOST_STARTS or not queue.requeue(job_id()):
            self.run.fail(f"at its time limit after {starts} starts; retry=true goes on from its checkpoint")


def stop(number: int, frame: object) -> NoReturn:
    """Ends a run at a signal wherever it is: before its first step, or after the last."""
    raise Stopped(number)


class Slurm:
    """Does runs through Slurm; an Engine."""

    def __init__(self, task: Task, jobs: int | None, resources: Resources):
        self.task, self.jobs, self.resources = task, jobs, resources
        self.failures: dict[str, Failure] = {}
        self.submissions: Counter[Path] = Counter()
        self.reported: set[str] = set()  # states of waiting jobs that were shown

    def __call__(self, runs: Sequence[Run]) -> dict[str, Failure]:
        """Submits what is not in the queue already, and waits for all unless `wait` is false."""
        known = queue.queued()
        if known is None:
            raise ValueError("hydra/launcher=slurm needs Slurm, and squeue is absent or does not answer")
        waiting = [run for run in runs if job_of(run) in known]
        self.submit([run for run in runs if run not in waiting])
        jobs = sorted({job_of(run).partition("_")[0] for run in runs})
        queued = f", {len(waiting)} were in the queue" if waiting else ""
        print(f"{len(runs) - len(waiting)} runs submitted{queued}; Slurm's jobs: {' '.join(jobs)}", file=sys.stderr)
        if self.resources.wait:
            with Board(len(runs), self.jobs or len(runs)) as self.board:
                self.wait(runs, jobs)
        return self.failures

    def submit(self, runs: Sequence[Run]) -> None:
        """Submits runs as arrays of jobs, each one's id left in its folder; raises ValueError where Slurm refuses."""
        if not runs:
            return
        executor, size = self.executor(runs[0]), queue.largest_array()
        for first in range(0, len(runs), size):
            some = runs[first : first + size]
            for run in some:
                make_folder(run.folder.path)
                (run.folder.path / "error.json").unlink(missing_ok=True)  # that of an earlier try
            try:
                jobs = executor.submit_array([Work(self.task, run) for run in some])
            except RuntimeError as error:  # submitit's FailedJobError has what sbatch printed
                reason = str(error).strip().removeprefix("sbatch: error: ").partition("\n")[0]
                raise ValueError(f"Slurm refuses {len(runs) - first} of {len(runs)} runs: {reason}") from None
            for run, job in zip(some, jobs, strict=True):
                if not run.folder.is_finished:
                    run.folder.write(JOB, {"job": job.job_id, "printed": str(job.paths.stdout)})

    def executor(self, run: Run) -> Any:
        """Returns submitit's executor, which writes its scripts and logs below the folder of all runs."""
        try:
            from submitit import SlurmExecutor
        except ImportError:
            raise ValueError("hydra/launcher=slurm needs submitit; pip install 'peft-cli[slurm]' has it") from None
        folder = Path(run.config["runs"]) / ".sweep" / "slurm"
        if folder.is_symlink() or folder.parent.is_symlink():
            raise ValueError(f"{folder} is a link, and a sweep writes below runs= alone; delete it")
        executor = SlurmExecutor(folder)
        jobs = {} if self.jobs is None else {"array_parallelism": self.jobs}
        executor.update_parameters(**self.resources.parameters(), **jobs)
        return executor

    def wait(self, runs: Sequence[Run], jobs: Sequence[str]) -> None:
        """Waits until all runs have ended; Ctrl-C ends the waiting, not the jobs."""
        left, missing = list(runs), dict.fromkeys((run.folder.path for run in runs), 0)
        began_at: dict[Path, float] = {}
        try:
            while left:
                known = queue.queued()
                left = [run for run in left if not self.has_ended(run, known, missing)]
                self.report_waiting([known.get(job_of(run), "") for run in left] if known else [])
                running = [run for run in left if known and known.get(job_of(run)) == "RUNNING"]
                for run in running:
                    began_at.setdefault(run.folder.path, time.monotonic())
                self.board.draw([(run, began_at[run.folder.path]) for run in running], len(left) - len(running), 0)
                if left:
                    time.sleep(self.resources.poll_seconds)
        except KeyboardInterrupt:
            self.board.print_line(
                f"the jobs go on; the same command waits for them again, scancel {' '.join(jobs)} ends them"
            )
            raise

    def report_waiting(self, states: Sequence[str]) -> None:
        """Shows, once, why jobs wait for more than their turn: some of them would for ever."""
        for state, count in Counter(states).items():
            if "(" in state and state not in self.reported:
                self.reported.add(state)
                self.board.print_line(f"waiting   {count} runs: Slurm has them as {state}")

    def has_ended(self, run: Run, known: Mapping[str, str] | None, missing: dict[Path, int]) -> bool:
        """Whether a run has its result or has failed; one that lost its job by no fault of its own starts again."""
        path = run.folder.path
        if run.folder.is_finished:
            self.board.show_finished(run, None)
        elif failure := run.folder.failure():
            self.record_failure(run, failure)
        elif known is None or job_of(run) in known:
            missing[path] = 0
            return False
        else:
            missing[path] += 1
            return missing[path] >= MISSING and self.is_lost(run, missing)
        return True

    def is_lost(self, run: Run, missing: dict[Path, int]) -> bool:
        """Whether a job that is gone without a result is a failure, and not one to submit again."""
        job, state = job_of(run), queue.ended(job_of(run))
        self.submissions[run.folder.path] += 1
        if (state.startswith(GOES_ON) or never_began(run)) and self.submissions[run.folder.path] < MOST_SUBMISSIONS:
            self.board.print_line(f"again     {run.folder.path}  its Slurm job {job} ended as {state}")
            with suppress(ValueError):  # refused for now: the job stays missing, and this comes again
                self.submit([run])
            missing[run.folder.path] = 0
            return False
        why = f"its Slurm job ended as {state} without a result; retry=true goes on from its checkpoint"
        printed, failure = printed_by(run), run.fail(why)
        self.record_failure(run, failure._replace(log=failure.log or (str(printed) if printed else None)))
        return True

    def record_failure(self, run: Run, failure: Failure) -> None:
        """Keeps a failure for the end, and shows it."""
        self.failures[str(run.folder.path)] = failure
        self.board.show_failed(run, failure)


def job_of(run: Run) -> str:
    """Returns the id of the job that a run was given to; empty where there is none."""
    job = (run.folder.read(JOB) or {}).get("job")
    return job if isinstance(job, str) and JOB_ID.fullmatch(job) else ""


def printed_by(run: Run) -> Path | None:
    """Returns the file with what a run's job printed before the run itself had a file for that."""
    printed = (run.folder.read(JOB) or {}).get("printed")
    if not isinstance(printed, str) or not Path(printed).resolve().is_relative_to(Path(run.config["runs"]).resolve()):
        return None  # of a folder from elsewhere
    return Path(printed)


def never_began(run: Run) -> bool:
    """Whether Slurm started a run's job and then failed to start the run in it, as happens when its node was lost."""
    path = printed_by(run)
    if path is None or not path.exists():
        return False
    with open_regular(path) as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - END_BYTES))
        return NO_STEP in file.read().decode(errors="replace").rstrip().rpartition("\n")[2]


def job_id() -> str:
    """Returns the id of the job that this process is in."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]
