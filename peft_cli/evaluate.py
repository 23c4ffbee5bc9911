"""Predictions for examples, and their scores."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from pydantic import NonNegativeInt, PositiveInt

from peft_cli.backbone import Backbone
from peft_cli.data import Example
from peft_cli.method import Method


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


def predict(
    backbone: Backbone,
    method: Method,
    examples: Sequence[Example],
    decoding: Decoding,
    done: Callable[[dict[int, str], float], None] = lambda texts, seconds: None,
    known: Mapping[int, str] = MappingProxyType({}),
    known_seconds: float = 0.0,
) -> Prediction:
    """The predicted text of every example; inputs of like length share a batch.

    `done` is told the texts of each batch by the examples' numbers, and its seconds. A batch that is all in `known`,
    from an earlier time, is not predicted again; one that is only partly there is, as batches stay what they were.
    """
    backbone.model.eval()
    method.eval()
    rows = backbone.encode(examples)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].source), reverse=True)
    texts, total = dict(known), known_seconds
    for i in range(0, len(order), decoding.batch_size):
        chosen, start = order[i : i + decoding.batch_size], time.perf_counter()
        if all(j in known for j in chosen):
            continue
        inputs = method.inputs(backbone.batch([rows[j] for j in chosen], training=False))
        made = dict(zip(chosen, backbone.predict(inputs, **decoding.options()), strict=True))
        seconds = time.perf_counter() - start
        texts.update(made)
        total += seconds
        done(made, seconds)
    return Prediction([texts[i] for i in range(len(rows))], total)
