"""Rows 15 and 16, on a GPU: launches are what bounds a few-shot step there."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainingArguments

from peft_cli.backbone import Backbone
from peft_cli.backbone.batch import collate
from peft_cli.data import Example, few_shot
from peft_cli.data.mini import read_mini
from peft_cli.recipe import Recipe
from peft_cli.speed import speed_up
from peft_cli.train import step, train
from tests.bench import peers
from tests.bench.compare import judge
from tests.bench.lines import TOLERANCE, Line, Settings
from tests.bench.models import backbone, composed, gradients, model
from tests.bench.runs import fresh, peft_run
from tests.bench.steps import Ours, ours
from tests.bench.timing import difference, in_turn, shares

METHOD = ("method=pt", "method.length=100", "method.init=random")
STEPS, WARM_UP = 120, 60  # of training, and those that are not timed, in which blocks are compiled
N_SEEDS = 8
EARLY_STEPS, EARLY_TOLERANCE = 3, 1e-2  # of the losses in bf16 that two ways to sweep have in common


def row_15(settings: Settings) -> list[Line]:
    """Compiled training steps against those of the Trainer, in bf16; equality is seen in fp32."""
    line = Line(15, "training step, GPT-2 medium, prompt tuning, P = 100, B = 8, 50 shots of mini, bf16", 4.0)
    judge(line, *alike(settings), TOLERANCE)
    if line.failure:
        return [line]
    line.note += f" in fp32; theirs is transformers.Trainer in eager mode; means of {STEPS - WARM_UP} steps"
    made, wrapped = sides(settings, torch.bfloat16)
    found: dict[str, list[float]] = {name: [] for name in ("theirs", "ours", "again")}
    ways = {
        "theirs": lambda: found["theirs"].append(with_trainer(wrapped, made.backbone)),
        "ours": lambda: found["ours"].append(compiled(made)),
        "again": lambda: found["again"].append(compiled(made)),
    }
    in_turn(ways, settings.times(3))
    line.theirs, line.ours, line.again = found["theirs"], found["ours"], shares(found["again"], found["ours"])
    return [line]


def shots() -> Sequence[Example]:
    """The examples that train."""
    return few_shot(read_mini(), shots=50, data_seed=0, test_limit=8, draw="any", validation="share").train


def sides(settings: Settings, dtype: torch.dtype) -> tuple[Ours, PreTrainedModel]:
    """Ours, and HF peft's model with the same prompt."""
    place = backbone("gpt2-medium", settings, dtype)
    made = ours(place, place.encode(shots()[:8]), *METHOD)
    return made, peers.wrapped(made.method, model("gpt2-medium", settings, dtype=dtype))


def alike(settings: Settings) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Loss and gradients of one batch in fp32: HF peft's, and ours by compiled blocks where there is a GPU."""
    made, wrapped = sides(settings, torch.float32)
    place, settled = made.backbone, recipe(made.backbone)
    batch, named = place.encode(shots()[:8]), dict(made.method.named_parameters())
    theirs = peers.step(wrapped, place.collate(batch).tensors(), peers.prompt(wrapped, "prompt"))
    expected = {"loss": torch.tensor(theirs.add()), **theirs.gradients()}
    with speed_up(place, made.method.inputs, batch, settled):
        loss = step(place, made.method, batch, settled)
    return expected, {"loss": torch.tensor(loss), **gradients(named)}


def is_on_gpu(place: Backbone) -> bool:
    """Whether torch's CUDA graphs can be had."""
    return place.model.device.type == "cuda"


def recipe(place: Backbone) -> Recipe:
    """A run's recipe, compiled with CUDA graphs on a GPU."""
    plain, mode = Recipe(**composed(*METHOD)["train"]), "reduce-overhead" if is_on_gpu(place) else None
    return replace(plain, batch_size=8, steps=STEPS, validate_every=None, compile=mode)


class Clock(TrainerCallback):
    """Takes the time when the steps that are timed begin and end; the GPU is waited for then, and not in between."""

    def __init__(self):
        self.steps, self.ends = 0, []

    def tick(self) -> None:
        """A step has ended."""
        self.steps += 1
        if self.steps in (WARM_UP, STEPS):
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.ends.append(time.perf_counter())

    def on_step_end(self, *_: object, **__: object) -> None:
        """The Trainer's word for it."""
        self.tick()

    @property
    def seconds(self) -> float:
        """Of a step."""
        return (self.ends[1] - self.ends[0]) / (STEPS - WARM_UP)


def compiled(made: Ours) -> float:
    """The seconds of a step of a run's training."""
    clock = Clock()
    train(made.backbone, made.method, shots(), (), recipe(made.backbone), None, lambda row: clock.tick())
    return clock.seconds


def with_trainer(wrapped: PreTrainedModel, place: Backbone) -> float:
    """The seconds of a step of the Trainer."""
    clock, ours = Clock(), recipe(place)
    with TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, max_steps=STEPS, per_device_train_batch_size=8, learning_rate=1e-3,
            warmup_steps=ours.warmup_steps, lr_scheduler_type="linear", weight_decay=0.0, max_grad_norm=ours.clip,
            save_strategy="no", logging_strategy="no", report_to="none", disable_tqdm=True,
            remove_unused_columns=False, dataloader_drop_last=True, label_names=["labels"],
            use_cpu=not is_on_gpu(place),
        )  # fmt: skip
        Trainer(
            model=wrapped, args=arguments, train_dataset=place.encode(shots()), callbacks=[clock],
            data_collator=lambda rows: collate(rows, place.family, place.pad, training=True).tensors(),
        ).train()  # fmt: skip
    return clock.seconds


def row_16(settings: Settings) -> list[Line]:
    """A sweep of seeds, all at once on one GPU against one after another."""
    n, steps = (2, 4) if settings.tiny else (N_SEEDS, 200)
    line = Line(
        16, f"a sweep of {n} seeds, prompt tuning, GPT-2 medium, bf16: jobs_per_gpu={n} (ours) against 1 (theirs)"
    )
    line.at_least = 2.0
    line.note = f"{steps} steps each, with the start of processes, without predictions to speak of"
    overrides = [*METHOD, f"seed=range(0,{n})", "data=mini", "shots=50", "test_limit=1", "decode.max_new_tokens=1"]
    overrides += [f"train.steps={steps}", "train.validate_every=null", f"backbone.device={settings.device}"]
    with TemporaryDirectory() as place:
        folder = Path(place)
        made = backbone("gpt2-medium", settings)
        made.model.save_pretrained(folder / "model")
        made.tokenizer.save_pretrained(folder / "model")
        overrides += ["backbone=hub", f"backbone.name={folder / 'model'}", "backbone.dtype=bf16"]

        def sweep(at_once: int) -> None:
            places = "jobs_per_gpu" if is_on_gpu(made) else "jobs"
            peft_run("-m", *overrides, f"{places}={at_once}", f"runs={fresh(folder)}")

        ways = {"theirs": lambda: sweep(1), "ours": lambda: sweep(n), "again": lambda: sweep(n)}
        seconds = in_turn(ways, settings.times(1))
        check_losses(line, folder, n)
    line.theirs, line.ours = seconds["theirs"], seconds["ours"]
    line.again = shares(seconds["again"], seconds["ours"])
    return [line]


def check_losses(line: Line, folder: Path, n: int) -> None:
    """Writes into `line` that sweeps in the folders of runs are not equal, if their first losses are not."""
    first, *rest = (early_losses(runs) for runs in sorted(folder.glob("runs_*")))
    apart = [difference(first, other) for other in rest]
    if any(len(losses) != n for losses in (first, *rest)) or max(apart)[0] > EARLY_TOLERANCE:
        line.failure = f"not equal: losses of the first {EARLY_STEPS} steps differ by {apart}"


def early_losses(runs: Path) -> dict[str, Tensor]:
    """The losses [EARLY_STEPS] of each run, by the name of its folder."""
    logs = {log.parent.name: log.read_text(encoding="utf-8").splitlines() for log in runs.rglob("log.jsonl")}
    losses = {name: [row["loss"] for row in map(json.loads, lines) if "loss" in row] for name, lines in logs.items()}
    return {name: torch.tensor(values[:EARLY_STEPS]) for name, values in losses.items()}
