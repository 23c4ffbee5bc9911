"""Predictions for examples, and their scores."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from peft_cli.backbone import Backbone, Encoded
from peft_cli.backbone.tokenization import Encoder
from peft_cli.data import Data, Example
from peft_cli.data.reading.content import subset_indices
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
    classes: Literal["rank", "generate"] = "rank"
    banned: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Raises ValueError where a text would have to be longer than it may be."""
        if self.min_new_tokens > self.max_new_tokens:
            raise ValueError(
                f"decode.min_new_tokens={self.min_new_tokens} is above decode.max_new_tokens={self.max_new_tokens}"
            )

    def options(self, encoder: Encoder) -> dict[str, Any]:
        """The same in the words of transformers, with nothing left to a checkpoint's own settings."""
        return {
            "suppress_tokens": banned_ids(self.banned, encoder) or None,
            "num_beams": self.beams,
            "length_penalty": self.length_penalty if self.beams > 1 else None,
            "early_stopping": False,
            "max_new_tokens": self.max_new_tokens,
            "min_new_tokens": self.min_new_tokens,
            "no_repeat_ngram_size": self.no_repeat_ngram,
        }


def banned_ids(texts: Sequence[str], encoder: Encoder) -> list[int]:
    """The id of each text; raises ValueError for one that is not a single token."""
    for text in texts:
        if (n := len(encoder.ids(text))) != 1:
            raise ValueError(f"decode.banned has {text!r}, which is {n} tokens of this backbone; each has to be one")
    return [encoder.ids(text)[0] for text in texts]


@dataclass(frozen=True)
class Prediction:
    """What was predicted for the examples, in their order: texts, classes or numbers, all as text."""

    texts: list[str]
    seconds: float  # all in all, without tokenising


@torch.no_grad()
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

    Where the data set has classes, a backbone that writes text predicts the class whose text it finds most likely, or
    with classes=generate the text that it writes. `done` is told the texts of each batch by the examples' numbers, and
    its seconds. A batch that is all in `known`, from an earlier time, is not predicted again; one that is only partly
    there is, as batches stay what they were.
    """
    backbone.model.eval()
    method.eval()
    backbone.known_prompt = None  # of the state that predicted last
    rows, ranks = backbone.encode(examples), is_ranked(backbone, decoding)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].source), reverse=True)
    texts, total = dict(known), known_seconds
    for i in range(0, len(order), decoding.batch_size):
        chosen, start = order[i : i + decoding.batch_size], time.perf_counter()
        if all(j in known for j in chosen):
            continue
        batch = [rows[j] for j in chosen]
        written = (rank if ranks else write)(backbone, method, batch, decoding)
        made, seconds = dict(zip(chosen, written, strict=True)), time.perf_counter() - start
        texts.update(made)
        total += seconds
        done(made, seconds)
    return Prediction([texts[i] for i in range(len(rows))], total)


def is_ranked(backbone: Backbone, decoding: Decoding) -> bool:
    """Whether a class is predicted by how likely its text is."""
    return backbone.family.generates and bool(backbone.encoder.labels) and decoding.classes == "rank"


def write(backbone: Backbone, method: Method, rows: Sequence[Encoded], decoding: Decoding) -> list[str]:
    """The text that the backbone writes for each row, or the class or number of its head."""
    return backbone.predict(method.inputs(backbone.batch(rows, training=False)), **decoding.options(backbone.encoder))


def rank(backbone: Backbone, method: Method, rows: Sequence[Encoded], decoding: Decoding) -> list[str]:
    """The class of each row whose text, with its end token, is the most likely after the source."""
    labels = backbone.encoder.labels
    inputs = [candidate for row in rows for candidate in backbone.encoder.candidates(row)]
    parts = [inputs[i : i + decoding.batch_size] for i in range(0, len(inputs), decoding.batch_size)]
    scores = torch.cat([log_likelihoods(backbone, method, part) for part in parts])
    return [labels[i] for i in scores.view(len(rows), len(labels)).argmax(-1).tolist()]


@torch.no_grad()
def log_likelihoods(backbone: Backbone, method: Method, rows: Sequence[Encoded]) -> Tensor:
    """The log-likelihood [B] of each row's whole target, in nats."""
    return row_log_likelihoods(*backbone.forward(method.inputs(backbone.batch(rows))), rows)


def row_log_likelihoods(logits: Tensor, targets: Tensor, rows: Sequence[Encoded]) -> Tensor:
    """The log-likelihood [B] of each row's target, from the logits [N, V] of all their tokens, row after row."""
    nats = F.cross_entropy(logits.float(), targets, reduction="none")  # [N]
    return torch.stack([-part.sum() for part in nats.split([row.n_targets for row in rows])])


def score_all(
    data: Data,
    examples: Sequence[Example],
    texts: Sequence[str],
    protocol: str | None,
    more_metrics: Sequence[str] = (),
) -> Scores:
    """The scores of `texts` by the data set's metrics and `more_metrics`, those of each subset (as in bleu_seen) too.

    None takes the data set's own protocol.
    """
    references, sources = ([getattr(example, side) for example in examples] for side in ("references", "source"))
    names = [*data.metrics, *more_metrics]
    return score(names, texts, references, protocol or data.protocol, sources, data.labels, subset_indices(examples))
