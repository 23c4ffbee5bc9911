"""Which runs stand side by side."""

from peft_cli.sweep import Run
from peft_cli.sweep.groups import grouped, told

SWITCHED_OFF = {"checkpointing": False, "compile": False, "cuda_graphs": False}


def run(seed=0, shots=50, mode="disabled", train=SWITCHED_OFF, **method):
    config = {
        "seed": seed, "data_seed": seed, "shots": shots, "runs": "runs", "wandb": {"mode": mode}, "train": train,
        "method": {"lr": 0.1, "scale_lr": 0.1, "length": 5} | method,
    }  # fmt: skip
    return Run([], config, {"data": "mini", "backbone": "tiny-gpt2", "method": "pt"})


def sizes(runs, size=8):
    return [len(group) for group in grouped(runs, size)]


def test_runs_that_differ_in_seeds_rates_and_shots_alone_stand_side_by_side():
    assert sizes([run(), run(seed=1), run(shots=10), run(lr=0.2, scale_lr=0.3)]) == [4]


def test_no_group_is_larger_than_asked():
    assert sizes([run(seed=seed) for seed in range(7)], size=3) == [3, 3, 1]


def test_what_differs_in_anything_else_stands_apart():
    assert sizes([run(), run(length=6), run(seed=1), run(seed=1, length=6)]) == [2, 2]


def test_the_untouched_backbone_and_a_mirrored_run_stand_alone():
    assert sizes([run(shots=0), run(), run(mode="offline"), run(seed=1, mode="offline")]) == [1] * 4


def test_a_run_with_a_switch_that_is_for_one_alone_stands_alone():
    assert all(
        sizes([run(seed=i, train=SWITCHED_OFF | {key: True}) for i in range(2)]) == [1, 1] for key in SWITCHED_OFF
    )


def test_a_line_tells_how_many_go_alone():
    line = told(grouped([run(), run(seed=1), run(length=6)], 2), 2)
    assert line.startswith("fuse=2: 3 runs in 2 processes; 1 alone")
