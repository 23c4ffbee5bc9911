"""Prefix-tuning (Li and Liang, 2021, https://aclanthology.org/2021.acl-long.353)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from peft_cli.backbone import Backbone, Batch
from peft_cli.method import Method
from peft_cli.method.pt import check_text, text_ids

REGRESSION_STEPS, REGRESSION_LR = 500, 1e-4  # of the authors' code, from a text's activations to the MLP's weights


class Prefix(Method):
    """[P_k; K] and [P_v; V] in every attention: `length` trained keys and values that every query sees.

    Encoder self-, decoder self- and cross-attention each have a stack of their own, P = MLP(P'): P' [P, d_model],
    d_model -> `bottleneck` -> tanh -> layers * 2 * heads * d_head (512 for tables, 800 for summaries in the paper), or
    P itself where `bottleneck` is null. `fold` keeps what the MLPs give and drops them. At step 0, P' (or P) is N(0, 1)
    (init=random), or P is what the frozen backbone computes for `text`, repeated or cut to length (init=text: copied,
    or regressed by the MLP in 500 steps, as in the authors' code), or all zero (init=zero).

    `place=front` is [PREFIX; x; y]. `place=between` is the paper's infix, [x; INFIX; y]: in a decoder the separator and
    the target see P, and the source does not. Li and Liang, 2021, https://aclanthology.org/2021.acl-long.353.

    Departures: the paper's P' has `bottleneck` columns; this follows the authors' code, which has d_model. Their code
    adds an infix to what the model computes there for trained vectors; here, as in the paper's formula, P is all there
    is. `shift_positions` moves the tokens of a decoder up by P, as in that code, or leaves them where they are.
    """

    starts_neutral = False

    def __init__(
        self,
        backbone: Backbone,
        length: PositiveInt,
        bottleneck: PositiveInt | None,
        init: Literal["random", "text", "zero"],
        text: str | None,
        place: Literal["front", "between"],
        shift_positions: bool,
        lr: PositiveFloat,
    ):
        super().__init__(backbone, lr)
        check_text(init, text)
        self.check_backbone(place)
        self.place, self.shift_positions = place, shift_positions
        self.prefixes: dict[str, Tensor] = {}  # of each kind [layers, 2, heads, P, d_head], for the pass that follows
        self.by_kind: dict[str, Stack] = {}
        states = backbone.compute_kv(text_ids(backbone, text, length) if text else [backbone.pad] * length)
        for kind, attentions in backbone.attentions().items():
            activations = torch.stack([torch.stack([key[0], value[0]]) for key, value in states[kind]]).float()
            self.by_kind[kind] = new_stack(activations, backbone.d_model, bottleneck, init)
            for layer, attention in enumerate(attentions):
                attention.change_kv(partial(self.extend, kind, layer))
                if place == "between":
                    attention.limit_visibility(self.visible)
        self.stacks = nn.ModuleDict(self.by_kind)
        if shift_positions:
            backbone.shift_positions(length, self.visible if place == "between" else None)
        else:
            backbone.positions_added += length

    def check_backbone(self, place: str) -> None:
        """Raises ValueError where the backbone has no attention to change, or no separator for an infix."""
        backbone = self.backbone
        if not backbone.attentions():
            raise ValueError(
                f"{type(self).__name__} puts keys and values into attention, and {backbone.config.model_type} has none "
                "that can be changed; take a method without them, such as pt, lora or adapter"
            )
        if place == "between" and not (backbone.family.is_decoder_only and backbone.encoder.end):
            raise ValueError(
                f"method.place=between puts the infix behind a decoder's source, before its separator, and "
                f"{backbone.config.model_type} has none here; take method.place=front"
            )

    def inputs(self, batch: Batch) -> Batch:
        """The batch as it is; the prefixes of all layers are computed here, once."""
        self.prefixes = {kind: stack() for kind, stack in self.by_kind.items()}
        if self.place == "between":
            source = self.backbone.source_mask(batch).cumsum(-1)  # [B, T], the number of source tokens so far
            self.behind = source > source[:, -1:] - len(self.backbone.encoder.end)
        return batch

    def visible(self, n_rows: int, n_tokens: int) -> Tensor:
        """[n_rows, n_tokens], true for the tokens of a pass behind an infix: separator and target."""
        n_read = self.behind.shape[1]
        if n_tokens < n_read:  # generation with a cache: what was written last
            return self.behind.new_ones(n_rows, n_tokens)
        beams = self.behind.repeat_interleave(n_rows // len(self.behind), dim=0)
        return nn.functional.pad(beams, (0, n_tokens - n_read), value=True)

    def extend(self, kind: str, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Key and value [B, heads, T, d_head] behind the prefix of one layer."""
        prefix = self.prefixes[kind][layer].to(key.dtype).unsqueeze(1).expand(-1, len(key), -1, -1, -1)
        return torch.cat([prefix[0], key], dim=2), torch.cat([prefix[1], value], dim=2)

    def start_from(self, stored: Mapping[str, Tensor]) -> None:
        """Starts from stored keys and values; raises ValueError where an MLP would have to compute them."""
        if any(stack.mlp is not None for stack in self.by_kind.values()):
            raise ValueError("a stored prefix has no MLP any more; say method.bottleneck=null to go on from it")
        super().start_from(stored)

    def fold(self) -> None:
        """Keeps the keys and values, and drops what computed them."""
        for stack in self.by_kind.values():
            stack.fold()

    def export(self) -> tuple[dict, dict[str, Tensor]] | None:
        """HF peft's prefix tuning, for a decoder whose positions move up as they do there; it has no encoder prefix."""
        if set(self.by_kind) != {"decoder"} or not self.shift_positions or self.place == "between":
            return None
        stack = self.by_kind["decoder"]
        rows, (_, _, heads, d_head) = stack.rows, stack.shape
        sizes = {"num_virtual_tokens": len(rows), "token_dim": heads * d_head, "num_transformer_submodules": 1}
        settings = {"peft_type": "PREFIX_TUNING", "task_type": "CAUSAL_LM", **self.backbone.layout(), **sizes}
        return settings | {"prefix_projection": False}, {"prompt_embeddings": rows}


def new_stack(activations: Tensor, d_model: int, bottleneck: int | None, init: str) -> Stack:
    """The start of the prefixes of one kind of attention; `activations` [layers, 2, heads, P, d_head] are a text's."""
    layers, two, heads, length, d_head = activations.shape
    stack = Stack(length, (layers, two, heads, d_head), d_model, bottleneck).to(activations.device)
    if init == "zero":
        stack.start_at_zero()
    if init == "text":
        stack.start_from(activations)
    return stack


class Stack(nn.Module):
    """The prefixes of one kind of attention: [layers, 2, heads, P, d_head]."""

    def __init__(self, length: int, shape: tuple[int, int, int, int], d_model: int, bottleneck: int | None):
        super().__init__()
        self.shape, width = shape, torch.Size(shape).numel()
        if bottleneck is None:
            self.rows, self.mlp = nn.Parameter(torch.randn(length, width)), None
        else:
            self.rows = nn.Parameter(torch.randn(length, d_model))  # P'
            self.mlp = nn.Sequential(nn.Linear(d_model, bottleneck), nn.Tanh(), nn.Linear(bottleneck, width))

    def forward(self) -> Tensor:
        """Keys (first) and values (second) of all layers."""
        rows = self.rows if self.mlp is None else self.mlp(self.rows)
        return rows.view(len(rows), *self.shape).permute(1, 2, 3, 0, 4)

    @torch.no_grad()
    def start_at_zero(self) -> None:
        """Makes all keys and values zero."""
        for p in [self.rows] if self.mlp is None else self.mlp[-1].parameters():
            p.zero_()

    def start_from(self, activations: Tensor) -> None:
        """Makes keys and values those of `activations` [layers, 2, heads, P, d_head], or as near as the MLP comes."""
        if self.mlp is None:
            self.rows.data = activations.permute(3, 0, 1, 2, 4).flatten(1).clone()
            return
        optimizer = torch.optim.Adam(self.mlp.parameters(), lr=REGRESSION_LR)
        for _ in range(REGRESSION_STEPS):
            nn.functional.mse_loss(self(), activations).backward()
            optimizer.step()
            optimizer.zero_grad()
        self.rows.grad = None

    @torch.no_grad()
    def fold(self) -> None:
        """Keeps the rows that the MLP gives, and drops it."""
        if self.mlp is not None:
            self.rows, self.mlp = nn.Parameter(self.mlp(self.rows)), None
