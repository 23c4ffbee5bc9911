"""Prefix-tuning's embedding-only ablation (Li and Liang, 2021, https://aclanthology.org/2021.acl-long.353)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from peft_cli.backbone import Backbone, Batch
from peft_cli.method.pt import PT


class PrefixEmbedding(PT):
    """[MLP(P'); X]: a prefix of the embeddings alone, which the layers above compute on from; "EMB" in the paper.

    P' [P, d_model] is N(0, 1) at step 0, and the MLP is d_model -> `bottleneck` -> tanh -> d_model, as in the authors'
    code; `fold` keeps the P vectors that it gives and drops it. Li and Liang, 2021, section 7.2,
    https://aclanthology.org/2021.acl-long.353. Departure: none known.
    """

    def __init__(self, backbone: Backbone, length: PositiveInt, bottleneck: PositiveInt, lr: PositiveFloat):
        super().__init__(backbone, length, "random", None, lr)
        nn.init.normal_(self.prompt)
        d_model = backbone.d_model
        mlp = nn.Sequential(nn.Linear(d_model, bottleneck), nn.Tanh(), nn.Linear(bottleneck, d_model))
        self.mlp: nn.Sequential | None = mlp.to(backbone.model.device)

    def inputs(self, batch: Batch) -> Batch:
        """The embedded batch behind the vectors that the MLP gives."""
        return self.backbone.prepend(self.backbone.embed(batch), self.vectors())

    def vectors(self) -> Tensor:
        """The prefix [P, d_model]: what the MLP gives, or what is left of it after `fold`."""
        return self.prompt if self.mlp is None else self.mlp(self.prompt)

    def start_from(self, stored: Mapping[str, Tensor]) -> None:
        """Raises ValueError: what is stored has no MLP to go on with."""
        raise ValueError("a stored prefix has no MLP any more; go on from it with method=pt and init_tensors=[prompt]")

    @torch.no_grad()
    def fold(self) -> None:
        """Keeps the vectors that the MLP gives, and drops it."""
        self.prompt, self.mlp = nn.Parameter(self.vectors()), None
