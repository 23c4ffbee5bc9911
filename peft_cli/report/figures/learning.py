"""Learning curves: the loss on validation examples against steps, from each run's log."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean

from matplotlib.figure import Figure

from peft_cli.report.figures.benchmarks import benchmarks
from peft_cli.report.figures.panels import panels
from peft_cli.report.figures.style import MOST_BANDS, Series, draw_series
from peft_cli.report.folders import BROKEN
from peft_cli.report.runs import is_number
from peft_cli.report.tables import Row, Table
from peft_cli.run_folder.files import read_lines


def draw(tables: Sequence[Table], chosen: Sequence[str]) -> Iterator[tuple[str, str, Figure]]:
    """Yields a figure for each benchmark whose runs were validated."""
    for benchmark in benchmarks(tables):
        curves: dict[str, dict[str, Series]] = {}
        for shots, group in benchmark.panels():
            found = {label: mean_curve(row) for label, row in group if label in benchmark.looks}
            found = {label: curve for label, curve in found.items() if len(curve.x) > 1}
            if found:
                curves[shots] = found
        if not curves:
            continue
        figure, axes = panels(list(curves), benchmark.looks, has_lines=True)
        for one, found in zip(axes, curves.values(), strict=True):
            draw_series(one, found, benchmark.looks)
            one.set_xlabel("step")
            one.set_ylabel("validation loss")
        kind = "bands" if len(benchmark.looks) <= MOST_BANDS else "bars"
        text = f"Learning curves, {benchmark.title}: validation loss, means over the runs that came so far"
        yield benchmark.title, f"{text}, {kind}: from the lowest to the highest", figure


def mean_curve(row: Row) -> Series:
    """Returns mean, lowest and highest over the runs that were validated at a step."""
    losses = defaultdict(list)
    for run in row.runs:
        for step, loss in validations(run.folder / "log.jsonl"):
            losses[step].append(loss)
    steps = sorted(losses)
    return Series(steps, *([over_runs(losses[step]) for step in steps] for over_runs in (fmean, min, max)))


def validations(path: Path) -> Iterator[tuple[float, float]]:
    """Yields step and loss of each validation in a log, up to the first line that is broken."""
    try:
        for line in read_lines(path):
            if b'"validation_loss"' in line:
                row = json.loads(line)
                if is_number(row["step"]) and is_number(row["validation_loss"]):
                    yield row["step"], row["validation_loss"]
    except BROKEN:
        return
