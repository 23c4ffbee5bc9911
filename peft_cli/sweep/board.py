"""How far a sweep is: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from peft_cli.run_folder.failure import Failure
from peft_cli.sweep import Run

TAIL_BYTES = 4096  # of a log in which its last line is looked for


class Board:
    """Shows the state of a sweep of `total` runs, `jobs` at a time."""

    def __init__(self, total: int, jobs: int):
        self.total, self.jobs = total, jobs
        self.done, self.n_failed, self.seconds = 0, 0, []
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

    def finished(self, run: Run, seconds: float | None) -> None:
        """A run has its result; `seconds` is None where they are not known."""
        self.done += 1
        if seconds is not None:
            self.seconds.append(seconds)
        took = "" if seconds is None else f"{seconds:.1f} s"
        self.line(f"finished  {name(run)}  {scores(run)}  {took}")

    def failed(self, run: Run, failure: Failure) -> None:
        """A run has failed."""
        self.n_failed += 1
        self.line(f"failed    {name(run)}  {failure.reason}")

    def stopped(self, run: Run) -> None:
        """A run was stopped and can go on."""
        self.say(f"stopped   {name(run)}")

    def line(self, text: str) -> None:
        """Says that a run has ended, and how many have."""
        self.say(f"{self.done + self.n_failed}/{self.total} {text}{'' if self.live else self.rest(None)}")

    def say(self, text: str) -> None:
        """Prints a line, above the table where there is one."""
        self.console.print(Text(text))

    def show(self, running: Sequence[tuple[Run, float]], waiting: int, elsewhere: int) -> None:
        """Draws the table anew."""
        if not self.live:
            return
        table = Table(box=None, pad_edge=False)
        for title in ("running", "step", "", "seconds"):
            table.add_column(title, justify="left" if title in ("running", "") else "right", no_wrap=True)
        for run, began_at in running:
            table.add_row(name(run), *position(run), f"{time.monotonic() - began_at:.0f}")
        others = f", {elsewhere} in other processes" if elsewhere else ""
        counts = f"{self.done} of {self.total} finished, {self.n_failed} failed, {waiting} waiting{others}"
        self.live.update(Group(table, Text(counts + self.rest(len(running)))), refresh=True)

    def rest(self, running: int | None) -> str:
        """How long it takes until all is done, by the runs that are."""
        left = self.total - self.done - self.n_failed
        if not self.seconds or not left:
            return ""
        seconds = sum(self.seconds) / len(self.seconds) * left / min(self.jobs, left)
        return f", about {duration(seconds)} left"


def name(run: Run) -> str:
    """A run as its folder is called below `runs`."""
    return str(run.folder.path.relative_to(run.config["runs"]))


def scores(run: Run) -> str:
    """The scores of a finished run."""
    found = json.loads((run.folder.path / "result.json").read_text(encoding="utf-8"))["scores"]
    return "  ".join(f"{name} {value:.2f}" for name, value in found.items())


def position(run: Run) -> tuple[str, str]:
    """The step of a run, and its last loss or validation."""
    row = last_row(run.folder.path / "log.jsonl")
    told = next((f"{name} {row[name]:.4g}" for name in row if "loss" in name or "metric" in name if row[name]), "")
    steps = run.config["train"]["steps"] if run.config["shots"] != 0 else 0
    if row.get("step") == steps or (run.folder.path / "predictions.partial.jsonl").exists():
        return f"{row.get('step', 0)}/{steps}", "predicts"
    return f"{row.get('step', 0)}/{steps}", told


def last_row(path: Path) -> dict:
    """The last whole line of a log; empty where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            lines = file.read().split(b"\n")
    except FileNotFoundError:
        return {}
    return json.loads(lines[-2]) if len(lines) > 1 else {}


def duration(seconds: float) -> str:
    """A time in the unit that fits."""
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86400:.1f} days"
