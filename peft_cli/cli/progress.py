"""How far a run is: a live bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

PLAIN_SECONDS = 10.0  # between two plain lines


@contextmanager
def progress(what: str, total: int, before: int = 0) -> Iterator[Callable[..., None]]:
    """Shows how far `what` is; what it yields is called with how many of `total` are done more, and a text.

    `before` were done at an earlier time.
    """
    if not Console(stderr=True).is_terminal:
        yield plain(what, total, before)
        return
    text = TextColumn("{task.fields[text]}")
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(), text)
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total, completed=before, text="")
        yield lambda count=1, text="": bar.update(task, advance=count, **({"text": text} if text else {}))


def plain(what: str, total: int, before: int) -> Callable[..., None]:
    """Prints a line on stderr every ten seconds, and one at the end."""
    done, start = before, time.monotonic()
    shown = start

    def advance(count: int = 1, text: str = "") -> None:
        nonlocal done, shown
        done += count
        now = time.monotonic()
        if count and (done == total or now - shown >= PLAIN_SECONDS):
            left = (now - start) / (done - before) * (total - done)
            print(f"{what} {done}/{total}  {text}  {left:.0f} s left", file=sys.stderr, flush=True)
            shown = now

    return advance
