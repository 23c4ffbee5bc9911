"""The places where a method may act on a backbone: linear maps, attention modules, blocks. Their verb is `change`."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

from peft_cli.backbone.row_owners import Shares

IMPLEMENTATION = "peft_cli"  # the name under which transformers finds `attend`


@dataclass(frozen=True)
class Linear:
    """One linear map: the i-th of n equal slices of what `module` computes."""

    module: nn.Module
    i: int
    n: int
    shares: Shares = field(default_factory=Shares)
    owner: Hashable = None

    @property
    def is_transposed(self) -> bool:
        """Whether the module keeps its weight as [in, out], as GPT-2 does."""
        return type(self.module).__name__ == "Conv1D"

    @property
    def module_out(self) -> int:
        """The width of all that the module returns."""
        return self.module.weight.shape[1 if self.is_transposed else 0]

    @property
    def in_features(self) -> int:
        """The width of what the map reads."""
        return self.module.weight.shape[0 if self.is_transposed else 1]

    @property
    def out_features(self) -> int:
        """The width of what the map returns."""
        return self.module_out // self.n

    @property
    def start(self) -> int:
        """The first of the map's columns in what the module returns."""
        return self.i * self.out_features

    @property
    def stop(self) -> int:
        """The end of the map's columns in what the module returns."""
        return self.start + self.out_features

    def change(self, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        """Makes the map return `function(x, y)` where it returned y [..., out] for x [..., in]."""

        def changed(x: Tensor, output: Tensor) -> Tensor:
            if self.n == 1:
                return function(x, output)
            before, y, after = output.tensor_split([self.start, self.stop], dim=-1)
            return torch.cat([before, function(x, y), after], dim=-1)

        self.shares.change_output(self.module, self.owner, changed)

    def change_input(self, function: Callable[[Tensor], Tensor]) -> None:
        """Makes the map, and every other slice of its module, read `function(x)` in place of x [..., in]."""
        self.shares.change_input(self.module, self.owner, function)


@dataclass(eq=False)
class Acts:
    """What one owner does to an attention module; `Attention` tells what each of it is."""

    change: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None
    sees: Callable[[int, int], Tensor] | None = None
    gate: Callable[[], Tensor] | None = None
    prompt: list[Tensor] | None = None

    @property
    def are_idle(self) -> bool:
        """Whether the module is as it was."""
        return self.change is None and self.prompt is None


IDLE = Acts()


@dataclass(frozen=True)
class Attention:
    """One attention module: of an encoder, of a decoder, or from a decoder across to an encoder."""

    module: nn.Module
    shares: Shares = field(default_factory=Shares)
    owner: Hashable = None

    @property
    def acts(self) -> Acts:
        """What the owner does here."""
        _, known = vars(self.module).setdefault("peft_cli_acts", (self.shares, {}))
        return known.setdefault(self.owner, Acts())

    def change(self, function: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> None:
        """Makes the module read `function(key, value)` in place of its key and value [B, heads, T, d_head].

        `function` may put positions before the first one; every query sees them. They lie outside the model's cache.
        """
        if self.acts.change is not None:
            raise ValueError("two parts of a method change the keys and values of one attention module")
        self.acts.change = function

    def hide(self, sees: Callable[[int, int], Tensor]) -> None:
        """Hides the positions that `change` put in front from the queries for which `sees(B, T)` [B, T] is false."""
        self.acts.sees = sees

    def gate(self, gate: Callable[[], Tensor]) -> None:
        """Multiplies the keys and values that `change` put in front by `gate()` [B, T], a number for each query."""
        self.acts.gate = gate

    def restore(self) -> None:
        """Takes the change back."""
        self.acts.change = None

    def lead(self, prompt: list[Tensor] | None) -> None:
        """Makes every row read the key and value of `prompt`, each [1, heads, P, d_head], before its own.

        An empty list is filled with what the module computes when it is called; None takes the prompt back.
        """
        self.acts.prompt = prompt


@dataclass(frozen=True)
class Block:
    """One transformer block."""

    module: nn.Module
    shares: Shares = field(default_factory=Shares)
    owner: Hashable = None

    def change(self, function: Callable[[Tensor], Tensor]) -> None:
        """Makes the block read `function(hidden)` in place of hidden [B, T, d_model]."""
        self.shares.change_input(self.module, self.owner, function)

    def wrap(self, wrapper: Callable[[Callable], Callable]) -> None:
        """Makes the block compute `wrapper(forward)`, where forward is what it computed."""
        self.module.forward = wrapper(self.module.forward)

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
    owned = runs(*vars(module).get("peft_cli_acts", (Shares(), {})), len(query))
    sizes = [n for _, n in owned]
    queries, keys, values = (states.split(sizes) for states in (query, key, value))
    reads = [read_by(acts, *states) for (acts, _), *states in zip(owned, queries, keys, values, strict=True)]
    if len({read.kind for read in reads}) == 1:
        return weigh(query, joined(reads), biases, scaling, dropout), None
    cut = [[b] * len(sizes) if len(b) == 1 else b.split(sizes) for b in biases]
    each = zip(queries, reads, *cut, strict=True)
    return torch.cat([weigh(own, read, own_biases, scaling, dropout) for own, read, *own_biases in each]), None


def runs(shares: Shares, known: Mapping[Hashable, Acts], n_rows: int) -> list[tuple[Acts, int]]:
    """How many rows are acted on alike, and how: those of each owner, and neighbours that do nothing as one."""
    if len(shares.owners) == 1:
        return [(known.get(shares.owners[0], IDLE), n_rows)]
    owned = [(known.get(owner, IDLE), n) for owner, n in zip(shares.owners, shares.sizes(n_rows), strict=True)]
    alike = groupby(owned, lambda part: IDLE if part[0].are_idle else part[0])
    return [(acts, sum(n for _, n in parts)) for acts, parts in alike]


class Read(NamedTuple):
    """What rows read: key and value [b, kv_heads, front + T, d_head], and how the first `front` positions are read."""

    key: Tensor
    value: Tensor
    front: int
    sees: Tensor | None  # [b, T_query], true where a query sees them
    gate: Tensor | None  # [b, T_query], their factor

    @property
    def kind(self) -> tuple:
        """What is the same where rows can read in one product."""
        return self.key.shape[2], self.front, self.sees is None, self.gate is None


def read_by(acts: Acts, query: Tensor, key: Tensor, value: Tensor) -> Read:
    """What the rows of one owner read."""
    key, value = led(acts.prompt, key, value)
    behind = key.shape[2]
    if acts.change is not None:
        key, value = acts.change(key, value)
    sees = None if acts.sees is None else acts.sees(query.shape[0], query.shape[2])
    return Read(key, value, key.shape[2] - behind, sees, None if acts.gate is None else acts.gate())


def joined(reads: Sequence[Read]) -> Read:
    """What rows of one kind read, one owner's after another's."""
    if len(reads) == 1:
        return reads[0]
    together = [[getattr(read, name) for read in reads] for name in ("key", "value", "sees", "gate")]
    key, value, sees, gate = (None if states[0] is None else torch.cat(states) for states in together)
    return Read(key, value, reads[0].front, sees, gate)


def weigh(query: Tensor, read: Read, biases: list[Tensor], scaling: float, dropout: float) -> Tensor:
    """Attention [b, T, heads, d_head]; `biases` are added to the scores of what is no prompt and not in front."""
    key, value, front, sees, gate = read
    biases = [F.pad(b, (key.shape[2] - b.shape[-1], 0)) for b in biases]
    if sees is not None:
        biases.append(hiding(sees, front, key.shape[2] - front, query.dtype))
    if gate is not None:
        gate = gate[:, None, :, None].to(query.dtype)
        query, key, value = torch.cat([query, gate * query], -1), apart(key, front), apart(value, front)
    out = F.scaled_dot_product_attention(
        query, key, value, attn_mask=sum(biases) if biases else None, dropout_p=dropout, scale=scaling,
        enable_gqa=query.shape[1] != key.shape[1],
    )  # fmt: skip
    if gate is not None:
        own, added = out.chunk(2, -1)
        out = own + gate * added
    return out.transpose(1, 2)


def led(prompt: list[Tensor] | None, key: Tensor, value: Tensor) -> list[Tensor]:
    """Key and value [B, kv_heads, P + T, d_head] with the prompt in front; they fill one that is empty."""
    if prompt == []:
        prompt += [key, value]
    if not prompt or prompt[0] is key:
        return [key, value]
    return [torch.cat([p.expand(len(x), -1, -1, -1), x], dim=2) for p, x in zip(prompt, (key, value), strict=True)]


def hiding(sees: Tensor, front: int, behind: int, dtype: torch.dtype) -> Tensor:
    """What hides the first `front` of all keys from the queries for which `sees` [B, T] is false, to add to scores."""
    hidden = torch.zeros_like(sees, dtype=dtype).masked_fill(~sees, torch.finfo(dtype).min)
    return F.pad(hidden[:, None, :, None].expand(-1, -1, -1, front), (0, behind))


def apart(states: Tensor, front: int) -> Tensor:
    """Keys or values [..., T, d_head] as [..., T, 2 d_head]: the first `front` in half two, the rest in half one.

    The product with [q; g q] is then q k for the rest and g q k for those in front, so that each query has its own g.
    """
    is_front = torch.arange(states.shape[-2], device=states.device).unsqueeze(-1) < front
    return torch.cat([states.masked_fill(is_front, 0), states.masked_fill(~is_front, 0)], -1)


AttentionInterface.register(IMPLEMENTATION, attend)
AttentionMaskInterface.register(IMPLEMENTATION, eager_mask)
