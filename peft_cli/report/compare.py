"""Each method against a baseline and against all others, over the same draws of examples and the same seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations
from statistics import fmean
from typing import NamedTuple

from peft_cli.report.document import Cell, Grid, cells
from peft_cli.report.intervals import ABSENT, CONFIDENCE, digits, interval
from peft_cli.report.runs import Run
from peft_cli.report.significance import SignFlip, holm, sign_flip
from peft_cli.report.tables import Row, labels

SIGNIFICANT = 1 - CONFIDENCE
LOWER_IS_BETTER = ("ter",)  # how the names of such scores begin
COLUMNS = ("method", "pairs", "difference", "better in", "p", "smallest p", "p (Holm)")
NOTES = (
    f"difference: mean over pairs of runs with the same seeds and examples, ± half the {CONFIDENCE:.0%} t-interval",
    "p: exact sign-flip test, two-sided; smallest p: what so many pairs can reach at best; Holm: over the methods of "
    f"this table; bold: p (Holm) below {SIGNIFICANT:.2g}",
)


class Comparison(NamedTuple):
    """A row against the baseline."""

    label: str
    pairs: list[tuple[Run, Run]]
    differences: list[float]
    test: SignFlip


def sign(name: str) -> int:
    """1 where more of a score is better, -1 where less is."""
    return -1 if name.startswith(LOWER_IS_BETTER) else 1


def paired(one: Row, other: Row, name: str) -> list[tuple[Run, Run]]:
    """The runs of two rows with the same seeds and training examples that both have the score `name`."""
    known = {run.seeds: run for run in other.runs if run.seeds and not run.is_system}
    pairs = [(run, known[run.seeds]) for run in one.runs if run.seeds in known and not run.is_system]
    return [pair for pair in pairs if is_same_draw(*pair) and all(value(run, name) is not None for run in pair)]


def is_same_draw(one: Run, other: Run) -> bool:
    """Whether two runs were trained on the same examples."""
    return one.fields.get("data.sha256.train") == other.fields.get("data.sha256.train")


def value(run: Run, name: str) -> float | None:
    """A run's score."""
    return run.fields.get(f"scores.{name}")


def differences(pairs: Sequence[tuple[Run, Run]], name: str) -> list[float]:
    """The score of the first run of each pair minus that of the second."""
    return [value(one, name) - value(other, name) for one, other in pairs]


def chosen(rows: Sequence[Row], baseline: str) -> Row | str:
    """The row of a method or label, or why there is none."""
    named = dict(zip(labels(rows), rows, strict=True))
    fitting = [row for label, row in named.items() if baseline in (label, row.method)]
    if len(fitting) == 1:
        return fitting[0]
    there = ", ".join(named)
    return f"{baseline} stands in {len(fitting)} rows; --baseline takes one of {there}" if fitting else (
        f"no {baseline} to compare with; --baseline takes one of {there}"
    )  # fmt: skip


def comparisons(rows: Sequence[Row], base: Row, name: str) -> list[Comparison]:
    """Every other row that has pairs with the baseline."""
    found = []
    for label, row in zip(labels(rows), rows, strict=True):
        pairs = [] if row is base else paired(row, base, name)
        if pairs:
            values = differences(pairs, name)
            found.append(Comparison(label, pairs, values, sign_flip(values)))
    return found


def comparison_grid(rows: Sequence[Row], baseline: str, name: str, resamples: int) -> Grid | str:
    """The paired comparison of all rows with the baseline, or why there is none."""
    base = chosen(rows, baseline)
    if isinstance(base, str):
        return base
    found = comparisons(rows, base, name)
    if not found:
        return f"no run shares its seeds and examples with one of {baseline}, so nothing can be compared with it"
    corrected = holm([comparison.test.p for comparison in found])
    precision = digits([value(run, name) for row in rows for run in row.runs])
    lines, reasons = [], {}
    for comparison, p in zip(found, corrected, strict=True):
        line = told(comparison, p, precision, sign(name))
        lines.append([*line, *(opinion(comparison, name, resamples, precision, reasons) if resamples else ())])
    headers = [*COLUMNS, *(("over items", "p (items)") if resamples else ())]
    return Grid(headers, lines, f"{name}: difference from {baseline}", [*NOTES, *items_note(resamples), *reasons])


def items_note(resamples: int) -> Iterator[str]:
    """What is to be known about the second opinion."""
    if resamples:
        yield (
            f"over items: {CONFIDENCE:.0%} interval of the same difference by {resamples:,} paired resamples of the "
            "test examples; it says nothing about other seeds"
        )


def told(comparison: Comparison, corrected: float, precision: int, direction: int) -> list[Cell]:
    """The line of a comparison, without the second opinion."""
    mean, half = interval(comparison.differences)
    better = sum(direction * difference > 0 for difference in comparison.differences)
    n = len(comparison.differences)
    within = ABSENT if half is None else f"{half:.{precision}f}"
    return [
        *cells([comparison.label, n]),
        Cell(f"{mean:+.{precision}f} ± {within}", mean, corrected < SIGNIFICANT),
        Cell(f"{better} of {n}", better / n),
        Cell(probability(comparison.test.p, comparison.test.is_exact), comparison.test.p),
        Cell(probability(comparison.test.floor, comparison.test.is_exact), comparison.test.floor),
        Cell(probability(corrected, comparison.test.is_exact), corrected),
    ]


def opinion(comparison: Comparison, name: str, resamples: int, precision: int, reasons: dict[str, None]) -> list[Cell]:
    """The two cells of the bootstrap over items; where it is not possible the reason goes to `reasons`."""
    from peft_cli.report.bootstrap import bootstrap, items_of

    pairs = []
    for one, other in comparison.pairs:
        found = items_of(one, name), items_of(other, name)
        reason = next((items for items in found if isinstance(items, str)), None)
        if reason:
            reasons[f"over items: absent where a run has {reason}"] = None
            return cells([ABSENT, ABSENT])
        pairs.append(found)
    drawn = bootstrap(pairs, resamples)
    span = f"{drawn.low:+.{precision}f} to {drawn.high:+.{precision}f}"
    return [Cell(span, drawn.mean), Cell(probability(drawn.p, True), drawn.p)]


def probability(p: float, is_exact: bool) -> str:
    """A p with two digits that matter."""
    return f"{'' if is_exact else '≈ '}{p:.2g}" if p >= 1e-4 else f"{p:.0e}"


def best(rows: Sequence[Row], name: str) -> Row | None:
    """The row that is better than every other trained one, each time significantly (Holm); None where none is."""
    trained = [row for row in rows if row.runs[0].seeds and not row.runs[0].is_system]
    scored = [row for row in trained if all(value(run, name) is not None for run in row.runs)]
    if len(scored) < 2 or len(scored) < len(trained):
        return None
    first, *rest = sorted(scored, key=lambda row: -sign(name) * fmean(value(run, name) for run in row.runs))
    ps = []
    for row in rest:  # the closest one first: most tables end there
        pairs = paired(first, row, name)
        ps.append(sign_flip(differences(pairs, name)).p if pairs else 1.0)
        if ps[-1] >= SIGNIFICANT:
            return None
    return first if max(holm(ps)) < SIGNIFICANT else None


def win_shares(groups: Sequence[Sequence[tuple[str, Row]]], name: str) -> dict[tuple[str, str], tuple[float, int]]:
    """For each ordered two of the labels: in what share of pairs the first is better, and how many pairs there are.

    `groups` are the labels and rows of tables; a tie is half a win for each.
    """
    counts: dict[tuple[str, str], list[float]] = {}
    for group in groups:
        for (first, one), (second, other) in permutations(group, 2):
            found = [sign(name) * difference for difference in differences(paired(one, other, name), name)]
            counts.setdefault((first, second), []).extend((d > 0) + 0.5 * (d == 0) for d in found)
    return {key: (fmean(values), len(values)) for key, values in counts.items() if values}
