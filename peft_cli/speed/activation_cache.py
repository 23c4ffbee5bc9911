"""Hidden states that training cannot change: those below the first block that a method reaches, for each example."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers.modeling_outputs import BaseModelOutput

from peft_cli.backbone.batch import Batch, Encoded
from peft_cli.backbone.families import Family
from peft_cli.backbone.hooks import Block
from peft_cli.backbone.model import Backbone


def skip_plain(block: nn.Module, hidden: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """What a skipped block returns: its input."""
    return hidden


def skip_t5(
    block: nn.Module, hidden: Tensor, mask: Any = None, bias: Tensor | None = None, states: Any = None,
    states_mask: Any = None, cross_bias: Tensor | None = None, **kwargs: Any,
) -> tuple[Tensor, Tensor, Tensor | None]:  # fmt: skip
    """The same for T5, whose first block makes the position bias [1, heads, T, T] that all blocks above it add."""
    if bias is None:
        attention: Any = block.get_submodule("layer.0.SelfAttention")
        bias = attention.compute_bias(hidden.shape[1], hidden.shape[1], device=hidden.device)
    return hidden, bias, cross_bias


SKIPPED: dict[str, Callable] = {"plain": skip_plain, "t5": skip_t5}  # by `skipped_block` of a family


def cache_activations(
    backbone: Backbone, inputs: Callable[[Batch], Batch], rows: Sequence[Encoded], most_bytes: float
) -> ActivationCache | None:
    """A cache for `rows`; None where a method trains below every block, or it would take more than `most_bytes`.

    `inputs` is a method's: the batch that is read in place of a batch. Where that differs, nothing is cached.
    """
    if backbone.encoder.form:  # an example is not one row
        return None
    batch = backbone.collate(rows[:1])
    if inputs(batch) is not batch:
        return None
    first = {stack: n for stack, n in first_trainable_blocks(backbone, batch).items() if n > 0}
    lengths = {example_key(row, stack): n_tokens(backbone.family, row, stack) for stack in first for row in rows}
    token_bytes = backbone.d_model * backbone.model.dtype.itemsize
    if not first or sum(lengths.values()) * token_bytes > most_bytes:
        return None
    return ActivationCache(backbone, rows, first)


class ActivationCache:
    """The hidden states [T, d_model] of examples at the first block that has to run, for each stack.

    `first` has the index of that block for each stack; a frozen encoder is cached by its output. Each example runs
    alone, unpadded and once, so its states have the same bits in every batch, also after a run was killed.
    """

    def __init__(self, backbone: Backbone, rows: Sequence[Encoded], first: dict[str, int]):
        self.backbone, self.first = backbone, first
        blocks = {stack: backbone.blocks()[stack] for stack in first}
        self.has_encoder = len(backbone.family.stacks) > 1 and first.get("encoder") == len(blocks.get("encoder", ()))
        self.below = [b for stack, n in first.items() if not self.is_whole(stack) for b in blocks[stack][:n]]
        self.rows = {example_key(row, stack) for stack in first for row in rows}
        self.states: dict[Hashable, Tensor] = {}
        self.recorded: dict[str, Tensor] | None = (
            None  # [1, T, d_model], the inputs of the first blocks while a row runs
        )
        self.served: Mapping[str, Tensor] = {}  # [B, T, d_model], in place of them
        self.handles = [
            backbone.model.get_encoder().register_forward_hook(self.record_encoder)
            if self.is_whole(stack)
            else blocks[stack][n].module.register_forward_pre_hook(partial(self.enter, stack), prepend=True)
            for stack, n in first.items()
        ]

    def is_whole(self, stack: str) -> bool:
        """Whether a stack is frozen to its end, an encoder below a decoder."""
        return stack == "encoder" and self.has_encoder

    def enter(self, stack: str, module: nn.Module, args: tuple[Tensor, ...]) -> tuple | None:
        """Records, or replaces, the input of a stack's first block, before a method changes it."""
        if self.recorded is not None:
            self.recorded[stack] = args[0]
        return (self.served[stack], *args[1:]) if stack in self.served else None

    def record_encoder(self, module: nn.Module, args: tuple, output: BaseModelOutput) -> None:
        """Records the output of an encoder."""
        if self.recorded is not None and output.last_hidden_state is not None:
            self.recorded["encoder"] = output.last_hidden_state

    def covers(self, rows: Sequence[Encoded]) -> bool:
        """Whether all `rows` are among those that are cached."""
        return all(example_key(row, stack) in self.rows for row in rows for stack in self.first)

    def hidden(self, rows: Sequence[Encoded]) -> dict[str, Tensor]:
        """The hidden states [B, T, d_model] of each stack for `rows`, zero behind a row that is shorter than others."""
        for row in rows:
            if any(example_key(row, stack) not in self.states for stack in self.first):
                self.run(row)
        return {
            stack: pad_sequence([self.states[example_key(row, stack)] for row in rows], batch_first=True)
            for stack in self.first
        }

    @torch.no_grad()
    def run(self, row: Encoded) -> None:
        """Runs one example alone, and caches the inputs of the first blocks. Random states stay what they were."""
        self.recorded, device = {}, self.backbone.model.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):  # a method may draw, above
            self.backbone.forward(self.backbone.collate([row]))
        self.states |= {example_key(row, stack): states[0].clone() for stack, states in self.recorded.items()}
        self.recorded = None

    @contextmanager
    def serve(self, hidden: Mapping[str, Tensor]) -> Iterator[dict[str, Any]]:
        """Skips the blocks below the first ones, which read `hidden`; yields more arguments for the model."""
        self.served = hidden
        with skip_blocks(self.below, SKIPPED[self.backbone.family.skipped_block]):
            encoder = BaseModelOutput(last_hidden_state=hidden["encoder"]) if self.has_encoder else None
            yield {"encoder_outputs": encoder} if encoder else {}
        self.served = {}

    @property
    def n_bytes(self) -> int:
        """The bytes of all cached states."""
        return sum(states.nbytes for states in self.states.values())

    def close(self) -> None:
        """Removes the hooks and the cached states."""
        for handle in self.handles:
            handle.remove()
        self.states = {}


def example_key(row: Encoded, stack: str) -> Hashable:
    """What tells the hidden states of examples apart: in an encoder the source, in a decoder the target too."""
    target = row.target if isinstance(row.target, list) else []
    return (stack, tuple(row.source)) if stack == "encoder" else (stack, tuple(row.source), tuple(target))


def n_tokens(family: Family, row: Encoded, stack: str) -> int:
    """How many tokens of an example go through a stack."""
    if family.is_decoder_only:
        return row.n_tokens
    return len(row.source) if stack == "encoder" else row.n_targets


@contextmanager
def skip_blocks(blocks: Sequence[Block], skip: Callable) -> Iterator[None]:
    """Makes `blocks` return what `skip` does, in place of what they compute."""
    before = [vars(block.module).get("forward") for block in blocks]
    for block in blocks:
        vars(block.module)["forward"] = partial(skip, block.module)
    try:
        yield
    finally:
        for block, forward in zip(blocks, before, strict=True):
            block.unwrap()
            if forward is not None:
                vars(block.module)["forward"] = forward


def first_trainable_blocks(backbone: Backbone, batch: Batch) -> dict[str, int]:
    """For each stack the index of the first block whose output depends on something that trains.

    Autograd shows it, whatever a method did: nothing below needs a gradient. Where no block depends on it, it is the
    last one; for an encoder whose output does not either, it is the number of its blocks.
    """
    stacks = backbone.blocks()
    depends: dict[nn.Module, bool] = {}
    watched: list[nn.Module] = [block.module for blocks in stacks.values() for block in blocks]
    if len(stacks) > 1:
        watched.append(backbone.model.get_encoder())

    def watch(module: nn.Module, args: tuple, output: Any) -> None:
        first = output if isinstance(output, Tensor) else output[0]
        depends[module] = first.requires_grad

    handles = [module.register_forward_hook(watch) for module in watched]
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
