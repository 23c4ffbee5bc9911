"""Plans of sweeps whose finished runs are the tests' own."""

import json
import os

import pytest

from peft_cli.run_folder.failure import Failure
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


def finish(run, seconds=30.0, memory=2**30, **costs):
    steps = run.config["train"]["steps"]
    cost = {
        "total_seconds": seconds, "peak_memory_bytes": memory, "generation_seconds_per_example": 0.5,
        "step_seconds": {"median": 0.1}, **costs,
    }  # fmt: skip
    run.folder.open(run.config, goes_on=False)
    training = {"steps": steps, "train_seconds": 0.1 * steps}
    run.folder.finish({"config": run.config, "cost": cost, "training": training, "data": {"n_test": 10}, "scores": {}})
    return read_cost(run.folder.path, json.loads((run.folder.path / "result.json").read_text()))


def refuse(config):
    if config["shots"] == 900:
        raise ValueError("shots=900 asks for more than there are")


def planned(runs, jobs=None, jobs_per_gpu=1, engine=None):
    options = Options(jobs, False, "probe" if engine else True, jobs_per_gpu)
    return plan(runs, {str(run.folder.path): run.state() for run in runs}, refuse, options, engine)


@pytest.fixture
def gpus(tmp_path, monkeypatch):
    """Put an nvidia-smi of the given GPUs, in MiB, on PATH."""

    def make(*sizes):
        folder = tmp_path / "bin"
        folder.mkdir()
        rows = "\n".join(f"{i}, GPU-{i}, {size}" for i, size in enumerate(sizes))
        script = f'case "$1" in *memory*) echo "{rows}";; *) seq 0 {len(sizes) - 1};; esac'
        (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "nvidia-smi").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    return make


def test_each_state_is_shown_and_nothing_is_started(tmp_path):
    runs = [make(tmp_path, seed=seed) for seed in range(4)] + [make(tmp_path, shots=900)]
    finish(runs[0])
    runs[1].folder.open({}, goes_on=False)
    RunFolder(runs[2].folder.path).write_error(Failure("KeyError", False), "", "")
    before = sorted(tmp_path.rglob("*"))
    text = planned(runs)
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


def test_another_shape_is_no_estimate(tmp_path):
    assert Known([finish(make(tmp_path))]).estimate(make(tmp_path, batch_size=8)) is None
    assert "not estimated: 1 runs, like which none is finished; plan=probe times" in planned(
        [make(tmp_path, batch_size=8)]
    )


def test_jobs_share_the_time_and_add_up_the_memory(tmp_path):
    finish(make(tmp_path, seed=0), 600.0)
    runs = [make(tmp_path, seed=seed) for seed in range(1, 5)]
    assert "left: about 20 min with jobs=2, 2.0 GiB of memory" in planned(runs, jobs=2)


def test_a_probe_times_each_shape_once_in_a_folder_of_its_own(tmp_path):
    probed = []

    def engine(runs):
        probed.extend(runs)
        for run in runs:
            finish(run, seconds=4.0)
        return {}

    runs = [make(tmp_path / "runs", seed=seed, batch_size=size) for seed in (0, 1) for size in (4, 8)]
    text = planned(runs, engine=engine)
    assert len(probed) == 2 and all(run.config["train"]["steps"] == 8 for run in probed)
    assert "not estimated" not in text and not (tmp_path / "runs").exists()
    assert not any(run.folder.path.exists() for run in probed)


def test_a_sum_names_what_is_not_in_it(tmp_path):
    finish(make(tmp_path, seed=0), 600.0)
    runs = [make(tmp_path, seed=1), make(tmp_path, batch_size=8), make(tmp_path, batch_size=9)]
    text = planned(runs)
    assert "\n1 of 3 runs that are left: about 10 min with jobs=1" in text
    assert "\nnot in that: 2 runs, like which none is finished; plan=probe times" in text


def test_a_plan_of_a_sweep_prints_and_starts_nothing(tmp_path, capsys):
    runs = [make(tmp_path, seed=seed) for seed in range(3)]
    finish(runs[0])
    composed = [(run.overrides, run.config, run.choices) for run in runs]
    assert sweep(composed, Options(None, False, True, 1), None, refuse) == [None] * 3
    assert "3 runs: 2 new, 1 finished" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("sizes", "needs"),
    [
        ((80_000, 7_000), "needs 6.0 GiB of each GPU, besides CUDA's own; the smallest has 6.8 GiB: it fits"),
        ((80_000, 6_000), "the smallest has 5.9 GiB: it does not fit, so lower jobs_per_gpu"),
        (("[N/A]", 80_000), "how much these GPUs have is unknown here"),
    ],
)
def test_a_plan_has_the_memory_of_runs_on_one_gpu(tmp_path, gpus, sizes, needs):
    gpus(*sizes)
    for seed, peak in enumerate((2**30, 2 * 2**30)):
        finish(make(tmp_path, seed=seed), peak_reserved_bytes=peak, memory_kind="cuda")
    text = planned([make(tmp_path, seed=7), make(tmp_path, seed=8)], jobs_per_gpu=3)
    assert needs in text and "left: at least 30 s with jobs=6" in text


def test_memory_of_a_cpu_is_no_memory_of_a_gpu(tmp_path):
    finish(make(tmp_path), memory_kind="rss")
    text = planned([make(tmp_path, seed=7)], jobs_per_gpu=3)
    assert "jobs_per_gpu=3: its memory is unknown, as no run like these has finished on a GPU" in text


def test_results_of_other_systems_and_broken_ones_cost_nothing_else(tmp_path, capsys):
    finish(make(tmp_path, seed=0), 600.0)
    odd = {
        "system": {"system": {"name": "tgen"}, "scores": {}},
        "none": {},
        "text": {"config": {}, "cost": "x", "training": None, "data": {}},
        "huge": json.loads((make(tmp_path, seed=0).folder.path / "result.json").read_text()),
    }
    odd["huge"]["cost"]["total_seconds"] = 1e308
    for name, result in odd.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text(json.dumps(result))
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "result.json").write_text("")
    assert "left: about 10 min with jobs=1" in planned([make(tmp_path, seed=1)])
    warnings = capsys.readouterr().err
    assert [f"/{name}/" in warnings for name in ("system", "none", "text", "huge", "empty")] == [
        False,
        True,
        True,
        True,
        True,
    ]
