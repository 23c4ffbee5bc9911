"""Pearson correlation of predicted numbers by scipy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import scipy
from scipy.stats import pearsonr

from peft_cli.metrics import Score
from peft_cli.metrics.protocols import Protocol


def pearson(predictions: Sequence[str], references: Sequence[Sequence[str]], protocol: Protocol) -> Score:
    """Pearson correlation times 100."""
    return correlate("pearson", pearsonr, predictions, references)


def correlate(name: str, function: Callable, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> Score:
    """A correlation by scipy's `function`, times 100; None where it is undefined."""
    truth = [refs[0] for refs in references]
    sides = {"predictions": [*map(parse_number, predictions)], "references": [*map(parse_number, truth)]}
    reason = next(filter(None, (undefined_reason(side, values) for side, values in sides.items())), None)
    value = math.nan if reason else 100 * float(function(*sides.values()).statistic)
    if not reason and math.isnan(value):
        reason = "the numbers are too large"
    return Score({name: None if reason else value}, f"scipy|version:{scipy.__version__}", reason=reason)


def undefined_reason(side: str, values: Sequence[float | None]) -> str | None:
    """Why there is no correlation with `values`: a text is no number, or all numbers are equal."""
    if None in values:
        return f"{values.count(None)} of the {side} are no numbers"
    return f"all {side} are equal" if len(set(values)) == 1 else None


def parse_number(text: str) -> float | None:
    """The number in `text`; None for a text that is no finite number."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
