"""How far a sweep is: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from peft_cli.run_folder.failure import Failure
from peft_cli.run_folder.files import one_line, open_regular, printable
from peft_cli.sweep import Run

TAIL_BYTES = 4096  # of a log, in which its last line is looked for
LARGEST_SHOWN = 1e15  # number of a file that may come from anywhere


class Board:
    """Shows the state of a sweep of `total` runs, `jobs` at a time."""

    def __init__(self, total: int, jobs: int):
        self.total, self.jobs = total, jobs
        self.n_finished, self.n_failed = 0, 0
        self.seconds: list[float] = []  # of finished runs
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self.live = Live(console=self.console, auto_refresh=False) if self.console.is_terminal else None

    def __enter__(self) -> Board:
        """Starts to show."""
        if self.live:
            self.live.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Leaves what was shown last."""
        if self.live:
            self.live.stop()

    def show_finished(self, run: Run, seconds: float | None) -> None:
        """Shows that a run has its result; `seconds` is None where they are not known."""
        self.n_finished += 1
        if seconds is not None:
            self.seconds.append(seconds)
        took = "" if seconds is None else f"{seconds:.1f} s"
        self.print_end(f"finished  {run_name(run)}  {format_scores(run)}  {took}")

    def show_failed(self, run: Run, failure: Failure) -> None:
        """Shows that a run has failed."""
        self.n_failed += 1
        self.print_end(f"failed    {run_name(run)}  {failure.reason}")

    def show_stopped(self, run: Run) -> None:
        """Shows that a run was stopped and can go on."""
        self.print_line(f"stopped   {run_name(run)}")

    def print_end(self, text: str) -> None:
        """Prints how a run ended, how many have, and how long the others take."""
        self.print_line(f"{self.n_finished + self.n_failed}/{self.total} {text}{'' if self.live else self.time_left()}")

    def print_line(self, text: str) -> None:
        """Prints a line, above the table where there is one."""
        self.console.print(Text(printable(text)))

    def draw(self, running: Sequence[tuple[Run, float]], waiting: int, elsewhere: int) -> None:
        """Draws the table: what runs, with the time at which it began, and how many wait or run in other processes."""
        if not self.live:
            return
        table = Table(box=None, pad_edge=False)
        table.add_column("running", overflow="fold")  # the only one that a narrow terminal breaks
        table.add_column("step", justify="right", no_wrap=True)
        table.add_column("", no_wrap=True)
        table.add_column("seconds", justify="right", no_wrap=True)
        for run, began_at in running:
            table.add_row(run_name(run), *format_progress(run), f"{time.monotonic() - began_at:.0f}")
        others = f", {elsewhere} in other processes" if elsewhere else ""
        counts = f"{self.n_finished} of {self.total} finished, {self.n_failed} failed, {waiting} waiting{others}"
        self.live.update(Group(table, Text(counts + self.time_left())), refresh=True)

    def time_left(self) -> str:
        """Returns how long it takes until all is done, by the runs that are."""
        left = self.total - self.n_finished - self.n_failed
        if not self.seconds or not left:
            return ""
        seconds = sum(self.seconds) / len(self.seconds) * left / min(self.jobs, left)
        return f", about {format_duration(seconds)} left"


def run_name(run: Run) -> str:
    """Returns the path of a run's folder below `runs`."""
    return str(run.folder.path.relative_to(run.config["runs"]))


def format_scores(run: Run) -> str:
    """Returns the scores of a finished run; a dash for one that has no value."""
    result = run.folder.read("result.json") or {}
    scores = result.get("scores")
    values = scores.items() if isinstance(scores, dict) else ()
    return "  ".join(f"{name} {value:.2f}" if is_number(value) else f"{name} -" for name, value in values)


def format_progress(run: Run) -> tuple[str, str]:
    """Returns the step of a run, and its last loss or validation."""
    row = last_row(run.folder.path / "log.jsonl")
    values = [f"{name} {row[name]:.4g}" for name in row if "loss" in name or "metric" in name if is_number(row[name])]
    steps = run.config["train"]["steps"] if run.config["shots"] != 0 else 0
    if row.get("step") == steps or (run.folder.path / "predictions.partial.jsonl").exists():
        values = ["predicts"]
    return one_line(f"{row.get('step', 0)}/{steps}"), one_line("".join(values[:1]))


def last_row(path: Path) -> dict[str, Any]:
    """Returns the last whole line of a log; empty where there is none."""
    try:
        with open_regular(path) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            *_, last, _ = [b"{}", *file.read().split(b"\n")]
        row = json.loads(last)
    except (OSError, ValueError, RecursionError):
        return {}
    return row if isinstance(row, dict) else {}


def is_number(value: object) -> bool:
    """Whether a value of a file is a number that can be shown."""
    return isinstance(value, int | float) and abs(value) < LARGEST_SHOWN


def format_duration(seconds: float) -> str:
    """Returns a time in the unit that fits."""
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86400:.1f} days"
