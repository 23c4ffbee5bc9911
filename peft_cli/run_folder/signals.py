"""The signals that ask a run to stop."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Stopped(BaseException):
    """A run that ended early, at a place where it can go on, because a signal asked it to."""

    def __init__(self, number: int):
        super().__init__(f"stopped by {signal.Signals(number).name}; the same command goes on from there")
        self.number = number


class Signals:
    """What signals ask of a run, kept until it is at a place where it can do it. Asked twice, the process ends at once.

    Ctrl-C and SIGTERM ask it to stop. In a Slurm job SIGTERM says that the job will be killed soon: then the run writes
    a checkpoint and goes on, since Slurm takes a job that ends by itself for done and would not start it again; SIGUSR2
    (which the job's time limit sends) asks it to stop.
    """

    def __init__(self):
        self.stop: int | None = None
        self.save = False
        self.in_job = "SLURM_JOB_ID" in os.environ

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Listens while it is open. A thread cannot: there Python's own ways stay."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = [signal.SIGINT, signal.SIGTERM, *([signal.SIGUSR2] if self.in_job else [])]
        before = {number: signal.signal(number, self.note) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def note(self, number: int, frame: object) -> None:
        """Remembers a signal."""
        if self.in_job and number == signal.SIGTERM:
            self.save = True
        elif self.stop is not None:
            os._exit(128 + number)
        else:
            self.stop = number
            name = signal.Signals(number).name
            print(f"peft-run: {name}: stops after this step; once more ends it at once", file=sys.stderr, flush=True)

    def check(self) -> None:
        """Raises Stopped if a signal asked for it."""
        if self.stop is not None:
            raise Stopped(self.stop)
