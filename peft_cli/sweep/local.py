"""A sweep on this machine: `jobs` processes at a time, each with a run of its own, or with several side by side.

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
from multiprocessing.connection import Connection, wait
from typing import NamedTuple

from peft_cli.command import Failure, Task
from peft_cli.lock import LOST, owner
from peft_cli.stop import Stopped
from peft_cli.sweep import Run
from peft_cli.sweep.board import Board, name
from peft_cli.sweep.groups import common, grouped, told
from peft_cli.sweep.worker import STOPPED, work, work_together

WARM = ["peft_cli.sweep.warm"]  # what the process that is copied has imported
LOOK_SECONDS = 0.5  # between two looks at what runs
ELSEWHERE_SECONDS = 3.0  # between two looks at a run that another process does


class Running(NamedTuple):
    """A process and its runs."""

    runs: list[Run]
    process: multiprocessing.Process
    place: dict[str, str]  # its share of the machine, as environment variables
    began_at: float
    told: Connection | None  # what runs side by side say when they part


class Local:
    """Does runs on this machine; an Engine."""

    def __init__(self, task: Task, jobs: int | None, fuse: int = 1):
        self.task, self.jobs, self.fuse = task, jobs, fuse
        self.waiting: deque[list[Run]] = deque()
        self.apart: set[str] = set()  # what runs have in common that cannot stand side by side
        self.running: list[Running] = []
        self.elsewhere: list[Run] = []  # what another process does at the moment
        self.failures: dict[str, Failure] = {}
        self.signals: list[int] = []  # that asked to stop

    def __call__(self, runs: Sequence[Run]) -> dict[str, Failure]:
        """Does the runs and tells the failures; raises Stopped after a signal, when all runs have stopped."""
        self.waiting.extend(groups := grouped(runs, self.fuse))
        self.places = places(self.jobs, runs)
        self.context = context(self.places)
        before = {number: signal.signal(number, self.note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            with Board(len(runs), len(self.places)) as self.board:
                if self.fuse > 1:
                    self.board.say(told(groups, self.fuse))
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
            running = [(run, one.began_at) for one in self.running for run in one.runs]
            self.board.show(running, sum(map(len, self.waiting)), len(self.elsewhere))

    def start(self, group: Sequence[Run]) -> None:
        """Starts runs in one process, but for those that another process does or has done."""
        runs = [run for run in group if self.is_left(run)]
        if len(runs) > 1 and common(runs[0]) in self.apart:
            self.waiting.extendleft([run] for run in reversed(runs))
        elif runs:
            for run in runs:
                (run.folder.path / "error.json").unlink(missing_ok=True)  # that of an earlier try
            place, (told, tells) = self.places.pop(0), self.context.Pipe(duplex=False)
            one = len(runs) == 1
            target, arguments = (work, (runs[0],)) if one else (work_together, (runs, tells))
            process = self.context.Process(target=target, args=(self.task, *arguments, place))
            process.start()
            tells.close()
            self.running.append(Running(runs, process, place, time.monotonic(), told))

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
        """Sees how a process ended."""
        for run in one.runs:
            self.settle_run(run, one, alone=len(one.runs) == 1)
        if one.told.poll() and (why := said(one.told)):
            self.apart.add(common(one.runs[0]))
            self.board.say(f"apart     {name(one.runs[0])} and {len(one.runs) - 1} like it: {why}")
        one.told.close()

    def settle_run(self, run: Run, one: Running, alone: bool) -> None:
        """Sees how a run ended with its process; one without a result that had others beside it goes on by itself."""
        code, seconds = one.process.exitcode, time.monotonic() - one.began_at
        if run.folder.is_finished:
            self.board.finished(run, seconds / len(one.runs))
        elif code == LOST and alone:
            self.elsewhere.append(run)
        elif self.signals and (code == STOPPED or code < 0):
            self.board.stopped(run)
        elif alone or run.failure() or code == STOPPED:
            self.fail(run, run.failure() or run.fail(reason(code)))
        else:
            self.waiting.appendleft([run])

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
                self.waiting.append([run])

    def note(self, number: int, frame: object) -> None:
        """Tells all runs to stop after their step; asked again, ends them at once."""
        self.signals.append(number)
        self.board.say("stopping: each run writes a checkpoint; once more ends them at once")
        for one in self.running:
            if len(self.signals) > 1:
                one.process.kill()
            elif one.process.pid:
                os.kill(one.process.pid, signal.SIGINT)


def said(told: Connection) -> str:
    """What runs side by side said when they parted; nothing where they ended otherwise."""
    try:
        return told.recv()
    except EOFError:
        return ""


def places(jobs: int | None, runs: Sequence[Run]) -> list[dict[str, str]]:
    """The share of the machine of each run that goes on at a time, as environment variables of its process.

    One GPU each, and several to a GPU where there are more jobs than GPUs; on a CPU an equal share of the threads.
    """
    uses_gpu = any(run.config["backbone"]["device"] != "cpu" for run in runs)
    found = gpus() if uses_gpu else []
    jobs = jobs or max(1, len(found))
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
