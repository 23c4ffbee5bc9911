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
    """A correlation of scipy's times 100; undefined where a text is no number or all numbers of a side are alike."""
    signature = f"scipy|version:{scipy.__version__}"
    sides = {"predictions": list(map(number, predictions)), "references": [number(refs[0]) for refs in references]}
    for side, values in sides.items():
        if None in values:
            return Score({name: None}, signature, reason=f"{values.count(None)} of the {side} are no numbers")
        if len(set(values)) < 2:
            return Score({name: None}, signature, reason=f"all {side} are alike")
    return Score({name: 100 * float(function(*sides.values()).statistic)}, signature)


def number(text: str) -> float | None:
    """The finite number that `text` is, if it is one."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
