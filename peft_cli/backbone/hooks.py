"""The hooks by which a method changes a backbone: on linear maps, attention modules and blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor, nn

from peft_cli.backbone.prompt_cache import KeyValue


@dataclass(eq=False)
class Rows:
    """The rows of a batch that the hooks of a backbone act on: all, unless several backbones share a model."""

    start: int = 0
    stop: int = 1
    total: int = 1  # of so many rows, or as often as a batch repeats them (beams)

    def set(self, start: int, stop: int, total: int) -> None:
        """Sets the rows from `start` up to `stop` of `total`."""
        self.start, self.stop, self.total = start, stop, total

    @property
    def are_all(self) -> bool:
        """Whether every row is among them."""
        return self.stop - self.start == self.total

    @property
    def are_none(self) -> bool:
        """Whether no row is among them."""
        return self.stop == self.start

    def of(self, n_rows: int) -> slice:
        """Their place among `n_rows`."""
        copies = n_rows // self.total
        return slice(self.start * copies, self.stop * copies)

    def apply(self, function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
        """`function(*tensors)` [B, ...] in these rows, and the last of `tensors` in the others."""
        if self.are_all:
            return function(*tensors)
        own, last = self.of(len(tensors[-1])), tensors[-1]
        if self.are_none:
            return last
        return torch.cat([last[: own.start], function(*(tensor[own] for tensor in tensors)), last[own.stop :]])


@dataclass(eq=False)
class AttentionHooks:
    """What one backbone's method does to an attention module; `Attention` explains each part."""

    change_kv: Callable[[Tensor, Tensor], KeyValue] | None = None
    visible: Callable[[int, int], Tensor] | None = None
    gate: Callable[[], Tensor] | None = None
    prompt: KeyValue | None = None


UNCHANGED = AttentionHooks()


def attention_hooks(module: nn.Module) -> dict[Rows, AttentionHooks]:
    """The hooks of an attention module by their rows. They lie on the module: transformers gives `attend` no more."""
    return cast(dict[Rows, AttentionHooks], vars(module).setdefault("peft_hooks", {}))


@dataclass(frozen=True)
class Hook:
    """One module of the model, and the rows that its hooks act on."""

    module: nn.Module
    rows: Rows = field(default_factory=Rows)

    def change_input(self, function: Callable[[Tensor], Tensor]) -> None:
        """Makes the module read `function(x)` in place of x [b, ...]."""
        rows = self.rows
        self.module.register_forward_pre_hook(lambda module, args: (rows.apply(function, args[0]), *args[1:]))

    def change_output(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        """Makes the module return `function(x, y)` in place of y [b, ...] for x [b, ...]."""
        rows = self.rows
        self.module.register_forward_hook(lambda module, args, output: rows.apply(function, args[0], output))


@dataclass(frozen=True, eq=False)
class Linear(Hook):
    """One linear map: some of the columns of what `module` computes, all by default."""

    columns: slice | Tensor = field(
        default_factory=lambda: slice(None)
    )  # of the module's output; indices where they are not adjacent

    @property
    def is_transposed(self) -> bool:
        """Whether the module keeps its weight as [in, out], as GPT-2 does."""
        return type(self.module).__name__ == "Conv1D"

    @property
    def module_out(self) -> int:
        """The width of all that the module returns."""
        return cast(Tensor, self.module.weight).shape[1 if self.is_transposed else 0]

    @property
    def in_features(self) -> int:
        """The width of the map's input."""
        return cast(Tensor, self.module.weight).shape[0 if self.is_transposed else 1]

    @property
    def out_features(self) -> int:
        """The width of the map's output."""
        own = self.columns
        return len(range(self.module_out)[own]) if isinstance(own, slice) else len(own)

    def change(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        """Makes the map return `function(x, y)` where it returned y [..., out] for x [..., in]."""
        own, is_whole = self.columns, self.out_features == self.module_out

        def change_columns(x: Tensor, output: Tensor) -> Tensor:
            if isinstance(own, slice):
                return torch.cat([output[..., : own.start], function(x, output[..., own]), output[..., own.stop :]], -1)
            return output.index_copy(-1, own.to(output.device), function(x, output[..., own]))

        self.change_output(function if is_whole else change_columns)

    def change_with(self, entry: Hook, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        """Makes the map return `function(x, y)` in place of y, where x is what `entry` read before it in this pass."""
        read: list[Tensor] = []

        def keep(x: Tensor) -> Tensor:
            read[:] = [x]
            return x

        entry.change_input(keep)
        self.change(lambda _, y: function(read.pop(), y))


@dataclass(frozen=True)
class FeedForward:
    """The feed-forward f of one block and its normalisation: x + f(norm(x)), norm(x + f(x)) or x + norm(f(x))."""

    norm: Hook
    first: Linear  # what enters f enters it
    last: Linear  # what f returns
    normalizes: str  # input | sum | output

    @property
    def entry(self) -> Hook:
        """The module that reads x."""
        return self.norm if self.normalizes == "input" else self.first

    def normalized_sum(self, x: Tensor, y: Tensor) -> Tensor:
        """norm(x + y) where the sum is normalised, else x + y."""
        total = x + y
        return self.norm.module(total) if self.normalizes == "sum" else total


@dataclass(frozen=True)
class Attention(Hook):
    """One attention module: of an encoder, of a decoder, or from a decoder across to an encoder."""

    @property
    def own(self) -> AttentionHooks:
        """What the method does here."""
        return attention_hooks(self.module).setdefault(self.rows, AttentionHooks())

    def change_kv(self, function: Callable[[Tensor, Tensor], KeyValue]) -> None:
        """Makes the module read `function(key, value)` in place of its key and value [B, kv_heads, T, d_head].

        `function` may put positions before the first one; every query sees them. They lie outside the model's cache.
        Raises ValueError where another part of the method does so already.
        """
        if self.own.change_kv is not None:
            raise ValueError("two parts of a method change the keys and values of one attention module")
        self.own.change_kv = function

    def limit_visibility(self, visible: Callable[[int, int], Tensor]) -> None:
        """Hides the positions that `change_kv` put in front from queries for which `visible(B, T)` [B, T] is false."""
        self.own.visible = visible

    def gate_front(self, gate: Callable[[], Tensor]) -> None:
        """Multiplies the keys and values that `change_kv` put in front by `gate()` [B, T], a number for each query."""
        self.own.gate = gate

    def set_prompt_kv(self, prompt: KeyValue | None) -> None:
        """Makes every row read the key and value [1, kv_heads, P, d_head] of `prompt` before its own; None: none."""
        self.own.prompt = prompt


@dataclass(frozen=True)
class Block(Hook):
    """One transformer block; `change_input` changes hidden [B, T, d_model]."""

    def wrap(self, wrapper: Callable[[Callable], Callable]) -> None:
        """Makes the block compute `wrapper(forward)`, where forward is what it computed."""
        vars(self.module)["forward"] = wrapper(self.module.forward)

    def unwrap(self) -> None:
        """Makes the block compute what it did before anything was wrapped."""
        vars(self.module).pop("forward", None)
