"""The hooks by which a method changes a backbone: on linear maps, attention modules and blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

IMPLEMENTATION = "peft_cli"  # the name under which transformers finds `attend`

KeyValue = tuple[Tensor, Tensor]  # each [B, kv_heads, T, d_head]


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

    columns: slice | Tensor = field(default_factory=lambda: slice(None))  # of the module's output; indices where they are not adjacent

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

    def replace_hooks(self, hooks: AttentionHooks) -> AttentionHooks:
        """Puts `hooks` in the place of what the method does here, which it returns."""
        before, attention_hooks(self.module)[self.rows] = self.own, hooks
        return before


@dataclass(frozen=True)
class Block(Hook):
    """One transformer block; `change_input` changes hidden [B, T, d_model]."""

    def wrap(self, wrapper: Callable[[Callable], Callable]) -> None:
        """Makes the block compute `wrapper(forward)`, where forward is what it computed."""
        vars(self.module)["forward"] = wrapper(self.module.forward)

    def unwrap(self) -> None:
        """Makes the block compute what it did before anything was wrapped."""
        vars(self.module).pop("forward", None)


# Arguments of attention that need no more: the mask holds a window, and the rest is for other implementations.
KNOWN_ARGUMENTS = frozenset(
    (
        "use_cache",
        "position_ids",
        "sliding_window",
        "deterministic",
        "encoder_hidden_states",
        "is_causal",
        "cache_position",
    )
)


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    position_bias: Tensor | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """Attention over the keys and values that a method made of them.

    Takes query [B, heads, T, d_head], key and value [B, kv_heads, T_kv, d_head]; returns [B, T, heads, d_head].
    Transformers calls it for every attention module of every family, with a mask that is added to the scores
    (https://huggingface.co/docs/transformers/attention_interface). `softcap` bounds the scores, `s_aux` [heads] are the
    logits of sinks. Raises ValueError for an argument that it does not know.
    """
    known: dict[Rows, AttentionHooks] = vars(module).get("peft_hooks", {})
    own = next((hooks for rows, hooks in known.items() if rows.are_all), UNCHANGED)
    score = Scoring(query.shape[-1] ** -0.5 if scaling is None else scaling, dropout, softcap, s_aux)
    biases = bias_terms(own, key, attention_mask, position_bias, more)
    return weighted_values(query, read_kv(own, query, key, value), biases, score), None


class Scoring(NamedTuple):
    """How attention turns products of queries and keys into weights."""

    scaling: float
    dropout: float
    softcap: float | None = None
    sinks: Tensor | None = None  # [heads], logits that take weight and have no value

    def weigh(self, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None) -> Tensor:
        """The weighted values [B, heads, T, d_head]."""
        if self.softcap is None and self.sinks is None:
            return F.scaled_dot_product_attention(
                query, key, value, attn_mask=bias, dropout_p=self.dropout, scale=self.scaling,
                enable_gqa=query.shape[1] != key.shape[1],
            )  # fmt: skip
        key, value = (states.repeat_interleave(query.shape[1] // states.shape[1], dim=1) for states in (key, value))
        scores = self.scaling * query @ key.transpose(-1, -2)
        scores = scores if self.softcap is None else self.softcap * torch.tanh(scores / self.softcap)
        scores = scores if bias is None else scores + bias
        if self.sinks is not None:
            sinks = self.sinks.to(scores.dtype).view(1, -1, 1, 1).expand(len(scores), -1, scores.shape[2], 1)
            scores = torch.cat([scores, sinks], -1)
        weights = scores.float().softmax(-1).to(value.dtype)[..., : key.shape[2]]
        return F.dropout(weights, self.dropout, self.dropout > 0) @ value


def bias_terms(
    own: AttentionHooks, key: Tensor, mask: Tensor | None, position_bias: Tensor | None, more: dict[str, Any]
) -> list[Tensor]:
    """What is added to the scores: the mask, the positions' bias, and the window of a prompt in front.

    Raises ValueError for an argument in `more` that attention here does not know.
    """
    if unknown := [name for name, value in more.items() if name not in KNOWN_ARGUMENTS and value is not None]:
        raise ValueError(f"the backbone's attention has an argument {unknown[0]!r}, which this package does not know")
    biases = [b for b in (mask, position_bias) if b is not None]
    window, positions = more.get("sliding_window"), more.get("position_ids")
    if own.prompt is not None and window and positions is not None:
        length, dtype = own.prompt[0].shape[2], key.dtype
        is_far = positions[:, None, :, None] - torch.arange(length, device=key.device) >= window  # [B, 1, T, P]
        far = torch.zeros(is_far.shape, dtype=dtype, device=key.device).masked_fill(is_far, torch.finfo(dtype).min)
        biases.append(F.pad(far, (0, key.shape[2])))
    return biases


class Read(NamedTuple):
    """What rows read: key and value [b, kv_heads, front + T, d_head], and how they read the first `front` positions."""

    key: Tensor
    value: Tensor
    front: int
    visible: Tensor | None  # [b, T_query], true where a query sees them
    gate: Tensor | None  # [b, T_query], their factor


def read_kv(own: AttentionHooks, query: Tensor, key: Tensor, value: Tensor) -> Read:
    """What rows read under the hooks `own`."""
    if own.prompt is not None:
        prompt = [p.expand(len(key), -1, -1, -1) for p in own.prompt]
        key, value = (torch.cat(pair, dim=2) for pair in zip(prompt, (key, value), strict=True))
    length = key.shape[2]
    if own.change_kv is not None:
        key, value = own.change_kv(key, value)
    visible = None if own.visible is None else own.visible(query.shape[0], query.shape[2])
    return Read(key, value, key.shape[2] - length, visible, None if own.gate is None else own.gate())


def weighted_values(query: Tensor, read: Read, biases: list[Tensor], score: Scoring) -> Tensor:
    """Attention [b, T, heads, d_head]; a bias that is shorter than the keys is for the last of them."""
    key, value, front, visible, gate = read
    biases = [F.pad(b, (key.shape[2] - b.shape[-1], 0)) for b in biases]
    if visible is not None:
        biases.append(front_bias(visible, front, key.shape[2] - front, query.dtype))
    if gate is not None:
        gate = gate[:, None, :, None].to(query.dtype)
        query = torch.cat([query, gate * query], -1)
        key, value = split_gated_kv(key, front), split_gated_kv(value, front)
    out = score.weigh(query, key, value, reduce(torch.add, biases) if biases else None)
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
