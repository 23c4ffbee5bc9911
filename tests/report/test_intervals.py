"""The t-interval over seeds covers what it says it does."""

import numpy as np
import pytest

from peft_cli.report.intervals import digits, estimate, interval


@pytest.mark.parametrize("n", [3, 5, 10])
def test_the_interval_covers_the_mean_in_94_to_96_percent(n):
    draws = np.random.default_rng(n).normal(40, 3, (20_000, n)).tolist()
    inside = [abs(mean - 40) <= half for mean, half in map(interval, draws)]
    assert 0.94 <= np.mean(inside) <= 0.96


def test_an_estimate_without_a_value_is_absent():
    assert estimate(None) == "-" and estimate([]) == "-" and estimate([40.0]) == "40.0 ± -"


@pytest.mark.parametrize(("values", "expected"), [([69.7, 46.2], 1), ([8.6, 2.4], 2), ([None], 2), ([-20.0], 1)])
def test_small_scores_have_two_digits(values, expected):
    assert digits(values) == expected
