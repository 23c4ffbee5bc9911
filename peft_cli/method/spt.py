"""Scaled prompt tuning (Hu, Meinel, Yang, 2023, https://arxiv.org/abs/2309.06759)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from peft_cli.backbone import Backbone, Batch
from peft_cli.method.pt import PT


class SPT(PT):
    """[s P; X], [P; s X] or s [P; X]: prompt tuning with a trained scale s, which is 1 at step 0, where SPT equals PT.

    Hu, Meinel and Yang, 2023, https://arxiv.org/abs/2309.06759. The paper's abstract names the scale, but no public
    text or code of it gives the formula: this is our reading, and cannot be called the paper's. So what is scaled
    (`scale_target`: prompt, input or both) and the scale's shape are options, and the default is the plainest reading:
    s [d_model] on the prompt. `scale_shape` d_model is a number for each dimension, tokens one for each vector (of the
    prompt, and of the source by its position from the left), scalar a single one. An input's scale touches the source
    and not the target, since a token that a decoder writes is embedded without it.
    """

    def __init__(
        self,
        backbone: Backbone,
        length: PositiveInt,
        init: Literal["random", "vocabulary", "text"],
        text: str | None,
        scale_target: Literal["prompt", "input", "both"],
        scale_shape: Literal["d_model", "tokens", "scalar"],
        lr: PositiveFloat,
        scale_lr: PositiveFloat,
    ):
        super().__init__(backbone, length, init, text, lr)
        self.scale_lr = scale_lr
        self.scale_target: str | None = scale_target  # None: the scale is folded into the prompt
        positions = (scale_target != "input") * length + (scale_target != "prompt") * backbone.encoder.max_source_tokens
        shape = {"d_model": (1, backbone.d_model), "tokens": (positions, 1), "scalar": (1, 1)}[scale_shape]
        self.scale: nn.Parameter | None = nn.Parameter(torch.ones(shape, device=self.prompt.device))

    def inputs(self, batch: Batch) -> Batch:
        """The embedded batch behind the prompt, either or both of them scaled."""
        batch = self.backbone.embed(batch)
        if self.scale is not None and self.scale_target in ("input", "both"):
            batch = batch.with_(inputs_embeds=self.scaled_source(batch, self.scale))
        return self.backbone.prepend(batch, self.scaled_prompt())

    def scaled_prompt(self) -> Tensor:
        """The prompt [P, d_model], times its scale where it has one."""
        if self.scale is None or self.scale_target == "input":
            return self.prompt
        return self.prompt * self.prompt_scale(self.scale)

    def prompt_scale(self, scale: Tensor) -> Tensor:
        """The part of `scale` that is the prompt's: [1 or P, d_model or 1]."""
        return scale[: len(self.prompt)] if len(scale) > 1 else scale

    def scaled_source(self, batch: Batch, scale: Tensor) -> Tensor:
        """Input embeddings [B, T, d_model], those of the source scaled."""
        mask = self.backbone.source_mask(batch)  # [B, T]
        if len(scale) > 1:
            own = scale[len(scale) - self.backbone.encoder.max_source_tokens :]
            scale = own[(mask.cumsum(-1) - 1).clamp(min=0)]  # [B, T, 1], counted from the source's first token
        embeds = batch.embeds
        return torch.where(mask.unsqueeze(-1), embeds * scale.to(embeds.dtype), embeds)

    @torch.no_grad()
    def start_from(self, stored: Mapping[str, Tensor]) -> None:
        """Starts from a stored prompt, with the scale that it was folded with taken out again where that is known."""
        stored = dict(stored)
        if self.scale is not None and self.scale_target == "prompt":
            stored["scale"] = torch.ones_like(self.scale)  # the stored prompt has its scale inside
        elif self.scale is not None and self.scale_target == "both" and "scale" in stored:
            if len(self.scale) > 1:
                ones = torch.ones_like(self.prompt_scale(self.scale))
                stored["scale"] = torch.cat([ones, stored["scale"].to(ones.device)])
            else:
                stored["prompt"] = stored["prompt"] / stored["scale"]
        super().start_from(stored)

    def export(self) -> tuple[dict, dict[str, Tensor]] | None:
        """HF peft's prompt tuning, with the scale inside the prompt; none where the scale is the input's."""
        return super().export() if self.scale is None else None

    def param_groups(self) -> list[dict]:
        """The prompt with `lr`, the scale with `scale_lr`."""
        rest = [p for p in self.parameters() if p is not self.scale]
        return [{"params": rest, "lr": self.lr}, {"params": [self.scale], "lr": self.scale_lr}]

    @torch.no_grad()
    def fold(self) -> None:
        """Multiplies the prompt by its scale; what scales the input stays."""
        self.prompt.copy_(self.scaled_prompt())
        if self.scale_target == "prompt":
            self.scale_target = self.scale = None
        elif self.scale_target == "both" and self.scale is not None:
            self.scale_target = "input"
            if self.scale.shape[1] == 1 and len(self.scale) > 1:
                self.scale = nn.Parameter(self.scale[len(self.prompt) :].clone())
