"""The signals that ask a run to stop."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Stopped(BaseException):
    """A run that ended early, at a place where it can go on, because of a signal."""

    def __init__(self, number: int):
        super().__init__(f"stopped by {signal.Signals(number).name}; the same command goes on from there")
        self.number = number


class Signals:
    """The requests of signals, kept until the run is at a place where it can meet them.

    Ctrl-C and SIGTERM stop the run; a second one ends the process at once. In a Slurm job SIGTERM announces that the
    job will be killed: then the run writes a checkpoint and goes on, since Slurm takes a job that ends by itself for
    done and would not start it again; SIGUSR2, which the job's time limit sends, stops the run.
    """

    def __init__(self) -> None:
        self.stop_number: int | None = None  # of the signal that stops the run
        self.wants_checkpoint = False
        self.is_in_job = "SLURM_JOB_ID" in os.environ

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Receives signals while it is open. Only the main thread can: elsewhere Python's own handlers stay."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = [signal.SIGINT, signal.SIGTERM, *([signal.SIGUSR2] if self.is_in_job else [])]
        before = {number: signal.signal(number, self.receive) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def receive(self, number: int, frame: object) -> None:
        """Keeps the request of a signal."""
        if self.is_in_job and number == signal.SIGTERM:
            self.wants_checkpoint = True
        elif self.stop_number is not None:
            os._exit(128 + number)
        else:
            self.stop_number = number
            name = signal.Signals(number).name
            print(f"peft-run: {name}: stops after this step; once more ends it at once", file=sys.stderr, flush=True)

    def check(self) -> None:
        """Raises Stopped after a signal that stops the run."""
        if self.stop_number is not None:
            raise Stopped(self.stop_number)
