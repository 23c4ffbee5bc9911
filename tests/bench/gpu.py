"""Rows 15 and 16, on a GPU: launches are what bounds a few-shot step there."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from tempfile import TemporaryDirectory

import torch
from peft_cli.graphs import Graphs
from torch import Tensor
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainingArguments

from peft_cli.backbone import Backbone
from peft_cli.backbone.tokenization import collate
from peft_cli.data import Example, few_shot
from peft_cli.data.mini import load
from peft_cli.train import Recipe, backward, train
from tests import gpu_fuse
from tests.bench import peers
from tests.bench.compare import judge
from tests.bench.lines import TOLERANCE, Line, Settings
from tests.bench.models import backbone, composed, gradients, model
from tests.bench.steps import Ours, ours
from tests.bench.timing import in_turn, shares

METHOD = ("method=pt", "method.length=100", "method.init=random")
STEPS, WARM_UP = 120, 60  # of training, and those that are not timed, in which graphs are captured
SEEDS = range(8)


def row_15(settings: Settings) -> list[Line]:
    """Training steps with CUDA graphs against those of the Trainer, in bf16; equality is seen in fp32."""
    line = Line(15, "training step, GPT-2 medium, prompt tuning, P = 100, B = 8, 50 shots of mini, bf16", 4.0)
    judge(line, *alike(settings), TOLERANCE)
    if line.failure:
        return [line]
    line.note += f" in fp32; theirs is transformers.Trainer in eager mode; means of {STEPS - WARM_UP} steps"
    made, wrapped = sides(settings, torch.bfloat16)
    found: dict[str, list[float]] = {name: [] for name in ("theirs", "ours", "again")}
    ways = {
        "theirs": lambda: found["theirs"].append(with_trainer(wrapped, made.backbone)),
        "ours": lambda: found["ours"].append(with_graphs(made)),
        "again": lambda: found["again"].append(with_graphs(made)),
    }
    in_turn(ways, settings.times(3))
    line.theirs, line.ours, line.again = found["theirs"], found["ours"], shares(found["again"], found["ours"])
    return [line]


def shots() -> Sequence[Example]:
    """The examples that train."""
    return few_shot(load(), shots=50, data_seed=0, test_limit=8, draw="any", validation="share").train


def sides(settings: Settings, dtype: torch.dtype) -> tuple[Ours, PreTrainedModel]:
    """Ours, and HF peft's model with the same prompt."""
    place = backbone("gpt2-medium", settings, dtype)
    made = ours(place, place.encode(shots()[:8]), *METHOD)
    return made, peers.wrapped(made.method, model("gpt2-medium", settings, dtype=dtype))


def alike(settings: Settings) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Loss and gradients of one batch in fp32: HF peft's, and ours by a graph where there is a GPU."""
    made, wrapped = sides(settings, torch.float32)
    batch, named = made.backbone.encode(shots()[:8]), dict(made.method.named_parameters())
    theirs = peers.step(wrapped, made.backbone.plain_batch(batch), peers.prompt(wrapped, "prompt"))
    more = (Graphs(made.backbone, made.method),) if is_on_gpu(made.backbone) else ()
    expected = {"loss": torch.tensor(theirs.add()), **theirs.gradients()}
    loss = backward(made.backbone, made.method, batch, recipe(made.backbone), *more)
    return expected, {"loss": torch.tensor(loss), **gradients(named)}


def is_on_gpu(place: Backbone) -> bool:
    """Whether there can be CUDA graphs."""
    return place.model.device.type == "cuda"


def recipe(place: Backbone) -> Recipe:
    """A run's recipe, with graphs on a GPU."""
    plain = Recipe(**composed(*METHOD)["train"])
    return replace(plain, batch_size=8, steps=STEPS, validate_every=None, cuda_graphs=is_on_gpu(place))


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


def with_graphs(made: Ours) -> float:
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
            data_collator=lambda rows: collate(rows, place.family, place.pad, training=True),
        ).train()  # fmt: skip
    return clock.seconds


def row_16(settings: Settings) -> list[Line]:
    """Eight seeds side by side against one alone, as `make fuse` has it."""
    line = Line(16, "8 seeds of prompt tuning in one process (ours) against one alone (theirs), GPT-2 medium, bf16")
    line.at_most, line.ratio = 1.5, "ours / theirs"
    size, section = "small" if settings.tiny else "medium", gpu_fuse.section_of("pt")
    apart = gpu_fuse.differences(gpu_fuse.backbone(size, torch.float32, settings.device), section, SEEDS)
    if max(apart) > gpu_fuse.TOLERANCE:
        line.failure = f"not equal: tensors differ by {apart[0]:.1e} and losses by {apart[1]:.1e} after 6 steps"
        return [line]
    line.note = f"in fp32, each seed ends as alone: tensors to {apart[0]:.0e}, losses to {apart[1]:.0e} after 6 steps"
    loaded = gpu_fuse.backbone(size, torch.bfloat16, settings.device)
    for _ in range(settings.times(3)):
        one, many, again = gpu_fuse.times(loaded, section, SEEDS, 20 if settings.tiny else 40)
        line.theirs, line.ours = [*line.theirs, one / 1000], [*line.ours, many / 1000]
        line.again.append(again / one)
    return [line]
