"""Rows 1 to 5 and 7 to 9, and the step of row 11: training steps."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from peft_cli.backbone import Backbone, Encoded
from peft_cli.backbone.loading import DTYPES
from peft_cli.config.targets import build
from peft_cli.method import Method
from peft_cli.recipe import Recipe
from peft_cli.speed import speed_up
from peft_cli.train import ADAMW, step
from tests.bench import peers
from tests.bench.compare import Step, compare
from tests.bench.lines import Line, Settings
from tests.bench.models import backbone, composed, gradients, model, rows, stir
from tests.bench.timing import rate

SOURCE, TARGET = 40, 30  # tokens of a row: T = 70
BOTH = {name: DTYPES[name] for name in ("fp32", "bf16")}
BF16_TOLERANCE = 5e-2  # relative difference of loss and gradients, with 8 bits of mantissa
DEPT = ("method=dept", "method.rank=30", "method.positions=256", "method.init=random")


class Ours(NamedTuple):
    """A step of this package, and what it is made of."""

    step: Step
    method: Method
    backbone: Backbone
    fast: ExitStack  # what makes the step cheaper, for as long as this is kept


def ours(place: Backbone, batch: list[Encoded], *overrides: str, stirred: bool = False) -> Ours:
    """A step with the method that `overrides` say, as a run takes it."""
    config = composed(*overrides)
    torch.manual_seed(0)
    method = build(config["method"], "method", backbone=place).train()
    if stirred:
        stir(method)
    return ours_of(method, place, batch, Recipe(**config["train"]))


def ours_of(method: Method, place: Backbone, batch: list[Encoded], recipe: Recipe) -> Ours:
    """A step of `method` on all of `batch`."""
    recipe, fast = replace(recipe, batch_size=len(batch)), ExitStack()
    fast.enter_context(speed_up(place, method.inputs, batch, recipe))
    place.batch(batch)  # the first epoch: caches what it can
    method.train()
    named = dict(method.named_parameters())
    add, told = partial(step, place, method, batch, recipe), partial(gradients, named)
    return Ours(Step(place.model, add, named.values(), told, ADAMW), method, place, fast)


def prompted(length: int, batch: list[Encoded], settings: Settings) -> dict[str, Ours]:
    """Prompt tuning, SPT and DePT with equal prompts of `length` vectors, which compute the same at step 0."""
    size = f"method.length={length}"
    choices = {
        "prompt tuning": ("method=pt", size, "method.init=random"),
        "SPT": ("method=spt", size, "method.init=random"),
        "DePT": (*DEPT, size),
    }
    return {name: ours(backbone("gpt2", settings), batch, *keys) for name, keys in choices.items()}


def peer_of(made: Ours, batch: list[Encoded], settings: Settings) -> Step:
    """HF peft's prompt tuning with the same prompt."""
    wrapped = peers.wrapped(made.method, model("gpt2", settings))
    return peers.step(wrapped, made.backbone.collate(batch).tensors(), peers.prompt(wrapped, "prompt"))


def prompts(row: int, length: int, n: int, at_least: float | None, rounds: int, settings: Settings) -> list[Line]:
    """HF peft's prompt tuning against prompt tuning, SPT and DePT with as long a prompt."""
    batch = rows(n, SOURCE, TARGET, backbone("gpt2", settings))
    made = prompted(length, batch, settings)
    theirs = peer_of(made["prompt tuning"], batch, settings)
    notes = {name: "theirs is prompt tuning, as HF peft has no such method" for name in ("SPT", "DePT")}
    lines = {
        name: Line(
            row, f"{name}, GPT-2 small, P = {length}, B = {n}, T = 70", at_least, of_operations=0.95,
            note=notes.get(name, ""),
        )
        for name in made
    }  # fmt: skip
    return compare(theirs, {name: one.step for name, one in made.items()}, lines, rounds, settings)


def row_1(settings: Settings) -> list[Line]:
    """Steps with a prompt of 100 vectors."""
    return prompts(1, 100, 8, 2.5, 4, settings)


def row_2(settings: Settings) -> list[Line]:
    """The same with a larger batch, and with a shorter prompt."""
    return prompts(2, 100, 32, None, 2, settings) + prompts(2, 20, 8, None, 4, settings)


def row_3(settings: Settings) -> list[Line]:
    """Methods inside the model, where logits at target positions are what is saved."""
    return [*prefix(settings), *lora(settings), *adapter(settings)]


def prefix(settings: Settings) -> list[Line]:
    """Trained keys and values, without an MLP that computes them."""
    place = backbone("gpt2", settings)
    batch = rows(8, SOURCE, TARGET, place)
    made = ours(place, batch, "method=prefix", "method.length=10", "method.bottleneck=null")
    wrapped = peers.wrapped(made.method, model("gpt2", settings))
    theirs = peers.step(wrapped, place.collate(batch).tensors(), peers.prompt(wrapped, "stacks.decoder.rows"))
    line = Line(3, "prefix tuning, GPT-2 small, P = 10, B = 8, T = 70", 1.2)
    return compare(theirs, {"prefix": made.step}, {"prefix": line}, 4, settings)


def lora(settings: Settings) -> list[Line]:
    """LoRA of query and value, which HF peft has as one pair of twice the rank for the fused map."""
    place = backbone("gpt2", settings)
    batch = rows(8, SOURCE, TARGET, place)
    made = ours(place, batch, "method=lora", "method.rank=4", "method.alpha=8", stirred=True)
    wrapped = peers.wrapped(made.method, model("gpt2", settings))
    theirs = peers.step(wrapped, place.collate(batch).tensors(), peers.lora(made.method, wrapped))
    line = Line(3, "LoRA r = 8 on c_attn, GPT-2 small, B = 8, T = 70", 1.2)
    line.note = "ours has rank 4 for query and for value, which is a pair of rank 8 for HF peft"
    return compare(theirs, {"lora": made.step}, {"lora": line}, 4, settings)


def adapter(settings: Settings) -> list[Line]:
    """Bottleneck adapters; the other side is the same modules in a plain forward."""
    place, other = (backbone("gpt2", settings) for _ in range(2))
    batch = rows(8, SOURCE, TARGET, place)
    made, peer = (ours(one, batch, "method=adapter", stirred=True) for one in (place, other))
    named = dict(peer.method.named_parameters())
    plain = peers.step(other.model, other.collate(batch).tensors(), lambda: gradients(named), named.values())
    line = Line(3, "adapter, GPT-2 small, B = 8, T = 70", 1.2)
    line.note = "theirs is the same modules in a plain forward, as HF peft has no such adapter"
    return compare(plain, {"adapter": made.step}, {"adapter": line}, 4, settings)


def top(row: int, shape: str, source: int, target: int, at_least: float, settings: Settings) -> list[Line]:
    """Fine-tuning of the two last blocks, when what lies below them is there from the first epoch."""
    place = backbone(shape, settings)
    batch = rows(8, source, target, place)
    made, plain = ours(place, batch, "method=ft_top2"), model(shape, settings)
    told = peers.top(plain, made.method)
    theirs = peers.step(plain, place.collate(batch).tensors(), told)
    work = f"FT-top2 after the first epoch, {shape}, B = 8, source of {source} tokens, target of {target}"
    return compare(theirs, {"top": made.step}, {"top": Line(row, work, at_least)}, 8, settings)


def row_4(settings: Settings) -> list[Line]:
    """On a decoder."""
    return top(4, "gpt2", SOURCE, TARGET, 2.5, settings)


def row_5(settings: Settings) -> list[Line]:
    """On an encoder-decoder, with long sources."""
    return top(5, "bart-base", 400, 20, 6.0, settings)


def row_7(settings: Settings) -> list[Line]:
    """What autograd keeps for the backward pass of prompt tuning."""
    place = backbone("gpt2", settings)
    batch = rows(8, SOURCE, TARGET, place)
    made = ours(place, batch, "method=pt", "method.init=random")
    work = "bytes saved for backward: prompt tuning, GPT-2 small, P = 100, B = 8, T = 70"
    return [saved(Line(7, work, at_most=0.45), peer_of(made, batch, settings), made.step)]


def saved(line: Line, theirs: Step, own: Step) -> Line:
    """`line` with the bytes that two steps save for the backward pass."""
    line.ratio, line.unit = "ours / theirs", "MB"
    line.theirs, line.ours = ([step.check().counts["saved_for_backward_bytes"] / 1e6] for step in (theirs, own))
    line.note = "counted, so that it is the same on any machine"
    return line


def row_8(settings: Settings) -> list[Line]:
    """SPT against prompt tuning."""
    batch = rows(8, SOURCE, TARGET, backbone("gpt2", settings))
    made = prompted(100, batch, settings)
    line = Line(8, "SPT (ours) against prompt tuning (theirs, of this package), as in row 1", at_most=1.03)
    line.ratio = "ours / theirs"
    steps = {"SPT": made["SPT"].step}
    return compare(made["prompt tuning"].step, steps, {"SPT": line}, 8, settings)


def row_9(settings: Settings) -> list[Line]:
    """DePT against prompt tuning on an encoder-decoder, where a shorter prompt is a shorter sequence."""
    choices = {
        "PT": ("method=pt", "method.length=100", "method.init=random"),
        "DePT": (*DEPT, "method.length=60"),
    }
    batch = rows(4, 256, 4, backbone("t5-base", settings))  # a class's text is short
    made = {name: ours(backbone("t5-base", settings), batch, *keys) for name, keys in choices.items()}
    where = "DePT (ours; m = 60, r = 30, s = 256) against prompt tuning (theirs; l = 100), T5-base, B = 4"
    line = Line(9, where, at_most=0.88, ratio="ours / theirs")
    line.note = "two methods: nothing to be equal"
    theirs, own = made["PT"].step, made["DePT"].step
    timed = compare(theirs, {"DePT": own}, {"DePT": line}, 4, settings, tolerance=None)
    kept = saved(Line(9, f"bytes saved for backward: {where}", at_most=0.85), theirs, own)
    kept.note += "; no attention scores are kept by either, so bytes go with the sequence, 316 for 356 (0.888)"
    return [*timed, kept]


def bf16(settings: Settings) -> list[Line]:
    """The same step in bf16 and in fp32."""
    batch = rows(8, SOURCE, TARGET, backbone("gpt2", settings))
    made = {
        name: ours(backbone("gpt2", settings, dtype), batch, "method=pt", "method.init=random")
        for name, dtype in BOTH.items()
    }
    line = Line(11, "bf16 (ours) against fp32 (theirs, of this package): prompt tuning as in row 1", 1.4)
    rates = " and ".join(f"{rate(settings.device, dtype) / 1e9:.0f} in {name}" for name, dtype in BOTH.items())
    line.note = f"a product of 2048-cube matrices, GFLOP/s: {rates}; AVX512-BF16: {has_avx512_bf16()}"
    options = {"tolerance": BF16_TOLERANCE, "dtype": torch.bfloat16}
    return compare(made["fp32"].step, {"bf16": made["bf16"].step}, {"bf16": line}, 6, settings, **options)


def has_avx512_bf16() -> str:
    """Whether the processor has instructions for bf16, as far as the system tells it."""
    path = Path("/proc/cpuinfo")
    return ("yes" if "avx512_bf16" in path.read_text() else "no") if path.exists() else "not told"
