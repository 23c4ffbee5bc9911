"""Rows 10 and 11: whole runs, from the start of a process to its result."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from math import sqrt
from pathlib import Path
from statistics import mean, median, stdev
from tempfile import TemporaryDirectory

import torch
from scipy.stats import t
from transformers import AutoModelForCausalLM

from peft_cli.backbone.loading import EMBEDDED
from peft_cli.data import Data, few_shot
from peft_cli.data.mini import read_mini
from peft_cli.recipe import Recipe
from peft_cli.run import prepare
from tests.bench import peers, steps
from tests.bench.lines import Line, Settings
from tests.bench.models import composed
from tests.bench.timing import in_turn, shares

ROOT = Path(__file__).parents[2]
TEXT = "name: | kind: | describe this plant for a catalogue in a sentence or two"  # that both prompts start from
LOSS_TOLERANCE = 1e-4  # relative, of the validation loss before training; both are rounded when they are written down
BF16_SEEDS = range(4)


def peft_run(*overrides: str) -> subprocess.CompletedProcess:
    """peft-run in a process of its own."""
    return python("-m", "peft_cli.cli.run", *overrides)


def python(*arguments: str | Path) -> subprocess.CompletedProcess:
    """A process of its own, with this package; the hub is not asked, so that no time is that of a network."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    return subprocess.run([sys.executable, *arguments], env=environment, check=True, capture_output=True, text=True)


def row_10(settings: Settings) -> list[Line]:
    """50 shots of mini on tiny-gpt2 with prompt tuning: all steps, validation, the whole test set."""
    sizes = ["train.steps=4", "train.validate_every=2", "test_limit=4"] if settings.tiny else []
    overrides = ["method=pt", "method.init=text", f"method.text='{TEXT}'", "shots=50", "train.patience=null"]
    overrides += ["backbone.device=cpu", *sizes]
    line = Line(10, "a whole run: 50 shots of mini, tiny-gpt2, prompt tuning, from process start to scores", 2.0)
    with TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "task.json").write_text(json.dumps(task(composed(*overrides))), encoding="utf-8")
        script = [Path(__file__).parent / "plain.py", folder / "task.json", folder / "plain.json"]
        ways = {
            "theirs": lambda: python(*script),
            "ours": lambda: peft_run(*overrides, f"runs={fresh(folder)}"),
        }
        seconds = in_turn(ways | {"again": ways["ours"]}, settings.times(1))
        judge(line, *results(folder))
    line.operations = step_operations(composed(*overrides, "backbone.dtype=fp32"))
    line.note += "; operations are those of a training step"
    line.theirs, line.ours = seconds["theirs"], seconds["ours"]
    line.again = shares(seconds["again"], seconds["ours"])
    return [line]


def task(config: dict) -> dict:
    """What the plain script has to do, to be what a run with `config` is."""
    data = few_shot(
        read_mini(), **{key: config[key] for key in ("shots", "data_seed", "test_limit", "draw", "validation")}
    )
    train, decode = config["train"], config["decode"]
    sizes = {key: train[key] for key in ("steps", "batch_size", "warmup_steps", "validate_every", "clip")}
    sizes |= {"lr": config["method"]["lr"], "length": config["method"]["length"], "text": config["method"]["text"]}
    sizes |= {"max_new_tokens": decode["max_new_tokens"], "beams": decode["beams"]}
    sizes |= {"predict_batch_size": decode["batch_size"], "model": str(EMBEDDED / config["backbone"]["name"])}
    return sizes | {split: told(data, split) for split in ("train", "validation", "test")}


def told(data: Data, split: str) -> list[dict]:
    """The examples of a split."""
    return [{"source": e.source, "references": list(e.references)} for e in getattr(data, split)]


def step_operations(config: dict) -> list[int]:
    """The operations of a training step on the first examples: theirs, ours."""
    data, backbone, _, method, _ = prepare(config)
    batch = backbone.encode(data.train)[: config["train"]["batch_size"]]
    plain = AutoModelForCausalLM.from_pretrained(EMBEDDED / config["backbone"]["name"], dtype=torch.float32)
    wrapped = peers.wrapped(method, plain)
    theirs = peers.step(wrapped, backbone.collate(batch).tensors(), peers.prompt(wrapped, "prompt"))
    made = steps.ours_of(method, backbone, batch, Recipe(**config["train"]))
    return [step.check().counts["flops_per_step"] for step in (theirs, made.step)]


def fresh(folder: Path) -> Path:
    """A folder of runs that is not there yet."""
    return folder / f"runs_{len(list(folder.glob('runs_*')))}"


def results(folder: Path) -> tuple[dict, dict]:
    """What the plain script wrote, and the same of one of our runs."""
    (path, *_) = folder.rglob("result.json")
    result = json.loads(path.read_text(encoding="utf-8"))
    rows = map(json.loads, (path.parent / "log.jsonl").read_text(encoding="utf-8").splitlines())
    losses = [row["validation_loss"] for row in rows if "validation_loss" in row]
    own = {"eval_losses": losses, "steps": result["training"]["steps"], "scores": result["scores"]}
    return json.loads((folder / "plain.json").read_text(encoding="utf-8")), own


def judge(line: Line, theirs: dict, ours: dict) -> None:
    """Whether both began alike and did as much; where they ended is of two orders of the same data."""
    begins = [side["eval_losses"][0] for side in (theirs, ours)]
    counts = [(side["steps"], len(side["eval_losses"])) for side in (theirs, ours)]
    apart = abs(begins[0] - begins[1]) / begins[1]
    if counts[0] != counts[1] or apart > LOSS_TOLERANCE:
        line.failure = f"not equal: steps and validations {counts}, first validation loss {begins}"
    bleu = [side["scores"]["bleu"] for side in (theirs, ours)]
    line.note = (
        f"validation loss before training equal to {apart:.0e}; {counts[0][0]} steps and {counts[0][1]} validations in "
        f"both; BLEU {bleu[0]:.1f} and {bleu[1]:.1f} (theirs, ours), with orders of the data of their own"
    )


def row_11(settings: Settings) -> list[Line]:
    """What bf16 gains in a step, and what it changes in the end."""
    return [*steps.bf16(settings), bf16_scores(settings)]


def bf16_scores(settings: Settings) -> Line:
    """What bf16 changes in the final BLEU, in pairs of runs with one seed."""
    sizes = ["train.steps=4", "test_limit=4"] if settings.tiny else ["train.steps=200", "test_limit=100"]
    sweep = ["method=adapter", "shots=50", "backbone.dtype=fp32,bf16", f"seed={','.join(map(str, BF16_SEEDS))}"]
    sweep += [f"backbone.device={settings.device}"]
    with TemporaryDirectory() as place:
        peft_run("-m", *sweep, *sizes, "train.validate_every=null", f"runs={place}")
        found = [json.loads(path.read_text(encoding="utf-8")) for path in Path(place).rglob("result.json")]
    bleu = {(r["config"]["backbone"]["dtype"], r["run"]["seed"]): r["scores"]["bleu"] for r in found}
    sides = {dtype: [bleu[dtype, seed] for seed in BF16_SEEDS] for dtype in ("fp32", "bf16")}
    changes = [b - a for a, b in zip(*sides.values(), strict=True)]
    half = t.ppf(0.975, len(changes) - 1) * stdev(changes) / sqrt(len(changes))
    noise = stdev(sides["fp32"])
    line = Line(11, "bf16: change of the final BLEU (adapter, 50 shots of mini, tiny-gpt2)", at_most=half)
    line.ratio, line.unit, line.ours = "ours", "BLEU", [abs(mean(changes))]
    line.note = (
        f"{mean(changes):+.2f} ± {half:.2f} over {len(changes)} pairs of one seed (BLEU {median(sides['fp32']):.1f} in "
        f"fp32, with a standard deviation of {noise:.1f} between seeds); the target is half that 95 % interval"
    )
    return line
