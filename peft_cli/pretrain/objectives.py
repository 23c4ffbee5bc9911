"""Rows to pretrain on: a paragraph with something to predict, or pairs of texts. A row is a function of its number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from peft_cli.backbone import IGNORE
from peft_cli.backbone.batch import causal_targets, pad_rows, scored_index
from peft_cli.backbone.model import logits_at
from peft_cli.pretrain.architectures import SENTINELS
from peft_cli.pretrain.corpus import Corpus
from peft_cli.pretrain.records import HELD_OUT, named_domain
from peft_cli.pretrain.tasks import Pair, describe_records, draw_document, short_pair

LENGTH = 512  # tokens of a decoder's row
ENCODER_LENGTH = 256  # at most, of an encoder's row
NOISE_SHARE, SPAN_TOKENS = {"spans": 0.15, "infilling": 0.3, "masked": 0.15}, 3
HELD_OUT_ROWS = 64  # of each kind, whose losses a card has
PAIRS = {"causal": (1, 2, 3, 5, 8), "spans": (1, 1, 1, 2), "infilling": (1, 1, 1, 2), "masked": (1, 2)}

Row = tuple[list[int], list[int]]  # ids that are read, and labels (of the same length, or of the decoder)
Objective = Callable[[PreTrainedTokenizerFast, Random, list[int]], Row]


@dataclass(frozen=True)
class Rows:
    """The rows of one objective: row `i` is a function of `i`."""

    objective: str
    tokenizer: PreTrainedTokenizerFast
    corpus: Corpus
    book_share: float = 0.15
    short_rows: int = 0

    def __getitem__(self, i: int) -> Row:
        """Row `i` of the training data."""
        rng = Random(f"row/{i}")
        if i < self.short_rows:
            return self.pairs(rng, lambda: [short_pair(rng, self.corpus.words)])
        if rng.random() < self.book_share:
            return self.prose(rng, self.corpus.books)
        words, books, counts = self.corpus.words, self.corpus.books, PAIRS[self.objective]
        return self.pairs(rng, lambda: draw_document(rng, words, books, rng.choice(counts)))

    def prose(self, rng: Random, books: Sequence[str]) -> Row:
        """Paragraphs of `books` in their order, from a random one on."""
        length = LENGTH if self.objective == "causal" else ENCODER_LENGTH - 2
        start, end = rng.randrange(len(books)), self.tokenizer.eos_token_id
        ids: list[int] = []
        while len(ids) < length:
            ids += [*self.ids(books[start % len(books)]), end]
            start += 1
        return OBJECTIVES[self.objective](self.tokenizer, rng, ids[:length])

    def pairs(self, rng: Random, documents: Callable[[], list[Pair]]) -> Row:
        """Pairs of one document; an encoder reads all of them but the last target, which a decoder writes."""
        if self.objective == "causal":
            return self.filled(documents)
        *shown, (source, target) = documents()
        end = self.tokenizer.eos_token_id
        before = [token for pair in shown for text in pair for token in [*self.ids(text), end]]
        room = ENCODER_LENGTH - 2
        if self.objective == "masked":
            return masked(self.tokenizer, rng, [*before, *self.ids(source), end, *self.ids(target)][-room:])
        read = [*before, *self.ids(source)][-room:]
        return around(self.tokenizer, read), around(self.tokenizer, self.ids(target)[:room])

    def filled(self, documents: Callable[[], list[Pair]]) -> Row:
        """A decoder's row, full of pairs as a run encodes them; sources are read and not scored."""
        ids: list[int] = []
        labels: list[int] = []
        end = self.tokenizer.eos_token_id
        while len(ids) < LENGTH:
            for source, target in documents():
                read, scored = [*self.ids(source), end], [*self.ids(" " + target), end]
                ids += read + scored
                labels += [IGNORE] * len(read) + scored
        return ids[:LENGTH], labels[:LENGTH]

    def ids(self, text: str) -> list[int]:
        """The ids of a text, without special tokens."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return ids


def around(tokenizer: PreTrainedTokenizerFast, ids: list[int]) -> list[int]:
    """`ids` between <s> (BART, RoBERTa) and </s>."""
    start = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    return [*start, *ids, tokenizer.eos_token_id]


def causal(tokenizer: PreTrainedTokenizerFast, rng: Random, ids: list[int]) -> Row:
    """Every token from those before it (Radford et al., 2019)."""
    return ids, [IGNORE, *ids[1:]]


def noise(objective: str, rng: Random, ids: list[int]) -> list[tuple[list[int], bool]]:
    """`ids` in pieces, each with whether it is hidden: spans of one to five tokens, a share of all."""
    pieces: list[tuple[list[int], bool]] = []
    i, chance = 0, NOISE_SHARE[objective] / SPAN_TOKENS / (1 - NOISE_SHARE[objective])
    while i < len(ids):
        is_hidden = rng.random() < chance and not (pieces and pieces[-1][1])
        n = rng.randint(1, 2 * SPAN_TOKENS - 1) if is_hidden else 1
        if pieces and not is_hidden and not pieces[-1][1]:
            pieces[-1][0].extend(ids[i : i + n])
        else:
            pieces.append((ids[i : i + n], is_hidden))
        i += n
    return pieces


def spans(tokenizer: PreTrainedTokenizerFast, rng: Random, ids: list[int]) -> Row:
    """T5's span corruption: a sentinel for each hidden span; the target has their texts (Raffel et al., 2020)."""
    sentinels = iter(cast(list[int], tokenizer.convert_tokens_to_ids(SENTINELS)))
    read: list[int] = []
    target: list[int] = []
    for piece, is_hidden in noise("spans", rng, ids):
        mark = next(sentinels, None) if is_hidden else None
        read += piece if mark is None else [mark]
        target += [] if mark is None else [mark, *piece]
    return around(tokenizer, read), around(tokenizer, target)


def infilling(tokenizer: PreTrainedTokenizerFast, rng: Random, ids: list[int]) -> Row:
    """BART's text infilling: one mask for each hidden span; the target is the whole text (Lewis et al., 2020)."""
    pieces = noise("infilling", rng, ids)
    read = [token for piece, is_hidden in pieces for token in ([tokenizer.mask_token_id] if is_hidden else piece)]
    return around(tokenizer, read), around(tokenizer, ids)


def masked(tokenizer: PreTrainedTokenizerFast, rng: Random, ids: list[int]) -> Row:
    """RoBERTa's masked tokens: of 15 %, eight in ten masked, one random, one kept (Liu et al., 2019)."""
    read, labels = [], []
    for token in ids:
        is_chosen = rng.random() < NOISE_SHARE["masked"]
        replaced = rng.choice([tokenizer.mask_token_id] * 8 + [rng.randrange(5, len(tokenizer)), token])
        read.append(replaced if is_chosen else token)
        labels.append(token if is_chosen else IGNORE)
    return around(tokenizer, read), [IGNORE, *labels, IGNORE]


OBJECTIVES: dict[str, Objective] = {"causal": causal, "spans": spans, "infilling": infilling, "masked": masked}


def summed_loss(model: PreTrainedModel, rows: Sequence[Row]) -> tuple[Tensor, int]:
    """The cross-entropy in nats, summed over the scored tokens of `rows`, and how many those are."""
    ids, mask = pad_rows([ids for ids, _ in rows], model.config.pad_token_id or 0)
    labels = pad_rows([labels for _, labels in rows], IGNORE)[0].to(model.device)
    inputs = {"input_ids": ids.to(model.device), "attention_mask": mask.to(model.device)}
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = model.prepare_decoder_input_ids_from_labels(labels=labels)  # type: ignore[operator]
    elif model.config.model_type == "gpt2":  # its rows are padded on the right, where nothing is scored
        inputs, labels = {"input_ids": inputs["input_ids"]}, causal_targets(labels)
    index = scored_index(labels)
    logits = logits_at(model, inputs, index).float()
    return F.cross_entropy(logits, labels.flatten()[index], reduction="sum"), len(index)


@torch.no_grad()
def held_out_losses(model: PreTrainedModel, rows: Rows) -> dict[str, float]:
    """Mean losses in nats a token, in fp32: on paragraphs that were held out, and on records of held-out domains."""
    model.eval()
    makers: dict[str, Callable[[Random], Row]] = {"books": lambda rng: rows.prose(rng, rows.corpus.held_out)}
    makers |= {key: partial(held_out_row, rows, key) for key in HELD_OUT}
    losses = {}
    for name, make in makers.items():
        parts = [summed_loss(model, [make(Random(f"held out/{name}/{i}"))]) for i in range(HELD_OUT_ROWS)]
        losses[name] = sum(total.item() for total, _ in parts) / sum(n for _, n in parts)
    return losses


def held_out_row(rows: Rows, key: str, rng: Random) -> Row:
    """A row of pairs of the held-out domain `key`."""
    return rows.pairs(rng, lambda: describe_records(rng, rows.corpus.words, named_domain(key), pairs=4))
