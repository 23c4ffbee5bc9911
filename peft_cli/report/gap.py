"""How much worse a method is on what it has not seen: the gap between the seen and the unseen part of a test set."""

from __future__ import annotations

from collections.abc import Sequence

from peft_cli.report.document import Cell, Grid, cells
from peft_cli.report.intervals import digits, estimate, interval
from peft_cli.report.tables import Row, labels

SEEN, UNSEEN = "seen", "unseen"


def gaps(row: Row, name: str) -> list[tuple[float, float]]:
    """(seen, unseen) of each run that has the metric on both parts."""
    found = [(run.fields.get(f"scores.{name}_{SEEN}"), run.fields.get(f"scores.{name}_{UNSEEN}")) for run in row.runs]
    return [pair for pair in found if None not in pair]


def gap_grid(rows: Sequence[Row], name: str) -> Grid | None:
    """Seen, unseen and their difference in each run; None where no run has both parts."""
    lines = []
    for row, label in zip(rows, labels(rows), strict=True):
        pairs = gaps(row, name)
        if pairs:
            seen, unseen = zip(*pairs, strict=True)
            difference = [one - other for one, other in pairs]
            precision = digits([*seen, *unseen])
            values = [Cell(estimate(part, precision), interval(part)[0]) for part in (seen, unseen, difference)]
            lines.append([*cells([label, len(pairs)]), *values])
    columns = ["method", "runs", SEEN, UNSEEN, f"{SEEN} - {UNSEEN}"]
    return Grid(columns, lines, f"{name}: extrapolation gap") if lines else None
