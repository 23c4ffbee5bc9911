"""The sign-flip test against every choice of signs and against scipy; Holm against its definition."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import permutation_test

from peft_cli.report import significance
from peft_cli.report.significance import holm, sign_flip

DIFFERENCES = [
    [1.0, 2.0, 3.0], [0.5, -0.2, 1.1, 0.7], [0.0, 0.0, 1.0], [2.5], [0.1] * 6, [0.3, -0.3, 0.2, -0.2, 0.5, 0.1, -0.6],
    list(np.random.default_rng(0).normal(0.4, 1, 11)),
]  # fmt: skip


@pytest.mark.parametrize("values", DIFFERENCES)
def test_p_is_the_share_of_all_signs(values):
    sums = [
        abs(sum(sign * value for sign, value in zip(signs, values, strict=True)))
        for signs in product((-1, 1), repeat=len(values))
    ]
    expected = np.mean([total >= abs(sum(values)) - 1e-9 for total in sums])
    assert sign_flip(values).p == pytest.approx(expected) and sign_flip(values).is_exact


@pytest.mark.parametrize("values", [values for values in DIFFERENCES if len(values) > 1])
def test_p_is_that_of_scipy(values):
    theirs = permutation_test((np.array(values),), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip(values).p == pytest.approx(theirs.pvalue)


@pytest.mark.parametrize(("n", "smallest"), [(3, 0.25), (5, 0.0625), (6, 0.03125), (10, 0.001953125)])
def test_the_smallest_is_what_one_sided_differences_reach(n, smallest):
    test = sign_flip([1.0 + i / 7 for i in range(n)])
    assert test.smallest == smallest and test.p == smallest


def test_sampled_signs_come_close_to_all_of_them(monkeypatch):
    values = list(np.random.default_rng(1).normal(0.3, 1, 18))
    exact = sign_flip(values)
    monkeypatch.setattr(significance, "MOST_EXACT", 10)
    drawn = sign_flip(values)
    assert not drawn.is_exact and drawn.p == pytest.approx(exact.p, abs=0.005)


def test_equal_runs_have_p_one():
    assert sign_flip([0.0, 0.0, 0.0]).p == 1.0


def test_holm_rejects_what_stepping_down_rejects():
    for seed in range(50):
        ps = list(np.random.default_rng(seed).uniform(0, 0.1, 5))
        rejected = set()
        for rank, i in enumerate(np.argsort(ps)):
            if ps[i] > 0.05 / (len(ps) - rank):
                break
            rejected.add(int(i))
        assert {i for i, p in enumerate(holm(ps)) if p <= 0.05} == rejected


def test_holm_of_a_known_family():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06]) and holm([]) == []
