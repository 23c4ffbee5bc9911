"""The bootstrap over items: its BLEU is sacrebleu's, its items make the run's own score, its interval is scipy's."""

import json
from pathlib import Path

import numpy as np
import pytest
from sacrebleu.metrics import BLEU
from scipy.stats import bootstrap as scipys

from peft_cli.report.bootstrap import Items, bleu, bootstrap, items_of
from peft_cli.report.folders import find_runs

GOLDEN = Path(__file__).parent / "golden" / "runs"


@pytest.mark.parametrize("shared", [[50, 30, 20, 10], [50, 30, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [50, 49, 48, 47]])
@pytest.mark.parametrize("words", [40, 60, 90])
def test_bleu_of_counts_is_sacrebleus(shared, words):
    total = [words - n for n in range(4)]
    shared = [min(pair) for pair in zip(shared, total, strict=True)]
    theirs = BLEU.compute_bleu(shared, total, words, 61, smooth_method="exp").score
    assert bleu(np.array([[*shared, *total, words, 61]], float))[0] == pytest.approx(theirs)


@pytest.mark.parametrize("name", ["bleu", "rouge1", "rougeL"])
def test_items_make_the_score_of_the_run(name):
    for run in find_runs([GOLDEN]).runs:
        items = items_of(run, name)
        assert items.scores(np.ones((1, len(items.added))))[0] == pytest.approx(run.fields[f"scores.{name}"])


def test_a_score_that_is_no_mean_has_no_items(tmp_path):
    run = find_runs([GOLDEN]).runs[0]
    run.fields["scores.rougeL"] += 1
    assert items_of(run, "rougeL") == "rougeL that is no mean over examples"
    assert items_of(run, "rouge1").added.shape == (20, 1)


def test_equal_runs_do_not_differ():
    run = find_runs([GOLDEN]).runs[0]
    items = items_of(run, "bleu")
    drawn = bootstrap([(items, items)], 200)
    assert (drawn.mean, drawn.low, drawn.high, drawn.p) == (0, 0, 0, 1.0)


def test_the_interval_is_scipys():
    generator = np.random.default_rng(0)
    one, other = generator.normal(50, 10, 80), generator.normal(47, 10, 80)
    drawn = bootstrap([(Items(one[:, None], False), Items(other[:, None], False))], 4000)
    theirs = scipys((one - other,), np.mean, n_resamples=4000, method="percentile", rng=1).confidence_interval
    assert (drawn.low, drawn.high) == pytest.approx(tuple(theirs), abs=0.25)
    assert drawn.mean == pytest.approx((one - other).mean()) and 0 < drawn.p < 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "no predictions.jsonl"),
        ("{", "cannot be read"),
        ("", "without bleu"),
        ('{"prediction": 1}\n', "cannot be read"),
    ],
)
def test_predictions_that_tell_nothing_have_a_reason(tmp_path, content, reason):
    made = json.loads((find_runs([GOLDEN]).runs[0].folder / "result.json").read_text())
    (tmp_path / "result.json").write_text(json.dumps(made))
    if content is not None:
        (tmp_path / "predictions.jsonl").write_text(content)
    assert reason in items_of(find_runs([tmp_path]).runs[0], "bleu")
