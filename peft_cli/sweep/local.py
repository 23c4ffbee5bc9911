"""A sweep on this machine: several processes at a time, one for each run.

On a CPU these processes are copies of one that has imported torch and transformers, which takes seconds; on GPUs each
starts from nothing, as a process that has used a GPU cannot be copied.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Sequence
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from typing import NamedTuple

from peft_cli.run_folder.failure import Failure
from peft_cli.run_folder.lock import LOCK_LOST, owner
from peft_cli.run_folder.signals import Stopped
from peft_cli.sweep import Run, Task
from peft_cli.sweep.board import Board
from peft_cli.sweep.gpus import visible_gpus
from peft_cli.sweep.worker import STOPPED, work

# what the process that is copied has imported; it computes nothing, so that it has no thread and no state of a GPU
WARM = [f"peft_cli.{name}" for name in ("run", "train", "evaluate", "cost", "backbone.loading", "run_folder.init_from")]
POLL_SECONDS = 0.5  # between two looks at the processes
ELSEWHERE_SECONDS = 3.0  # between two looks at a run that another process does
HINTS = {
    signal.SIGKILL: ", as the system does when memory runs out",
    signal.SIGSEGV: ", a crash outside of Python",
    signal.SIGABRT: ", a crash outside of Python",
    signal.SIGBUS: ", as happens when a file on a full disk is mapped",
}


class Running(NamedTuple):
    """A process and its run."""

    run: Run
    process: BaseProcess
    slot: dict[str, str]  # its share of the machine, as environment variables
    began_at: float


class Local:
    """Does runs on this machine; an Engine."""

    def __init__(self, task: Task, jobs: int | None, jobs_per_gpu: int = 1):
        self.task, self.jobs, self.jobs_per_gpu = task, jobs, jobs_per_gpu
        self.waiting: deque[Run] = deque()
        self.running: list[Running] = []
        self.elsewhere: list[Run] = []  # what another process does at the moment
        self.failures: dict[str, Failure] = {}
        self.signals: list[int] = []  # that were received, each a request to stop

    def __call__(self, runs: Sequence[Run]) -> dict[str, Failure]:
        """Does the runs and returns the failures; raises Stopped after a signal, when all runs have stopped."""
        self.waiting.extend(runs)
        self.slots = slots(self.jobs, self.jobs_per_gpu, runs)
        self.context = context(self.slots)
        before = {number: signal.signal(number, self.receive) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            with Board(len(runs), len(self.slots)) as self.board:
                self.loop()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if self.signals:
            raise Stopped(self.signals[0])
        return self.failures

    def loop(self) -> None:
        """Starts runs where a slot is free, and records their ends, until none is left."""
        checked_at = time.monotonic()
        while self.running or (not self.signals and (self.waiting or self.elsewhere)):
            while self.slots and self.waiting and not self.signals:
                self.start(self.waiting.popleft())
            if time.monotonic() - checked_at >= ELSEWHERE_SECONDS:
                self.check_elsewhere()
                checked_at = time.monotonic()
            wait([one.process.sentinel for one in self.running], POLL_SECONDS)
            for one in list(self.running):
                if one.process.exitcode is not None:
                    self.record_end(one, one.process.exitcode)
            running = [(one.run, one.began_at) for one in self.running]
            self.board.draw(running, len(self.waiting), len(self.elsewhere))

    def start(self, run: Run) -> None:
        """Starts a run in a process of its own, unless another process does or has done it."""
        if not self.is_left(run):
            return
        (run.folder.path / "error.json").unlink(missing_ok=True)  # that of an earlier try
        slot = self.slots.pop(0)
        process = self.context.Process(target=work, args=(self.task, run, slot))
        process.start()
        self.running.append(Running(run, process, slot, time.monotonic()))

    def is_left(self, run: Run) -> bool:
        """Whether a run is still to be done here."""
        if run.folder.is_finished:
            self.board.show_finished(run, None)
        elif owner(run.folder.path):
            self.elsewhere.append(run)
        else:
            return True
        return False

    def record_end(self, one: Running, code: int) -> None:
        """Frees the slot of a run whose process has ended with an exit code, and records what became of the run."""
        self.running.remove(one)
        self.slots.append(one.slot)
        run = one.run
        if run.folder.is_finished:
            self.board.show_finished(run, time.monotonic() - one.began_at)
        elif code == LOCK_LOST:
            self.elsewhere.append(run)
        elif self.signals and (code == STOPPED or code < 0):
            self.board.show_stopped(run)
        else:
            self.record_failure(run, run.folder.failure() or run.fail(describe_exit(code)))

    def record_failure(self, run: Run, failure: Failure) -> None:
        """Keeps a failure for the end, and shows it."""
        self.failures[str(run.folder.path)] = failure
        self.board.show_failed(run, failure)

    def check_elsewhere(self) -> None:
        """Records which of the runs that other processes did are done, and takes over those that nobody does."""
        for run in list(self.elsewhere):
            if owner(run.folder.path):
                continue
            self.elsewhere.remove(run)
            if run.folder.is_finished:
                self.board.show_finished(run, None)
            elif failure := run.folder.failure():
                self.record_failure(run, failure)
            else:
                self.waiting.append(run)

    def receive(self, number: int, frame: object) -> None:
        """Stops all runs after their step; a second signal ends them at once."""
        self.signals.append(number)
        self.board.print_line("stopping: each run writes a checkpoint; once more ends them at once")
        for one in self.running:
            if len(self.signals) > 1:
                one.process.kill()
            elif one.process.pid:
                os.kill(one.process.pid, signal.SIGINT)


def slots(jobs: int | None, jobs_per_gpu: int, runs: Sequence[Run]) -> list[dict[str, str]]:
    """Returns the shares of the machine, one for each run at a time, as environment variables of its process.

    On GPUs `jobs_per_gpu` for each, or `jobs` spread over all of them; each share has as many threads as the others.
    Raises ValueError where `jobs_per_gpu` cannot be what it is.
    """
    uses_gpu = any(run.config["backbone"]["device"] != "cpu" for run in runs)
    gpus = visible_gpus() if uses_gpu else []
    if jobs_per_gpu > 1 and not gpus:
        raise ValueError(
            f"jobs_per_gpu={jobs_per_gpu} is for GPUs, and these runs have none; use jobs={jobs_per_gpu} on a CPU"
        )
    most = max(1, len(gpus) * jobs_per_gpu)
    if jobs_per_gpu > 1 and jobs and jobs > most:
        raise ValueError(
            f"jobs={jobs} is more than the {most} that jobs_per_gpu={jobs_per_gpu} allows on {len(gpus)} GPUs"
        )
    n = jobs or most
    threads = int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))
    share = {"OMP_NUM_THREADS": str(max(1, threads // n))} if n > 1 else {}
    return [share | ({"CUDA_VISIBLE_DEVICES": gpus[i % len(gpus)]} if gpus else {}) for i in range(n)]


def context(slots: Sequence[dict[str, str]]) -> SpawnContext | ForkServerContext:
    """Returns how processes start."""
    if any("CUDA_VISIBLE_DEVICES" in slot for slot in slots):
        return multiprocessing.get_context("spawn")
    server = multiprocessing.get_context("forkserver")
    os.environ["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, sys.path))  # Python < 3.13 starts it without
    server.set_forkserver_preload(WARM)
    return server


def describe_exit(code: int) -> str:
    """Returns why a process ended that left neither a result nor an error."""
    if code == STOPPED:
        return "stopped by a signal from outside; retry=true goes on from its checkpoint"
    if code >= 0:
        return f"ended with exit code {code} before its result was there"
    number = signal.Signals(-code)
    return f"killed by {number.name}{HINTS.get(number, '')}; retry=true goes on from its last checkpoint"
