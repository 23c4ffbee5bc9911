"""A sweep on this machine: `jobs` processes at a time, one for each run.

On a CPU these processes are copies of one that has imported torch and transformers, which takes seconds; on GPUs each
starts from nothing, as a process that has met a GPU cannot be copied.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from multiprocessing.connection import wait
from typing import NamedTuple

from peft_cli.run_folder.failure import Failure
from peft_cli.run_folder.lock import LOCK_LOST, owner
from peft_cli.run_folder.signals import Stopped
from peft_cli.sweep import Run, Task
from peft_cli.sweep.board import Board
from peft_cli.sweep.worker import STOPPED, work

WARM = ["peft_cli.sweep.warm"]  # what the process that is copied has imported
LOOK_SECONDS = 0.5  # between two looks at what runs
ELSEWHERE_SECONDS = 3.0  # between two looks at a run that another process does


class Running(NamedTuple):
    """A process and its run."""

    run: Run
    process: multiprocessing.Process
    place: dict[str, str]  # its share of the machine, as environment variables
    began_at: float


class Local:
    """Does runs on this machine; an Engine."""

    def __init__(self, task: Task, jobs: int | None, jobs_per_gpu: int = 1):
        self.task, self.jobs, self.jobs_per_gpu = task, jobs, jobs_per_gpu
        self.waiting: deque[Run] = deque()
        self.running: list[Running] = []
        self.elsewhere: list[Run] = []  # what another process does at the moment
        self.failures: dict[str, Failure] = {}
        self.signals: list[int] = []  # that asked to stop

    def __call__(self, runs: Sequence[Run]) -> dict[str, Failure]:
        """Does the runs and tells the failures; raises Stopped after a signal, when all runs have stopped."""
        self.waiting.extend(runs)
        self.places = places(self.jobs, self.jobs_per_gpu, runs)
        self.context = context(self.places)
        before = {number: signal.signal(number, self.note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            with Board(len(runs), len(self.places)) as self.board:
                self.loop()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        if self.signals:
            raise Stopped(self.signals[0])
        return self.failures

    def loop(self) -> None:
        """Starts runs where there is a place, and sees them end, until none is left."""
        looked_at = time.monotonic()
        while self.running or (not self.signals and (self.waiting or self.elsewhere)):
            while self.places and self.waiting and not self.signals:
                self.start(self.waiting.popleft())
            if time.monotonic() - looked_at >= ELSEWHERE_SECONDS:
                self.look_elsewhere()
                looked_at = time.monotonic()
            wait([one.process.sentinel for one in self.running], LOOK_SECONDS)
            for one in [one for one in self.running if one.process.exitcode is not None]:
                self.running.remove(one)
                self.places.append(one.place)
                self.settle(one)
            running = [(one.run, one.began_at) for one in self.running]
            self.board.show(running, len(self.waiting), len(self.elsewhere))

    def start(self, run: Run) -> None:
        """Starts a run in a process of its own, unless another process does or has done it."""
        if not self.is_left(run):
            return
        (run.folder.path / "error.json").unlink(missing_ok=True)  # that of an earlier try
        place = self.places.pop(0)
        process = self.context.Process(target=work, args=(self.task, run, place))
        process.start()
        self.running.append(Running(run, process, place, time.monotonic()))

    def is_left(self, run: Run) -> bool:
        """Whether a run is still to be done here."""
        if run.folder.is_finished:
            self.board.finished(run, None)
        elif owner(run.folder.path):
            self.elsewhere.append(run)
        else:
            return True
        return False

    def settle(self, one: Running) -> None:
        """Sees how a run ended with its process."""
        run, code, seconds = one.run, one.process.exitcode, time.monotonic() - one.began_at
        if run.folder.is_finished:
            self.board.finished(run, seconds)
        elif code == LOCK_LOST:
            self.elsewhere.append(run)
        elif self.signals and (code == STOPPED or code < 0):
            self.board.stopped(run)
        else:
            self.fail(run, run.failure() or run.fail(reason(code)))

    def fail(self, run: Run, failure: Failure) -> None:
        """Keeps a failure for the end, and shows it."""
        self.failures[str(run.folder.path)] = failure
        self.board.failed(run, failure)

    def look_elsewhere(self) -> None:
        """Sees which of the runs that other processes did are done, and takes those over that nobody does any more."""
        for run in list(self.elsewhere):
            if owner(run.folder.path):
                continue
            self.elsewhere.remove(run)
            if run.folder.is_finished:
                self.board.finished(run, None)
            elif failure := run.failure():
                self.fail(run, failure)
            else:
                self.waiting.append(run)

    def note(self, number: int, frame: object) -> None:
        """Tells all runs to stop after their step; asked again, ends them at once."""
        self.signals.append(number)
        self.board.say("stopping: each run writes a checkpoint; once more ends them at once")
        for one in self.running:
            if len(self.signals) > 1:
                one.process.kill()
            elif one.process.pid:
                os.kill(one.process.pid, signal.SIGINT)


def places(jobs: int | None, jobs_per_gpu: int, runs: Sequence[Run]) -> list[dict[str, str]]:
    """The share of the machine of each run that goes on at a time, as environment variables of its process.

    `jobs_per_gpu` runs on each GPU, or `jobs` spread over all GPUs; on a CPU an equal share of the threads.
    """
    uses_gpu = any(run.config["backbone"]["device"] != "cpu" for run in runs)
    found = gpus() if uses_gpu else []
    jobs = jobs or max(1, len(found) * jobs_per_gpu)
    if found:
        return [{"CUDA_VISIBLE_DEVICES": found[i % len(found)]} for i in range(jobs)]
    threads = int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))
    return [{"OMP_NUM_THREADS": str(max(1, threads // jobs))} if jobs > 1 else {} for _ in range(jobs)]


def gpus() -> list[str]:
    """The GPUs that may be used, by the names that CUDA_VISIBLE_DEVICES takes; torch need not be imported to know."""
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name.strip() for name in visible.split(",") if name.strip() and name.strip() != "-1"]
    if not shutil.which("nvidia-smi"):
        return []
    told = subprocess.run(["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"], capture_output=True, text=True)
    return told.stdout.split() if told.returncode == 0 else []


def context(places: Sequence[dict[str, str]]) -> multiprocessing.context.BaseContext:
    """How processes start."""
    if any("CUDA_VISIBLE_DEVICES" in place for place in places):
        return multiprocessing.get_context("spawn")
    server = multiprocessing.get_context("forkserver")
    os.environ["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, sys.path))  # Python < 3.13 starts it without
    server.set_forkserver_preload(WARM)
    return server


def reason(code: int) -> str:
    """Why a process ended that left neither a result nor an error."""
    if code == STOPPED:
        return "stopped by a signal from outside; retry=true goes on from its checkpoint"
    if code >= 0:
        return f"ended with exit code {code} before its result was there"
    name = signal.Signals(-code).name
    hint = {
        signal.SIGKILL: ", as the system does when memory runs out",
        signal.SIGSEGV: ", a crash outside of Python",
        signal.SIGABRT: ", a crash outside of Python",
        signal.SIGBUS: ", as happens when a file on a full disk is mapped",
    }.get(-code, "")
    return f"killed by {name}{hint}; retry=true goes on from its last checkpoint"
