"""Learning curves: the loss on validation examples against steps, from each run's log."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean

from matplotlib.figure import Figure

from peft_cli.report.figures.panels import panels
from peft_cli.report.figures.places import places
from peft_cli.report.tables import Row, Table

VALIDATED = re.compile(rb'^.*"validation_loss".*$', re.MULTILINE)


def draw(tables: Sequence[Table], metrics: Sequence[str]) -> Iterator[tuple[str, str, Figure]]:
    """A figure for each place whose runs were validated."""
    for place in places(tables):
        curves = {}
        for shots, group in place.panels():
            found = {label: mean_curve(row) for label, row in group if label in place.looks}
            found = {label: curve for label, curve in found.items() if len(curve) > 1}
            if found:
                curves[shots] = found
        if not curves:
            continue
        figure, axes = panels(list(curves), place.looks, has_lines=True)
        for one, found in zip(axes, curves.values(), strict=True):
            for label, curve in found.items():
                steps, means, lows, highs = zip(*curve, strict=True)
                look = place.looks[label]
                one.plot(steps, means, **look.line, markevery=max(1, len(steps) // 5))
                one.fill_between(steps, lows, highs, color=look.colour, alpha=0.12, linewidth=0)
            one.set_xlabel("step", fontsize=8)
            one.set_ylabel("validation loss", fontsize=8)
        text = f"Learning curves, {place.title}: validation loss, means over the runs that came so far"
        yield place.title, f"{text}, bands: from the lowest to the highest", figure


def mean_curve(row: Row) -> list[tuple[int, float, float, float]]:
    """(step, mean, lowest, highest) over the runs that were validated at a step."""
    losses = defaultdict(list)
    for run in row.runs:
        for step, loss in validated(run.folder / "log.jsonl"):
            losses[step].append(loss)
    return [(step, fmean(found), min(found), max(found)) for step, found in sorted(losses.items())]


def validated(path: Path) -> Iterator[tuple[int, float]]:
    """The validations of a log; a log that is absent or has a broken line has none there."""
    if not path.exists():
        return
    for line in VALIDATED.findall(path.read_bytes()):
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if row["validation_loss"] is not None:
            yield row["step"], row["validation_loss"]
