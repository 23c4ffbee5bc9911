"""The paired bootstrap over test items: would the difference hold on other items of the same kind?

predictions.jsonl of two runs -> what each item adds to the score -> resampled items -> differences of the two scores
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sacrebleu.metrics import BLEU

from peft_cli.metrics import prepare
from peft_cli.metrics.bleu import PADS
from peft_cli.metrics.protocols import load
from peft_cli.report.intervals import CONFIDENCE
from peft_cli.report.runs import Run

AT_ONCE = 100  # resamples that are drawn together, to bound memory
CLOSE = 1e-6  # points by which a score that is computed again may be off
ORDER = 4  # of BLEU's n-grams


class Items(NamedTuple):
    """What each test item adds to a run's score, and how the sum of that is the score."""

    added: np.ndarray  # [items, columns]
    is_bleu: bool  # columns: n-grams shared, n-grams in all, words, words of the reference; else one: the item's score

    def scores(self, weights: np.ndarray) -> np.ndarray:
        """The score [resamples] when item i counts weights[:, i] times."""
        sums = weights @ self.added
        return bleu(sums) if self.is_bleu else sums[:, 0] / weights.sum(axis=1)


class Resampled(NamedTuple):
    """Differences over resampled items: mean, interval, two-sided p."""

    mean: float
    low: float
    high: float
    p: float


def bootstrap(pairs: Sequence[tuple[Items, Items]], resamples: int) -> Resampled:
    """The difference of (one, other), averaged over the pairs, with the same items drawn for all of them.

    Koehn (2004, https://aclanthology.org/W04-3250). The percentile interval; p counts the draws on the far side of
    zero, and the observed one among them.
    """
    n = len(pairs[0][0].added)
    generator = np.random.default_rng(0)
    found = []
    for start in range(0, resamples, AT_ONCE):
        weights = generator.multinomial(n, np.full(n, 1 / n), min(AT_ONCE, resamples - start)).astype(float)
        found.append(np.mean([one.scores(weights) - other.scores(weights) for one, other in pairs], axis=0))
    drawn = np.concatenate(found)
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    fewer = min((drawn <= 0).sum(), (drawn >= 0).sum())
    once = np.ones((1, n))
    observed = np.mean([one.scores(once)[0] - other.scores(once)[0] for one, other in pairs])
    return Resampled(float(observed), float(low), float(high), min(1.0, 2 * (fewer + 1) / (resamples + 1)))


def items_of(run: Run, name: str) -> Items | str:
    """What each item adds to the score `name` of a run, or why that cannot be told."""
    protocol = run.fields.get("scored.protocol", "plain")  # runs without it were scored by that
    return items_in(run.folder / "predictions.jsonl", name, run.fields[f"scores.{name}"], protocol)


@lru_cache(maxsize=4096)
def items_in(path: Path, name: str, score: float, protocol: str) -> Items | str:
    """The items of a file, if they make the score that the run has."""
    try:
        with path.open(encoding="utf-8") as file:
            rows = [json.loads(line) for line in file]
        items = bleu_items(rows, protocol) if name == "bleu" else mean_items(rows, name)
    except FileNotFoundError:
        return "no predictions.jsonl"
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{path.name} cannot be read ({type(error).__name__})"
    if items is None:
        return f"{path.name} has no {name} of each example"
    again = items.scores(np.ones((1, len(items.added))))[0]
    return items if abs(again - score) <= CLOSE else f"{name} is no mean over examples"


def mean_items(rows: Sequence[Mapping], name: str) -> Items | None:
    """Each item's own score; None where the rows have none."""
    values = [row.get("scores", {}).get(name) for row in rows]
    values = [value for value in values if value is not None]
    return Items(np.array(values, float)[:, None], False) if values else None


def bleu_items(rows: Sequence[Mapping], protocol: str) -> Items | None:
    """Each item's n-grams, counted as the run's protocol has it."""
    if not rows:
        return None
    texts, references, sources = ([row[key] for row in rows] for key in ("prediction", "references", "source"))
    prepared = prepare(texts, references, load(protocol), sources)
    metric = counter(protocol, tuple(map(tuple, prepared.references)))
    counts = metric._extract_corpus_statistics(prepared.predictions, None)  # words, words of the reference, n-grams
    added = np.array(counts, float)
    return Items(np.concatenate([added[:, 2:], added[:, :2]], axis=1), True)


@lru_cache(maxsize=16)
def counter(protocol: str, references: tuple[tuple[str, ...], ...]) -> BLEU:
    """sacrebleu's BLEU that knows the references, with the settings of metrics/bleu.py."""
    rules = load(protocol)
    most = rules.most_references if rules.padding == "empty" else max(map(len, references))
    pad = PADS[rules.padding]
    streams = [[refs[k] if k < len(refs) else pad for refs in references] for k in range(most)]
    return BLEU(lowercase=rules.lowercase, tokenize=rules.tokenizer, force=True, references=streams)


def bleu(sums: np.ndarray) -> np.ndarray:
    """BLEU in percent [resamples] of summed counts [resamples, 2 * ORDER + 2], smoothed as sacrebleu's "exp"."""
    shared, total = sums[:, :ORDER], sums[:, ORDER : 2 * ORDER]
    words, wanted = sums[:, -2], sums[:, -1]
    empty = np.cumsum(shared == 0, axis=1)  # the k-th order without a shared n-gram counts 1 / 2 ** k of one
    precision = np.where(shared == 0, 0.5**empty, shared) / np.maximum(total, 1)
    usable = (total > 0).all(axis=1) & (shared.sum(axis=1) > 0)
    brevity = np.exp(np.minimum(0.0, 1 - wanted / np.maximum(words, 1)))
    return np.where(usable, 100 * brevity * np.exp(np.log(precision).mean(axis=1)), 0.0)
