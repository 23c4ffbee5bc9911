"""Costs relative to other methods, only within one machine, with the noise of timings."""

import pytest

from peft_cli.report.costs import cost_grids
from peft_cli.report.runs import parse_run
from peft_cli.report.tables import tables
from tests.report.results import result


def grids(*results):
    [table] = tables([parse_run(f"{i}", made) for i, made in enumerate(results)])
    return {grid.caption: grid for grid in cost_grids(table)}


def column(grid, name):
    return {row[0].text: row[grid.columns.index(name)].text for row in grid.rows}


def study(**changes):
    return [result(method, 50, seed, **changes) for method in ("pt", "spt", "ft") for seed in (0, 1)]


def test_costs_are_relative_to_full_and_to_prompt_tuning():
    found = grids(*study())
    assert column(found["Cost relative to ft, exact on any machine"], "stored")["pt"] == f"{19_200 / 3_554_304:.3g}"
    assert column(found["Cost relative to pt, exact on any machine"], "stored")["spt"] == "1.01"
    assert column(found["Cost, exact on any machine"], "GFLOP/step")["ft"] == "6.8"


def test_whether_tasks_share_a_batch_is_beside_what_a_task_stores():
    made = [result(method, 50, 0, cost__tensors_stored=n, cost__shares_batches=shares)
            for method, n, shares in (("pt", 1, True), ("ft", 40, False))]  # fmt: skip
    found = grids(*made)
    exact = found["Cost, exact on any machine"]
    assert column(exact, "one batch") == {"pt": "yes", "ft": "no"} and column(exact, "tensors")["pt"] == "1"
    assert "one batch" not in found["Cost relative to ft, exact on any machine"].columns
    assert column(found["Cost relative to ft, exact on any machine"], "tensors")["pt"] == "0.025"


def test_results_that_do_not_tell_have_no_such_column():
    exact = grids(*study())["Cost, exact on any machine"]
    assert "one batch" not in exact.columns and not any("one batch" in note for note in exact.notes)


def test_a_step_has_its_quartiles():
    steps = column(grids(*study())["Cost, measured on x86_64 (threads: 2)"], "step ms")
    assert steps["ft"] == "68.2 (64.8-71.6)"


def test_runs_that_shared_a_gpu_are_measured_apart():
    found = grids(*study(config__jobs_per_gpu=1), *(result("lora", 50, s, config__jobs_per_gpu=4) for s in (0, 1)))
    assert set(column(found["Cost, measured on x86_64 (threads: 2, 4 runs at once)"], "step ms")) == {"lora"}
    assert "lora" not in column(found["Cost, measured on x86_64 (threads: 2)"], "step ms")


def test_a_ratio_within_the_noise_is_marked():
    found = grids(*study())
    ratios = column(found["Cost relative to pt, measured on x86_64 (threads: 2)"], "step ms")
    assert ratios["spt"] == "1.01" and ratios["pt"] == "1"  # the floor is half a millisecond in 68
    repeated = [result("pt", 50, 0, cost__generation_seconds_per_example=0.2) for _ in range(2)]
    repeated[0]["cost"]["step_seconds"]["median"] *= 1.16
    found = grids(*study(), *repeated)
    grid = found["Cost, measured on x86_64 (threads: 2)"]
    assert any("16.0% at most in" in note and "A/A" in note for note in grid.notes)
    ratios = column(found["Cost relative to pt, measured on x86_64 (threads: 2)"], "step ms")
    assert ratios["spt"] == "≈ 1.01" and ratios["ft"] == "0.695"


def test_machines_are_never_mixed():
    found = grids(*study(), *(result("lora", 50, seed, environment__device="H200") for seed in (0, 1)))
    assert set(column(found["Cost, measured on H200 (threads: 2)"], "step ms")) == {"lora"}
    assert set(column(found["Cost, measured on x86_64 (threads: 2)"], "step ms")) == {"pt", "spt", "ft"}
    assert "Cost relative to ft, measured on H200 (threads: 2)" not in found
    notes = found["Cost, measured on H200 (threads: 2)"].notes
    assert "relative to ft: absent, as there are 0 rows of ft here" in notes


@pytest.mark.parametrize("energy", [None, 1200.0])
def test_what_nobody_measured_has_no_column(energy):
    found = grids(*study(cost__energy_joules=energy))
    assert ("energy J" in found["Cost, measured on x86_64 (threads: 2)"].columns) == (energy is not None)
