"""Predictions for examples, and their scores."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from pydantic import NonNegativeInt, PositiveInt

from peft_cli.backbone import Backbone
from peft_cli.data import Data, Example
from peft_cli.method import Method
from peft_cli.metrics import Scores, score


@dataclass(frozen=True)
class Decoding:
    """How text is generated; conf/decode tells what each key means."""

    beams: PositiveInt
    length_penalty: float
    max_new_tokens: PositiveInt
    min_new_tokens: NonNegativeInt
    no_repeat_ngram: NonNegativeInt
    batch_size: PositiveInt

    def options(self) -> dict:
        """The same in the words of transformers, with nothing left to a checkpoint's own settings."""
        return {
            "num_beams": self.beams,
            "length_penalty": self.length_penalty if self.beams > 1 else None,
            "early_stopping": False,
            "max_new_tokens": self.max_new_tokens,
            "min_new_tokens": self.min_new_tokens,
            "no_repeat_ngram_size": self.no_repeat_ngram,
        }


@dataclass(frozen=True)
class Prediction:
    """What was generated for the examples, in their order."""

    texts: list[str]
    seconds: float  # all in all, without tokenising


@torch.no_grad()
def predict(
    backbone: Backbone,
    method: Method,
    examples: Sequence[Example],
    decoding: Decoding,
    done: Callable[[int], None] = lambda count: None,
) -> Prediction:
    """The predicted text of every example; inputs of like length share a batch. `done` is told how many came out."""
    backbone.model.eval()
    method.eval()
    backbone.kept = None  # of the last state that predicted
    rows = backbone.encode(examples)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].source), reverse=True)
    texts, start = [""] * len(rows), time.perf_counter()
    for i in range(0, len(order), decoding.batch_size):
        chosen = order[i : i + decoding.batch_size]
        inputs = method.inputs(backbone.batch([rows[j] for j in chosen], training=False))
        for j, text in zip(chosen, backbone.predict(inputs, **decoding.options()), strict=True):
            texts[j] = text
        done(len(chosen))
    return Prediction(texts, time.perf_counter() - start)


def score_all(
    data: Data,
    examples: Sequence[Example],
    texts: Sequence[str],
    protocol: str | None,
    more_metrics: Sequence[str] = (),
) -> Scores:
    """The scores of `texts` by the data set's metrics and `more_metrics`; None takes the data set's own protocol."""
    references, sources = ([getattr(example, side) for example in examples] for side in ("references", "source"))
    names = [*data.metrics, *more_metrics]
    return score(names, texts, references, protocol or data.protocol, sources, data.labels)
