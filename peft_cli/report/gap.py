"""How much worse a method is on what it has not seen: the gap between the seen and the unseen part of a test set."""

from __future__ import annotations

from collections.abc import Sequence

from peft_cli.report.document import Cell, Grid, cells
from peft_cli.report.intervals import digits, estimate, interval
from peft_cli.report.tables import Row, labels

SEEN, UNSEEN = "seen", "unseen"


def seen_and_unseen(row: Row, metric: str) -> list[tuple[float, float]]:
    """Returns both scores of each run that has the metric on both parts."""
    pairs = ((run.score(f"{metric}_{SEEN}"), run.score(f"{metric}_{UNSEEN}")) for run in row.runs)
    return [(seen, unseen) for seen, unseen in pairs if seen is not None and unseen is not None]


def gap_grid(rows: Sequence[Row], metric: str) -> Grid | None:
    """Returns seen, unseen and their difference in each run; None where no run has both parts."""
    lines = []
    for row, label in zip(rows, labels(rows), strict=True):
        pairs = seen_and_unseen(row, metric)
        if pairs:
            seen, unseen = zip(*pairs, strict=True)
            difference = [one - other for one, other in pairs]
            precision = digits([*seen, *unseen])
            values = [Cell(estimate(part, precision), interval(part)[0]) for part in (seen, unseen, difference)]
            lines.append([*cells([label, len(pairs)]), *values])
    columns = ["method", "runs", SEEN, UNSEEN, f"{SEEN} - {UNSEEN}"]
    return Grid(columns, lines, f"{metric}: extrapolation gap") if lines else None
