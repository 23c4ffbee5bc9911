"""DART, differentiable prompts (Zhang et al., 2022, https://arxiv.org/abs/2108.13161), and LM-BFF's manual ones."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat

from peft_cli.backbone import Backbone, Batch
from peft_cli.method.entailment import Entailment


class DART(Entailment):
    """s_c = w_c f(h) + b_c, where h is the state at the mask of [x; t_1 .. t_n; words; mask; .] and f the words' head.

    w_c is a trained vector for each token of the class's label, and their mean where it has several. At step 0 they
    are the label's embeddings, and the template starts as in entailment. With `on_top=ft` all weights train too: DART
    (Zhang et al., 2022, https://arxiv.org/abs/2108.13161). With `trains=nothing` the template and labels are the data
    set's own words: prompt-based fine-tuning with a manual template, LM-BFF (Gao et al., 2021,
    https://aclanthology.org/2021.acl-long.295).

    Departures: DART's vectors are parameters of their own, not rows of the vocabulary; its class loss is the
    cross-entropy over the classes' words, its fluency loss that of entailment. LM-BFF without demonstrations and
    without its search for templates and words; a label of several tokens has the mean of their logits.
    """

    form = "mask"

    def __init__(
        self,
        backbone: Backbone,
        tokens: NonNegativeInt,
        sides: Literal["one", "two"],
        trains: Literal["both", "template", "labels", "nothing"],
        fluency: NonNegativeFloat,
        on_top: str | None,
        options: dict[str, Any] | None,
        lr: PositiveFloat,
    ):
        super().__init__(backbone, tokens, sides, trains, "frozen", fluency, on_top, options, lr)

    def inputs(self, batch: Batch) -> Batch:
        """The embedded batch with the trained template, and the vectors that stand for the labels at the mask."""
        batch = super().inputs(batch)
        if self.labels is None:
            return batch
        parts = self.labels.split([len(label) for label in self.templates.labels])
        return batch.with_(label_vectors=torch.stack([part.mean(0) for part in parts]))
