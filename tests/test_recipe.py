"""The learning rate of each step."""

from dataclasses import replace

from tests.test_train import RECIPE


def test_the_rate_rises_and_falls_to_zero():
    rates = [RECIPE.rate(step) for step in range(13)]  # 2 steps of warm-up
    assert rates[:3] == [0.5, 1.0, 1.0] and rates[-1] == 0
    assert rates[2:] == [(12 - step) / 10 for step in range(2, 13)]


def test_a_constant_rate_stays_after_the_warm_up():
    constant = replace(RECIPE, schedule="constant")
    assert [constant.rate(step) for step in range(12)] == [0.5] + 11 * [1.0]


def test_a_warm_up_as_long_as_the_run_never_falls():
    assert replace(RECIPE, warmup_steps=12).rate(11) == 1.0
