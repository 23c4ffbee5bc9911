"""How far a run is: a live bar on a terminal, a plain line every ten seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

PLAIN_SECONDS = 10.0  # between two plain lines


@contextmanager
def progress(title: str, total: int, before: int = 0) -> Iterator[Callable[..., None]]:
    """Shows how many of `total` steps are done, of which `before` were done by an earlier process.

    Yields a function that takes how many more are done, and a text to show beside the numbers.
    """
    if not Console(stderr=True).is_terminal:
        yield plain_lines(title, total, before)
        return
    text = TextColumn("{task.fields[text]}")
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(), text)
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total, completed=before, text="")
        yield lambda count=1, text="": bar.update(task, advance=count, **({"text": text} if text else {}))


def plain_lines(title: str, total: int, before: int) -> Callable[..., None]:
    """Returns the function that prints a line on stderr every ten seconds, and one at the end."""
    done, start = before, time.monotonic()
    shown_at = start

    def advance(count: int = 1, text: str = "") -> None:
        nonlocal done, shown_at
        done += count
        now = time.monotonic()
        if count and (done == total or now - shown_at >= PLAIN_SECONDS):
            left = (now - start) / (done - before) * (total - done)
            print(f"{title} {done}/{total}  {text}  {left:.0f} s left", file=sys.stderr, flush=True)
            shown_at = now

    return advance
