"""Each method against a baseline and against all others, over the same draws of examples and the same seeds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, permutations
from statistics import fmean
from typing import NamedTuple

from peft_cli.report.document import Cell, Grid, cells
from peft_cli.report.intervals import ABSENT, CONFIDENCE, digits, interval
from peft_cli.report.runs import Run
from peft_cli.report.significance import SignFlip, holm, sign_flip
from peft_cli.report.tables import Row, labels

SIGNIFICANT = 1 - CONFIDENCE
LOWER_IS_BETTER = ("ter", "validation loss")  # how the names of such scores begin
COLUMNS = ("method", "pairs", "difference", "better in", "p", "smallest p", "p (Holm)")
NOTES = (
    f"difference: mean over pairs of runs with the same seeds and examples, ± half the {CONFIDENCE:.0%} t-interval",
    "p: exact sign-flip test, two-sided; smallest p: what so many pairs can reach at best; Holm: over the methods of "
    f"this table; bold: p (Holm) below {SIGNIFICANT:.2g}",
)
ITEMS_NOTE = (
    "over items: {confidence:.0%} interval of the same difference by {resamples:,} paired resamples of the test "
    "examples; it says nothing about other seeds"
)


class Pair(NamedTuple):
    """Two runs with the same seeds and training examples, and the score of the first minus that of the second."""

    one: Run
    other: Run
    difference: float


class Comparison(NamedTuple):
    """A row against the baseline."""

    label: str
    pairs: list[Pair]
    test: SignFlip

    @property
    def differences(self) -> list[float]:
        """The difference of each pair."""
        return [pair.difference for pair in self.pairs]


def sign(metric: str) -> int:
    """Returns 1 where more of a score is better, -1 where less is."""
    return -1 if metric.startswith(LOWER_IS_BETTER) else 1


def pairs_of(one: Row, other: Row, metric: str) -> list[Pair]:
    """Returns the runs of two rows with the same seeds and training examples that both have the metric."""
    known = {run.seeds: run for run in other.runs} if one.is_trained and other.is_trained else {}
    found = []
    for run in one.runs:
        partner = known.get(run.seeds)
        if partner and run.fields.get("data.sha256.train") == partner.fields.get("data.sha256.train"):
            score, its = run.score(metric), partner.score(metric)
            if score is not None and its is not None:
                found.append(Pair(run, partner, score - its))
    return found


def find_baseline(rows: Sequence[Row], baseline: str) -> Row | str:
    """Returns the row of a method or label, or why there is none."""
    by_label = dict(zip(labels(rows), rows, strict=True))
    fitting = [row for label, row in by_label.items() if baseline in (label, row.method)]
    if len(fitting) == 1:
        return fitting[0]
    there = ", ".join(by_label)
    if fitting:
        return f"{baseline} has {len(fitting)} rows; --baseline takes one of {there}"
    return f"no {baseline} to compare with; --baseline takes one of {there}"


def comparison_grid(rows: Sequence[Row], baseline: str, metric: str, resamples: int) -> Grid | str:
    """Returns the paired comparison of all rows with the baseline, or why there is none."""
    base = find_baseline(rows, baseline)
    if isinstance(base, str):
        return base
    found = []
    for label, row in zip(labels(rows), rows, strict=True):
        if row is not base and (pairs := pairs_of(row, base, metric)):
            found.append(Comparison(label, pairs, sign_flip([pair.difference for pair in pairs])))
    if not found:
        return f"no run shares its seeds and examples with one of {baseline}, so nothing can be compared with it"
    corrected = holm([comparison.test.p for comparison in found])
    precision = digits(run.score(metric) for row in rows for run in row.runs)
    lines: list[list[Cell]] = []
    reasons: dict[str, None] = {}
    for comparison, p in zip(found, corrected, strict=True):
        line = comparison_cells(comparison, p, precision, sign(metric))
        lines.append([*line, *(item_cells(comparison, metric, resamples, precision, reasons) if resamples else ())])
    headers = [*COLUMNS, *(("over items", "p (items)") if resamples else ())]
    items = [ITEMS_NOTE.format(confidence=CONFIDENCE, resamples=resamples)] if resamples else []
    return Grid(headers, lines, f"{metric}: difference from {baseline}", [*NOTES, *items, *reasons])


def comparison_cells(comparison: Comparison, corrected: float, precision: int, direction: int) -> list[Cell]:
    """Returns the line of a comparison, up to what is over items."""
    mean, half = interval(comparison.differences)
    better = sum(direction * difference > 0 for difference in comparison.differences)
    n, (p, smallest, is_exact) = len(comparison.pairs), comparison.test
    within = ABSENT if half is None else f"{half:.{precision}f}"
    return [
        *cells([comparison.label, n]),
        Cell(f"{mean:+.{precision}f} ± {within}", mean, corrected < SIGNIFICANT),
        Cell(f"{better} of {n}", better / n),
        *(Cell(probability(one, is_exact), one) for one in (p, smallest, corrected)),
    ]


def item_cells(
    comparison: Comparison, metric: str, resamples: int, precision: int, reasons: dict[str, None]
) -> list[Cell]:
    """Returns the two cells of the bootstrap over items; where it is not possible the reason goes to `reasons`."""
    from peft_cli.report.bootstrap import bootstrap, items_of

    pairs = []
    for pair in comparison.pairs:
        one, other = items_of(pair.one, metric), items_of(pair.other, metric)
        if isinstance(one, str) or isinstance(other, str):
            reasons[f"over items: absent where a run has {one if isinstance(one, str) else other}"] = None
            return cells([ABSENT, ABSENT])
        pairs.append((one, other))
    if len({len(items.added) for items in chain(*pairs)}) > 1:
        reasons["over items: absent where runs have predictions of different numbers of examples"] = None
        return cells([ABSENT, ABSENT])
    drawn = bootstrap(pairs, resamples)
    span = f"{drawn.low:+.{precision}f} to {drawn.high:+.{precision}f}"
    return [Cell(span, drawn.mean), Cell(probability(drawn.p, True), drawn.p)]


def probability(p: float, is_exact: bool) -> str:
    """Returns a p with two digits that matter."""
    return f"{'' if is_exact else '≈ '}{p:.2g}" if p >= 1e-4 else f"{p:.0e}"


def best(rows: Sequence[Row], metric: str) -> Row | None:
    """Returns the row that is better than every other trained one, each time significantly (Holm); None without one."""
    means = [(sign(metric) * fmean(scores), row) for row in rows if row.is_trained and (scores := row.scores(metric))]
    if len(means) < 2 or len(means) < sum(row.is_trained for row in rows):
        return None
    (_, first), *rest = sorted(means, key=lambda pair: -pair[0])
    ps = []
    for _, row in rest:  # the closest one first: most tables end there
        pairs = pairs_of(first, row, metric)
        ps.append(sign_flip([pair.difference for pair in pairs]).p if pairs else 1.0)
        if ps[-1] >= SIGNIFICANT:
            return None
    return first if max(holm(ps)) < SIGNIFICANT else None


def win_shares(groups: Sequence[Sequence[tuple[str, Row]]], metric: str) -> dict[tuple[str, str], tuple[float, int]]:
    """Returns for each ordered two of the labels in what share of pairs the first is better, and the number of pairs.

    `groups` are the labels and rows of tables; a tie is half a win for each.
    """
    wins: dict[tuple[str, str], list[float]] = {}
    for group in groups:
        for (first, one), (second, other) in permutations(group, 2):
            found = [sign(metric) * pair.difference for pair in pairs_of(one, other, metric)]
            wins.setdefault((first, second), []).extend((d > 0) + 0.5 * (d == 0) for d in found)
    return {key: (fmean(values), len(values)) for key, values in wins.items() if values}
