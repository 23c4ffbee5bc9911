"""What training cannot change: the hidden states below the first block that a method reaches, kept for each example."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers.modeling_outputs import BaseModelOutput

from peft_cli.backbone.hooks import Block
from peft_cli.backbone.targets import logits_at
from peft_cli.backbone.tokenization import Encoded

if TYPE_CHECKING:
    from peft_cli.backbone.model import Backbone


def keep_frozen(
    backbone: Backbone, inputs: Callable[[dict], dict], rows: Sequence[Encoded], most_bytes: float
) -> Frozen | None:
    """What keeps the frozen hidden states of `rows`; None where nothing is frozen, or it takes more than `most_bytes`.

    `inputs` is a method's: what the backbone reads in place of a batch. Where that is something else, nothing is kept.
    """
    if backbone.form != "classes":  # an example is not one row
        return None
    batch = backbone.plain_batch(rows[:1])
    changed = inputs(batch)
    if changed.keys() != batch.keys() or any(changed[name] is not batch[name] for name in batch):
        return None
    first = {stack: n for stack, n in reached(backbone, batch).items() if n > 0}
    states = {key(row, stack): length(backbone, row, stack) for stack in first for row in rows}
    if not first or sum(states.values()) * backbone.d_model * backbone.model.dtype.itemsize > most_bytes:
        return None
    return Frozen(backbone, rows, first)


class Frozen:
    """The hidden states [T, d_model] of examples where they enter the first block that has to run, for each stack.

    `first` tells for each stack the number of that block; an encoder that has none is kept by what it returns. Each
    example runs alone and without padding, once, so that its states have the same bits whatever batch it comes in, and
    whether a run was killed in between or not.
    """

    def __init__(self, backbone: Backbone, rows: Sequence[Encoded], first: dict[str, int]):
        self.backbone, self.first = backbone, first
        blocks = {stack: backbone.blocks()[stack] for stack in first}
        self.has_encoder = len(backbone.family.stacks) > 1 and first.get("encoder") == len(blocks.get("encoder", ()))
        self.below = [b for stack, n in first.items() if not self.is_whole(stack) for b in blocks[stack][:n]]
        self.rows = {key(row, stack) for stack in first for row in rows}
        self.kept: dict[Hashable, Tensor] = {}
        self.taken: dict[str, Tensor] | None = None  # [1, T, d_model], what enters the first blocks while a row runs
        self.served: dict[str, Tensor] = {}  # [B, T, d_model], what enters them in its place
        self.handles = [
            backbone.model.get_encoder().register_forward_hook(self.leave)
            if self.is_whole(stack)
            else blocks[stack][n].module.register_forward_pre_hook(partial(self.enter, stack), prepend=True)
            for stack, n in first.items()
        ]

    def is_whole(self, stack: str) -> bool:
        """Whether all of a stack is frozen, an encoder below a decoder."""
        return stack == "encoder" and self.has_encoder

    def enter(self, stack: str, module: nn.Module, args: tuple) -> tuple | None:
        """Takes, or replaces, what enters a stack's first block, before a method changes it."""
        if self.taken is not None:
            self.taken[stack] = args[0]
        return (self.served[stack], *args[1:]) if stack in self.served else None

    def leave(self, module: nn.Module, args: tuple, output: BaseModelOutput) -> None:
        """Takes what an encoder returns."""
        if self.taken is not None:
            self.taken["encoder"] = output.last_hidden_state

    def serves(self, rows: Sequence[Encoded]) -> bool:
        """Whether all `rows` are among those that are kept."""
        return all(key(row, stack) in self.rows for row in rows for stack in self.first)

    def of(self, rows: Sequence[Encoded]) -> dict[str, Tensor]:
        """The hidden states [B, T, d_model] of each stack for `rows`, zero where a row is shorter than the longest."""
        for row in rows:
            if any(key(row, stack) not in self.kept for stack in self.first):
                self.run(row)
        return {stack: pad_sequence([self.kept[key(row, stack)] for row in rows], True) for stack in self.first}

    @torch.no_grad()
    def run(self, row: Encoded) -> None:
        """Runs one example alone, and keeps what enters the first blocks. Random states stay what they were."""
        backbone, self.taken = self.backbone, {}
        inputs, _ = backbone.arranged(backbone.led(backbone.plain_batch([row])))
        device = backbone.model.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):  # a method may draw, above
            if backbone.family.generates:
                logits_at(backbone.model, inputs, torch.zeros(0, dtype=torch.long, device=device))
            else:
                backbone.model(**inputs)
        self.kept |= {key(row, stack): states[0].clone() for stack, states in self.taken.items()}
        self.taken = None

    @contextmanager
    def serving(self, hidden: dict[str, Tensor], inputs: dict[str, Any]) -> Iterator[None]:
        """Passes over the blocks below the first ones, which read `hidden`; a whole encoder's goes into `inputs`."""
        self.served = hidden
        if self.has_encoder:
            inputs["encoder_outputs"] = BaseModelOutput(last_hidden_state=hidden["encoder"])
        with passing(self.below, self.backbone.family.passed):
            yield
        self.served = {}

    @property
    def n_bytes(self) -> int:
        """The bytes that are kept."""
        return sum(states.nbytes for states in self.kept.values())

    def close(self) -> None:
        """Lets go of the backbone and of what is kept."""
        for handle in self.handles:
            handle.remove()
        self.kept = {}


def key(row: Encoded, stack: str) -> Hashable:
    """What tells the hidden states of examples apart: in an encoder the source, in a decoder the target too."""
    return (stack, tuple(row.source)) if stack == "encoder" else (stack, tuple(row.source), tuple(row.target))


def length(backbone: Backbone, row: Encoded, stack: str) -> int:
    """How many tokens of an example go through a stack."""
    if backbone.family.is_decoder_only:
        return len(row.source) + len(row.target)
    return len(row.source if stack == "encoder" else row.target)


@contextmanager
def passing(blocks: Sequence[Block], passed: Callable) -> Iterator[None]:
    """Makes `blocks` return what `passed` says in place of what they compute."""
    own = [vars(block.module).get("forward") for block in blocks]
    for block in blocks:
        block.module.forward = partial(passed, block.module)
    try:
        yield
    finally:
        for block, forward in zip(blocks, own, strict=True):
            del block.module.forward
            if forward is not None:
                block.module.forward = forward


def reached(backbone: Backbone, batch: dict[str, Tensor]) -> dict[str, int]:
    """For each stack the number of the first block whose output depends on something that trains.

    Autograd tells, whatever a method did: nothing below needs a gradient. Where no block does, it is the last one; but
    for an encoder that does not even at its end, it is the number of its blocks.
    """
    stacks, depends = backbone.blocks(), {}
    watched = [block.module for blocks in stacks.values() for block in blocks]
    if len(stacks) > 1:
        watched.append(backbone.model.get_encoder())

    def see(module: nn.Module, args: tuple, output: Any) -> None:
        first = output if isinstance(output, Tensor) else output[0]
        depends[module] = first.requires_grad

    handles = [module.register_forward_hook(see) for module in watched]
    with torch.enable_grad():
        backbone.forward(batch)
    for handle in handles:
        handle.remove()
    first = {
        stack: [*(depends[block.module] for block in blocks[:-1]), True].index(True) for stack, blocks in stacks.items()
    }
    if len(stacks) > 1 and not depends[backbone.model.get_encoder()]:
        first["encoder"] = len(stacks["encoder"])
    return first
