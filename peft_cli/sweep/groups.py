"""Which runs of a sweep may stand side by side in one process, on one backbone; fuse.py does them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence

from peft_cli.results import without
from peft_cli.sweep import Run

OWN = ("seed", "data_seed", "shots")  # what each run of a group may have for itself, beside its learning rates
SWITCHES = ("checkpointing", "compile", "cuda_graphs")  # of train, which are for a run that has its backbone to itself


def grouped(runs: Sequence[Run], size: int) -> list[list[Run]]:
    """`runs` in groups of at most `size`, those that have what they need in common next to each other."""
    alike: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        alike[common(run)].append(run)
    return [some[i : i + size] for some in alike.values() for i in range(0, len(some), size)]


def common(run: Run) -> str:
    """What a run has to have in common with those beside it; one that has to stand alone has its folder to itself."""
    config = run.config
    is_lonely = config["shots"] == 0 or config["wandb"]["mode"] != "disabled"  # nothing trains; one tracker a process
    if is_lonely or any(config["train"][key] for key in SWITCHES):
        return str(run.folder.path)
    rates = [f"method.{key}" for key in config["method"] if key == "lr" or key.endswith("_lr")]
    return json.dumps(without(config, [*OWN, *rates]), sort_keys=True)


def told(groups: Sequence[Sequence[Run]], size: int) -> str:
    """How many processes there are for how many runs, in a line."""
    alone = sum(len(group) == 1 for group in groups)
    lonely = f"; {alone} alone, as no other differs from them in {', '.join(OWN)} and lr alone" if alone else ""
    many = "" if len(groups) == 1 else "es"
    return f"fuse={size}: {sum(map(len, groups))} runs in {len(groups)} process{many}{lonely}"
