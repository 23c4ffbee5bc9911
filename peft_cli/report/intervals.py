"""Means over seeds with their intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from math import fsum
from statistics import fmean

CONFIDENCE = 0.95
ABSENT, NOT_RUN = "-", "not run"  # in cells without a number


@cache
def t_quantile(n: int) -> float:
    """Returns Student's t for the two-sided interval of the mean of `n` values."""
    from scipy.special import stdtrit  # not at the top: a quarter of a second; scipy.stats takes three times as long

    return float(stdtrit(n - 1, (1 + CONFIDENCE) / 2))


def interval(values: Sequence[float]) -> tuple[float, float | None]:
    """Returns the mean, and half the width of its t-interval; None where one value has none."""
    n, mean = len(values), fmean(values)
    if n == 1:
        return mean, None
    variance = fsum((value - mean) ** 2 for value in values) / (n - 1)
    return mean, t_quantile(n) * (variance / n) ** 0.5


def estimate(values: Sequence[float] | None, digits: int = 1) -> str:
    """Returns a score over the runs of a row, as in "52.1 ± 1.3"; absent where there is none."""
    if not values:
        return ABSENT
    mean, half = interval(values)
    return f"{mean:.{digits}f} ± {ABSENT if half is None else f'{half:.{digits}f}'}"


def digits(values: Iterable[float | None]) -> int:
    """Returns how many digits after the point the scores of a column have: NIST and CIDEr are no percentages."""
    return 1 if max((abs(value) for value in values if value is not None), default=0.0) >= 15 else 2
