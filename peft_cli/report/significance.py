"""Exact tests of paired differences, and the correction for many of them.

By hand: scipy's permutation_test looks at every choice of signs one by one, 2 ** n of them, where halves can be counted
against each other; neither scipy nor numpy has Holm's correction.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

MOST_EXACT = 40  # pairs whose 2 ** n signs are all counted; for more pairs signs are drawn
SAMPLES = 100_000
MOST_KEPT = 64  # eights of pairs whose drawn signs are kept for the next test, of 100 kB each
UNITS = 2**40  # the largest difference; in whole numbers equal sums are equal


class SignFlip(NamedTuple):
    """A two-sided test of differences that are symmetric around zero if nothing differs."""

    p: float
    smallest: float  # that so many pairs can have
    is_exact: bool


def sign_flip(differences: Sequence[float]) -> SignFlip:
    """Returns the share of all 2 ** n choices of signs that bring the sum as far from zero as it is, or further.

    Exact up to MOST_EXACT pairs: the sums under all signs of one half are counted against those of the other half
    (Fisher, 1935). Beyond, SAMPLES choices are drawn, always the same ones.
    """
    values = np.asarray(differences, float)
    signed = np.rint(values / (np.abs(values).max() or 1.0) * UNITS).astype(np.int64)
    whole, observed, n = np.abs(signed), abs(int(signed.sum())), len(signed)
    if n > MOST_EXACT:
        return sampled(whole, observed)
    left, right = signed_sums(whole[: n // 2]), np.sort(signed_sums(whole[n // 2 :]))
    below = np.searchsorted(right, -observed - left, side="right").sum()
    above = len(right) * len(left) - np.searchsorted(right, observed - left, side="left").sum()
    return SignFlip(min(1.0, float(below + above) / 2**n), min(1.0, 2 / 2**n), True)


def signed_sums(values: np.ndarray) -> np.ndarray:
    """Returns the sums of `values` [n] under every choice of their signs [2 ** n]."""
    sums = np.zeros(1, np.int64)
    for value in values:
        sums = np.concatenate([sums - value, sums + value])
    return sums


def sampled(whole: np.ndarray, observed: int) -> SignFlip:
    """Returns the test by drawn signs; the observed signs count as one of them, so p is never zero."""
    groups = np.pad(whole, (0, -len(whole) % 8)).reshape(-1, 8)
    sums = np.zeros(SAMPLES, np.int64)
    for i, group in enumerate(groups):
        sums += signed_sums(group).take(draw_signs(i))
    extreme = 1 + int((np.abs(sums) >= observed).sum())
    return SignFlip(extreme / (SAMPLES + 1), 1 / (SAMPLES + 1), False)


@lru_cache(maxsize=MOST_KEPT)
def draw_signs(i: int) -> np.ndarray:
    """Returns choices of signs [SAMPLES] for the i-th eight pairs, as indices of `signed_sums`; always the same."""
    return np.random.default_rng(i).integers(0, 2**8, SAMPLES, dtype=np.uint8)


def holm(ps: Sequence[float]) -> list[float]:
    """Returns each p corrected for being one of several (Holm, 1979): the family errs at most as often as one test."""
    corrected, running = [0.0] * len(ps), 0.0
    for rank, i in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        running = max(running, min(1.0, (len(ps) - rank) * ps[i]))
        corrected[i] = running
    return corrected
