"""Plans of sweeps whose finished runs are the tests' own."""

import json
import time

import pytest

from peft_cli.run_folder.result import RunFolder
from peft_cli.sweep import Options, Run, sweep
from peft_cli.sweep.plan import Known, plan, read_cost

CHOICES = {"method": "pt", "backbone": "tiny-gpt2", "data": "mini"}


def make(runs, **changes):
    train = {"steps": changes.pop("steps", 100), "batch_size": changes.pop("batch_size", 4)}
    config = {
        "runs": str(runs), "shots": 50, "seed": 0, "data_seed": 0, "test_limit": 10, "method": {"lr": 0.1},
        "data": {"name": "mini"}, "backbone": {"name": "tiny-gpt2", "device": "cpu"}, "train": train, "wandb": {},
    }  # fmt: skip
    return Run([], config | changes, CHOICES)


def finish(run, seconds=30.0, memory=2**30):
    steps = run.config["train"]["steps"]
    cost = {
        "total_seconds": seconds, "peak_memory_bytes": memory, "generation_seconds_per_example": 0.5,
        "step_seconds": {"median": 0.1},
    }  # fmt: skip
    run.folder.open(run.config, goes_on=False)
    training = {"steps": steps, "train_seconds": 0.1 * steps}
    run.folder.finish({"config": run.config, "cost": cost, "training": training, "data": {"n_test": 10}, "scores": {}})
    return read_cost(run.folder.path, json.loads((run.folder.path / "result.json").read_text()))


def refuse(config):
    if config["shots"] == 900:
        raise ValueError("shots=900 asks for more than there are")


def told(runs, jobs=None, probe=None):
    return plan(runs, {str(run.folder.path): run.state() for run in runs}, refuse, jobs, probe)


def test_each_state_is_told_and_nothing_is_started(tmp_path):
    runs = [make(tmp_path, seed=seed) for seed in range(4)] + [make(tmp_path, shots=900)]
    finish(runs[0])
    runs[1].folder.open({}, goes_on=False)
    RunFolder(runs[2].folder.path).write_error("KeyError", False, "", "")
    before = sorted(tmp_path.rglob("*"))
    text = told(runs)
    assert [line.split()[0] for line in text.splitlines()[1:6]] == [
        "finished",
        "resumable",
        "failed",
        "new",
        "impossible",
    ]
    assert "shots=900 asks for more than there are" in text and "5 runs: 1 finished, 1 resumable, 1 failed" in text
    assert sorted(tmp_path.rglob("*")) == before


def test_other_seeds_cost_the_same(tmp_path):
    known = [finish(make(tmp_path, seed=seed), seconds) for seed, seconds in ((0, 10.0), (1, 20.0))]
    found = Known(known).estimate(make(tmp_path, seed=2, data_seed=5))
    assert (found.seconds, found.memory_bytes, found.source) == (15.0, 2**30, "2 other seeds")


def test_other_sizes_are_scaled(tmp_path):
    known = [finish(make(tmp_path), seconds=30.0)]  # 10 s of steps, 5 s of predictions, 15 s of all else
    found = Known(known).estimate(make(tmp_path, steps=300, test_limit=20, method={"lr": 0.5}))
    assert found.seconds == pytest.approx(15 + 30 + 10) and found.source == "1 other sizes, scaled"


def test_another_shape_tells_nothing(tmp_path):
    assert Known([finish(make(tmp_path))]).estimate(make(tmp_path, batch_size=8)) is None
    assert "not estimated: 1 runs; plan=probe times" in told([make(tmp_path, batch_size=8)])


def test_jobs_share_the_time_and_add_up_the_memory(tmp_path):
    finish(make(tmp_path, seed=0), 600.0)
    runs = [make(tmp_path, seed=seed) for seed in range(1, 5)]
    assert "left: about 20 min with jobs=2, 2.0 GiB of memory" in told(runs, jobs=2)


def test_a_probe_times_each_shape_once_in_a_folder_of_its_own(tmp_path):
    asked = []

    def engine(runs):
        asked.extend(runs)
        for run in runs:
            finish(run, seconds=4.0)
        return {}

    runs = [make(tmp_path / "runs", seed=seed, batch_size=size) for seed in (0, 1) for size in (4, 8)]
    text = told(runs, probe=engine)
    assert len(asked) == 2 and all(run.config["train"]["steps"] == 8 for run in asked)
    assert "not estimated" not in text and not (tmp_path / "runs").exists()
    assert not any(run.folder.path.exists() for run in asked)


def test_a_thousand_runs_are_planned_in_time(tmp_path, capsys):
    runs = [make(tmp_path, seed=seed) for seed in range(1000)]
    for run in runs[:100]:
        finish(run)
    start = time.process_time()
    sweep([(run.overrides, run.config, run.choices) for run in runs], Options(None, False, True, 1), None, refuse)
    assert time.process_time() - start < 10
    assert "1000 runs: 900 new, 100 finished" in capsys.readouterr().out
