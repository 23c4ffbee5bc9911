"""The paired bootstrap over test items: would the difference hold on other items of the same kind?

predictions.jsonl of two runs -> what each item adds to the score -> resampled items -> differences of the two scores

By hand: BLEU is no mean over items, and scipy's bootstrap would call sacrebleu for each resample.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sacrebleu.metrics import BLEU

from peft_cli.metrics import make_items
from peft_cli.metrics.bleu import bleu_against
from peft_cli.metrics.protocols import load_protocol
from peft_cli.report.folders import BROKEN
from peft_cli.report.intervals import CONFIDENCE
from peft_cli.report.runs import Run
from peft_cli.run_folder.files import read_lines

AT_ONCE = 100  # resamples that are drawn together, to bound memory
CLOSE = 1e-6  # points by which a score that is computed again may be off
ORDER = 4  # of BLEU's n-grams


class Items(NamedTuple):
    """What each test item adds to a run's score, and how the sum of that is the score."""

    added: np.ndarray  # [items, columns]
    is_bleu: bool  # columns: n-grams shared, n-grams in all, words, words of the reference; else one: the item's score

    def scores(self, weights: np.ndarray) -> np.ndarray:
        """Returns the score [resamples] when item i counts weights[:, i] times."""
        sums = weights @ self.added
        return bleu(sums) if self.is_bleu else sums[:, 0] / weights.sum(axis=1)


class Resampled(NamedTuple):
    """Differences over resampled items: mean, interval, two-sided p."""

    mean: float
    low: float
    high: float
    p: float


def bootstrap(pairs: Sequence[tuple[Items, Items]], resamples: int) -> Resampled:
    """Returns the difference of (one, other), averaged over the pairs, with the same items drawn for all of them.

    Koehn (2004, https://aclanthology.org/W04-3250). The percentile interval; p counts the draws on the far side of
    zero, and the observed one among them.
    """
    n = len(pairs[0][0].added)
    generator = np.random.default_rng(0)
    parts = []
    for start in range(0, resamples, AT_ONCE):
        weights = generator.multinomial(n, np.full(n, 1 / n), min(AT_ONCE, resamples - start)).astype(float)
        parts.append(mean_difference(pairs, weights))
    drawn = np.concatenate(parts)
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    fewer = min((drawn <= 0).sum(), (drawn >= 0).sum())
    observed = mean_difference(pairs, np.ones((1, n)))[0]
    return Resampled(float(observed), float(low), float(high), min(1.0, 2 * (fewer + 1) / (resamples + 1)))


def mean_difference(pairs: Sequence[tuple[Items, Items]], weights: np.ndarray) -> np.ndarray:
    """Returns the mean over pairs of the difference of scores [resamples]."""
    return np.mean([one.scores(weights) - other.scores(weights) for one, other in pairs], axis=0)


def items_of(run: Run, metric: str) -> Items | str:
    """Returns what each item adds to a metric of a run, or why that is not known."""
    protocol = run.fields.get("scored.protocol", "plain")  # runs without it were scored by that
    score = run.score(metric)
    return "no such score" if score is None else read_items(run.folder / "predictions.jsonl", metric, score, protocol)


@lru_cache(maxsize=4096)
def read_items(path: Path, metric: str, score: float, protocol: str) -> Items | str:
    """Returns the items of a file, if they make the score of the run."""
    try:
        rows = [json.loads(line) for line in read_lines(path)]
        items = bleu_items(rows, protocol) if metric == "bleu" else mean_items(rows, metric)
    except FileNotFoundError:
        return "no predictions.jsonl"
    except BROKEN as error:
        return f"{path.name} that cannot be read ({type(error).__name__})"
    if items is None:
        return f"{path.name} without {metric} of each example"
    with np.errstate(all="ignore"):  # what is no number becomes no score
        again = items.scores(np.ones((1, len(items.added))))[0]
    return items if abs(again - score) <= CLOSE else f"{metric} that is no mean over examples"


def mean_items(rows: Sequence[Mapping[str, Any]], metric: str) -> Items | None:
    """Returns each item's own score; None where the rows have none."""
    values = [row.get("scores", {}).get(metric) for row in rows]
    values = [value for value in values if value is not None]
    return Items(np.array(values, float)[:, None], False) if values else None


def bleu_items(rows: Sequence[Mapping[str, Any]], protocol: str) -> Items | None:
    """Returns each item's n-grams, counted by the run's protocol."""
    if not rows:
        return None
    texts, references, sources = ([row[key] for row in rows] for key in ("prediction", "references", "source"))
    prepared = make_items(texts, references, load_protocol(protocol), sources)
    metric = counter(protocol, tuple(map(tuple, prepared.references)))
    counts = metric._extract_corpus_statistics(prepared.predictions, None)  # words, words of the reference, n-grams
    added = np.array(counts, float)
    return Items(np.concatenate([added[:, 2:], added[:, :2]], axis=1), True)


@lru_cache(maxsize=16)
def counter(protocol: str, references: tuple[tuple[str, ...], ...]) -> BLEU:
    """Returns sacrebleu's BLEU that knows the references, with the settings of metrics/bleu.py."""
    return bleu_against(references, load_protocol(protocol))


def bleu(sums: np.ndarray) -> np.ndarray:
    """Returns BLEU in percent [resamples] of sums [resamples, 2 * ORDER + 2], smoothed as sacrebleu's "exp"."""
    shared, total = sums[:, :ORDER], sums[:, ORDER : 2 * ORDER]
    words, wanted = sums[:, -2], sums[:, -1]
    empty = np.cumsum(shared == 0, axis=1)  # the k-th order without a shared n-gram counts 1 / 2 ** k of one
    precision = np.where(shared == 0, 0.5**empty, shared) / np.maximum(total, 1)
    usable = (total > 0).all(axis=1) & (shared.sum(axis=1) > 0)
    brevity = np.exp(np.minimum(0.0, 1 - wanted / np.maximum(words, 1)))
    return np.where(usable, 100 * brevity * np.exp(np.log(precision).mean(axis=1)), 0.0)
