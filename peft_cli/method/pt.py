"""Prompt tuning (Lester et al., 2021, https://aclanthology.org/2021.emnlp-main.243)."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from peft_cli.backbone import Backbone, Batch
from peft_cli.method import Method

COMMON_TOKENS = 5000  # a vocabulary sample comes from the first of the vocabulary, which are the most common
RANDOM_BOUND = 0.5  # random vectors are uniform between plus and minus this


class PT(Method):
    """[P; X]: `length` trained vectors P [P, d_model] in front of the embedded input X.

    At step 0, P is uniform noise (init=random), the embeddings of tokens drawn from the 5,000 most common ones
    (init=vocabulary), or those of `text`, repeated or cut to length (init=text): the three starts of the paper. On an
    encoder-decoder the encoder alone reads the prompt. Lester et al., 2021,
    https://aclanthology.org/2021.emnlp-main.243. Departure: the optimizer is AdamW, as for every method here, where the
    paper has Adafactor (lr 0.3).
    """

    starts_neutral = False

    def __init__(
        self,
        backbone: Backbone,
        length: PositiveInt,
        init: Literal["random", "vocabulary", "text"],
        text: str | None,
        lr: PositiveFloat,
    ):
        super().__init__(backbone, lr)
        check_text(init, text)
        backbone.reserve(length)
        self.prompt = nn.Parameter(start_vectors(backbone, length, init, text))

    def inputs(self, batch: Batch) -> Batch:
        """The embedded batch behind the prompt."""
        return self.backbone.prepend(self.backbone.embed(batch), self.prompt)

    def export(self) -> tuple[dict, dict[str, Tensor]] | None:
        """HF peft's prompt tuning; none where something stays in front of the prompt here, and not there."""
        if self.backbone.family.prompt_at:
            return None
        sizes = {
            "num_virtual_tokens": len(self.prompt),
            "token_dim": self.backbone.d_model,
            "num_transformer_submodules": 1,
        }
        settings = {
            "peft_type": "PROMPT_TUNING",
            "task_type": self.backbone.task_type,
            **self.backbone.layout(),
            **sizes,
        }
        return settings, {"prompt_embeddings": self.prompt}


def start_vectors(backbone: Backbone, length: int, init: str, text: str | None) -> Tensor:
    """The vectors [P, d_model] in fp32 that a prompt starts from."""
    if init == "random":
        noise = torch.empty(length, backbone.d_model).uniform_(-RANDOM_BOUND, RANDOM_BOUND)
        return noise.to(backbone.model.device)
    if text:
        ids = torch.tensor(text_ids(backbone, text, length), dtype=torch.long)
    else:
        common = min(COMMON_TOKENS, backbone.config.vocab_size)
        ids = torch.randperm(common)[:length] if length <= common else torch.randint(common, (length,))
    return backbone.embedding(ids).detach().float().clone()


def check_text(init: str, text: str | None) -> None:
    """Raises ValueError unless there is a text where a start needs one, and only there."""
    if (init == "text") != bool(text):
        raise ValueError(f"method.init={init} with method.text={text!r}: a text goes with init=text, and only with it")


def text_ids(backbone: Backbone, text: str, length: int) -> list[int]:
    """The ids of `text`, repeated or cut to `length`; raises ValueError for a text without a token."""
    ids = backbone.encoder.ids(text)
    if not ids:
        raise ValueError(f"method.text={text!r} has no token of this backbone; give words, or another method.init")
    return (ids * -(-length // len(ids)))[:length]
