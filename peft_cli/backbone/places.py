"""The places where a method may act on a backbone: linear maps, attention modules, blocks. Their verb is `change`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask

IMPLEMENTATION = "peft_cli"  # the name under which transformers finds `attend`


@dataclass(frozen=True)
class Linear:
    """One linear map: the i-th of n equal slices of what `module` computes."""

    module: nn.Module
    i: int
    n: int

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

        def hook(module: nn.Module, args: tuple[Tensor], output: Tensor) -> Tensor:
            if self.n == 1:
                return function(args[0], output)
            before, y, after = output.tensor_split([self.start, self.stop], dim=-1)
            return torch.cat([before, function(args[0], y), after], dim=-1)

        self.module.register_forward_hook(hook)

    def change_input(self, function: Callable[[Tensor], Tensor]) -> None:
        """Makes the map, and every other slice of its module, read `function(x)` in place of x [..., in]."""
        self.module.register_forward_pre_hook(lambda module, args: (function(args[0]), *args[1:]))


@dataclass(frozen=True)
class Attention:
    """One attention module: of an encoder, of a decoder, or from a decoder across to an encoder."""

    module: nn.Module

    def change(self, function: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> None:
        """Makes the module read `function(key, value)` in place of its key and value [B, heads, T, d_head].

        `function` may put positions before the first one; every query sees them. They lie outside the model's cache.
        """
        if hasattr(self.module, "peft_cli_change"):
            raise ValueError("two parts of a method change the keys and values of one attention module")
        self.module.peft_cli_change = function

    def hide(self, sees: Callable[[int, int], Tensor]) -> None:
        """Hides the positions that `change` put in front from the queries for which `sees(B, T)` [B, T] is false."""
        self.module.peft_cli_sees = sees

    def gate(self, gate: Callable[[], Tensor]) -> None:
        """Multiplies the keys and values that `change` put in front by `gate()` [B, T], a number for each query."""
        self.module.peft_cli_gate = gate

    def restore(self) -> None:
        """Takes the change back."""
        del self.module.peft_cli_change

    def lead(self, prompt: list[Tensor] | None) -> None:
        """Makes every row read the key and value of `prompt`, each [1, heads, P, d_head], before its own.

        An empty list is filled with what the module computes when it is called; None takes the prompt back.
        """
        self.module.peft_cli_prompt = prompt


@dataclass(frozen=True)
class Block:
    """One transformer block."""

    module: nn.Module

    def change(self, function: Callable[[Tensor], Tensor]) -> None:
        """Makes the block read `function(hidden)` in place of hidden [B, T, d_model]."""
        self.module.register_forward_pre_hook(lambda module, args: (function(args[0]), *args[1:]))

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
    """Scaled dot-product attention over what `Attention.change` and `Attention.lead` made of the keys and values.

    Takes query [B, heads, T, d_head], key and value [B, kv_heads, T_kv, d_head]; returns [B, T, heads, d_head].
    Transformers calls it for every attention module of every family, with a mask that is added to the scores
    (https://huggingface.co/docs/transformers/attention_interface).
    """
    length, scaling = key.shape[2], query.shape[-1] ** -0.5 if scaling is None else scaling
    key, value = led(module, key, value)
    behind = key.shape[2]
    if hasattr(module, "peft_cli_change"):
        key, value = module.peft_cli_change(key, value)
    front = key.shape[2] - behind
    biases = [F.pad(b, (key.shape[2] - length, 0)) for b in (attention_mask, position_bias) if b is not None]
    if hasattr(module, "peft_cli_sees"):
        biases.append(hiding(module.peft_cli_sees(query.shape[0], query.shape[2]), front, behind, query.dtype))
    gate = module.peft_cli_gate()[:, None, :, None].to(query.dtype) if hasattr(module, "peft_cli_gate") else None
    if gate is not None:
        query, key, value = torch.cat([query, gate * query], -1), apart(key, front), apart(value, front)
    out = F.scaled_dot_product_attention(
        query, key, value, attn_mask=sum(biases) if biases else None, dropout_p=dropout, scale=scaling,
        enable_gqa=query.shape[1] != key.shape[1],
    )  # fmt: skip
    if gate is not None:
        own, added = out.chunk(2, -1)
        out = own + gate * added
    return out.transpose(1, 2), None


def led(module: nn.Module, key: Tensor, value: Tensor) -> list[Tensor]:
    """Key and value [B, kv_heads, P + T, d_head] with the module's prompt in front; they fill one that is empty."""
    prompt = vars(module).get("peft_cli_prompt")
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
