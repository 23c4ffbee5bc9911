"""The hooks by which a method changes a backbone: on linear maps, attention modules and blocks."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import groupby
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from peft_cli.backbone.row_owners import RowOwners

IMPLEMENTATION = "peft_cli"  # the name under which transformers finds `attend`

KeyValue = tuple[Tensor, Tensor]  # each [B, kv_heads, T, d_head]


@dataclass(eq=False)
class AttentionHooks:
    """What one owner does to an attention module; `Attention` explains each part."""

    change_kv: Callable[[Tensor, Tensor], KeyValue] | None = None
    visible: Callable[[int, int], Tensor] | None = None
    gate: Callable[[], Tensor] | None = None
    prompt: KeyValue | None = None

    @property
    def is_idle(self) -> bool:
        """Whether the module computes what it did without hooks."""
        return self.change_kv is None and self.prompt is None


IDLE = AttentionHooks()


@dataclass
class ModuleHooks:
    """What every owner does to one module of the model."""

    row_owners: RowOwners
    attention: dict[Hashable, AttentionHooks] = field(default_factory=dict)
    inputs: dict[Hashable, list[Callable[[Tensor], Tensor]]] = field(default_factory=dict)
    outputs: dict[Hashable, list[Callable[[Tensor, Tensor], Tensor]]] = field(default_factory=dict)


def module_hooks(module: nn.Module, row_owners: RowOwners) -> ModuleHooks:
    """The hooks of a module, which lie on the module itself: transformers hands nothing else to `attend`."""
    if not hasattr(module, "peft_hooks"):
        vars(module)["peft_hooks"] = ModuleHooks(row_owners)
    return cast(ModuleHooks, module.peft_hooks)


@dataclass(frozen=True)
class Hook:
    """One module of the model, and the owner of the rows that its hooks act on."""

    module: nn.Module
    row_owners: RowOwners = field(default_factory=RowOwners)
    owner: Hashable = None

    @property
    def hooks(self) -> ModuleHooks:
        """What every owner does to the module."""
        return module_hooks(self.module, self.row_owners)

    def change_input(self, function: Callable[[Tensor], Tensor]) -> None:
        """Makes the module read `function(x)` in place of x [b, ...] in the owner's rows."""
        hooks = self.hooks
        if not hooks.inputs:
            self.module.register_forward_pre_hook(
                lambda module, args: (hooks.row_owners.apply(hooks.inputs, args[0]), *args[1:])
            )
        hooks.inputs.setdefault(self.owner, []).append(function)

    def change_output(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        """Makes the module return `function(x, y)` in place of y [b, ...] for x [b, ...] in the owner's rows."""
        hooks = self.hooks
        if not hooks.outputs:
            self.module.register_forward_hook(
                lambda module, args, output: hooks.row_owners.apply(hooks.outputs, args[0], output)
            )
        hooks.outputs.setdefault(self.owner, []).append(function)


@dataclass(frozen=True)
class Linear(Hook):
    """One linear map: the i-th of n equal slices of what `module` computes."""

    i: int = 0
    n: int = 1

    @property
    def weight(self) -> Tensor:
        """The weight of the whole module."""
        return cast(Tensor, self.module.weight)

    @property
    def is_transposed(self) -> bool:
        """Whether the module keeps its weight as [in, out], as GPT-2 does."""
        return type(self.module).__name__ == "Conv1D"

    @property
    def module_out(self) -> int:
        """The width of all that the module returns."""
        return self.weight.shape[1 if self.is_transposed else 0]

    @property
    def in_features(self) -> int:
        """The width of the map's input."""
        return self.weight.shape[0 if self.is_transposed else 1]

    @property
    def out_features(self) -> int:
        """The width of the map's output."""
        return self.module_out // self.n

    @property
    def start(self) -> int:
        """The first of the map's columns in the module's output."""
        return self.i * self.out_features

    @property
    def stop(self) -> int:
        """The end of the map's columns in the module's output."""
        return self.start + self.out_features

    def change(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        """Makes the map return `function(x, y)` where it returned y [..., out] for x [..., in]."""

        def change_slice(x: Tensor, output: Tensor) -> Tensor:
            before, y, after = output.tensor_split([self.start, self.stop], dim=-1)
            return torch.cat([before, function(x, y), after], dim=-1)

        self.change_output(function if self.n == 1 else change_slice)


@dataclass(frozen=True)
class Attention(Hook):
    """One attention module: of an encoder, of a decoder, or from a decoder across to an encoder."""

    @property
    def own(self) -> AttentionHooks:
        """What the owner does here."""
        return self.hooks.attention.setdefault(self.owner, AttentionHooks())

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

    def replace_hooks(self, hooks: AttentionHooks) -> AttentionHooks:
        """Puts `hooks` in the place of what the owner does here, which it returns."""
        before, self.hooks.attention[self.owner] = self.own, hooks
        return before

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


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    position_bias: Tensor | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """Scaled dot-product attention over the keys and values that the owners of the rows made of them.

    Takes query [B, heads, T, d_head], key and value [B, kv_heads, T_kv, d_head]; returns [B, T, heads, d_head].
    Transformers calls it for every attention module of every family, with a mask that is added to the scores
    (https://huggingface.co/docs/transformers/attention_interface).
    """
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    biases = [b for b in (attention_mask, position_bias) if b is not None]
    segments = row_segments(cast(ModuleHooks | None, getattr(module, "peft_hooks", None)), len(query))
    sizes = [n for _, n in segments]
    queries, keys, values = (states.split(sizes) for states in (query, key, value))
    reads = [read_kv(own, *states) for (own, _), *states in zip(segments, queries, keys, values, strict=True)]
    if len({read.kind for read in reads}) == 1:
        return weighted_values(query, join_reads(reads), biases, scaling, dropout), None
    split = [[b] * len(sizes) if len(b) == 1 else b.split(sizes) for b in biases]
    each = zip(queries, reads, *split, strict=True)
    return torch.cat([weighted_values(own, read, list(part), scaling, dropout) for own, read, *part in each]), None


def row_segments(hooks: ModuleHooks | None, n_rows: int) -> list[tuple[AttentionHooks, int]]:
    """The hooks of each owner and how many rows they act on; neighbours whose hooks are idle are one segment."""
    if hooks is None:
        return [(IDLE, n_rows)]
    owners, known = hooks.row_owners, hooks.attention
    if len(owners.segments) == 1:
        return [(known.get(owners.owners[0], IDLE), n_rows)]
    owned = [(known.get(owner, IDLE), n) for owner, n in zip(owners.owners, owners.sizes(n_rows), strict=True)]
    alike = groupby(owned, lambda part: IDLE if part[0].is_idle else part[0])
    return [(own, sum(n for _, n in parts)) for own, parts in alike]


class Read(NamedTuple):
    """What rows read: key and value [b, kv_heads, front + T, d_head], and how they read the first `front` positions."""

    key: Tensor
    value: Tensor
    front: int
    visible: Tensor | None  # [b, T_query], true where a query sees them
    gate: Tensor | None  # [b, T_query], their factor

    @property
    def kind(self) -> tuple[int, int, bool, bool]:
        """Equal for rows that can read in one product."""
        return self.key.shape[2], self.front, self.visible is None, self.gate is None


def read_kv(own: AttentionHooks, query: Tensor, key: Tensor, value: Tensor) -> Read:
    """What the rows of one owner read."""
    if own.prompt is not None:
        prompt = [p.expand(len(key), -1, -1, -1) for p in own.prompt]
        key, value = (torch.cat(pair, dim=2) for pair in zip(prompt, (key, value), strict=True))
    length = key.shape[2]
    if own.change_kv is not None:
        key, value = own.change_kv(key, value)
    visible = None if own.visible is None else own.visible(query.shape[0], query.shape[2])
    return Read(key, value, key.shape[2] - length, visible, None if own.gate is None else own.gate())


def join_reads(reads: Sequence[Read]) -> Read:
    """What rows of one kind read, one owner's after another's."""
    if len(reads) == 1:
        return reads[0]
    key, value = (torch.cat(states) for states in zip(*((read.key, read.value) for read in reads), strict=True))
    visible, gate = (
        [own for read in reads if (own := getattr(read, name)) is not None] for name in ("visible", "gate")
    )
    return Read(key, value, reads[0].front, torch.cat(visible) if visible else None, torch.cat(gate) if gate else None)


def weighted_values(query: Tensor, read: Read, biases: list[Tensor], scaling: float, dropout: float) -> Tensor:
    """Attention [b, T, heads, d_head]; `biases` are added to the scores of positions behind prompt and front."""
    key, value, front, visible, gate = read
    biases = [F.pad(b, (key.shape[2] - b.shape[-1], 0)) for b in biases]
    if visible is not None:
        biases.append(front_bias(visible, front, key.shape[2] - front, query.dtype))
    if gate is not None:
        gate = gate[:, None, :, None].to(query.dtype)
        query = torch.cat([query, gate * query], -1)
        key, value = split_gated_kv(key, front), split_gated_kv(value, front)
    out = F.scaled_dot_product_attention(
        query, key, value, attn_mask=reduce(torch.add, biases) if biases else None,
        dropout_p=dropout, scale=scaling, enable_gqa=query.shape[1] != key.shape[1],
    )  # fmt: skip
    if gate is not None:
        own, added = out.chunk(2, -1)
        out = own + gate * added
    return out.transpose(1, 2)


def front_bias(visible: Tensor, front: int, behind: int, dtype: torch.dtype) -> Tensor:
    """A bias [B, 1, T, front + behind] that hides the first `front` keys where `visible` [B, T] is false."""
    hidden = torch.zeros_like(visible, dtype=dtype).masked_fill(~visible, torch.finfo(dtype).min)
    return F.pad(hidden[:, None, :, None].expand(-1, -1, -1, front), (0, behind))


def split_gated_kv(states: Tensor, front: int) -> Tensor:
    """Keys or values [..., T, d_head] as [..., T, 2 d_head]: the first `front` in half two, the rest in half one.

    The product with [q; g q] is then q k for the rest and g q k for those in front, so that each query has its own g.
    """
    is_front = torch.arange(states.shape[-2], device=states.device).unsqueeze(-1) < front
    return torch.cat([states.masked_fill(is_front, 0), states.masked_fill(~is_front, 0)], -1)


AttentionInterface.register(IMPLEMENTATION, attend)
AttentionMaskInterface.register(IMPLEMENTATION, eager_mask)
