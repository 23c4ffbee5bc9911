from dataclasses import replace
from itertools import chain

import pytest
import torch
import torch.nn.functional as F

from peft_cli.method.ft import FT
from peft_cli.method.pt import PT
from peft_cli.recipe import Recipe
from peft_cli.train import Batches, Best, split_rows, step, train
from tests.conftest import EXAMPLES, make_backbone

RECIPE = Recipe(
    steps=12, batch_size=2, accumulation=1, schedule="linear", warmup_steps=2, weight_decay=0.0, clip=1.0,
    loss="token_mean", dropout=False, validate_every=4, select="loss", patience=None, checkpoint_seconds=0.0,
    cache_gb=1.0, checkpointing=False, compile=None,
)  # fmt: skip


def make(seed=0):
    backbone = make_backbone("gpt2")
    torch.manual_seed(seed)
    return backbone, PT(backbone, length=4, init="vocabulary", text=None, lr=0.05)


def run(recipe=RECIPE, validation=EXAMPLES[2:], metric=None, seed=0):
    backbone, method = make(seed)
    log = []
    found = train(backbone, method, EXAMPLES[:2], validation, recipe, metric, log.append)
    return backbone, method, log, found


def gradients(recipe):
    backbone, method = make()
    loss = step(backbone, method, backbone.encode(EXAMPLES), recipe)
    return loss, method.prompt.grad


def test_training_lowers_the_loss():
    losses = [row["loss"] for row in run(replace(RECIPE, steps=60))[2] if "loss" in row]
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])


def test_the_same_seed_gives_the_same_tensors():
    first, again, other = (run(seed=seed)[1].prompt for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_the_optimizer_ends_where_torchs_own_choice_does(monkeypatch):
    recipe = replace(RECIPE, weight_decay=0.1)
    fused = run(recipe)[1].prompt
    monkeypatch.setattr("peft_cli.train.ADAMW", torch.optim.AdamW)
    torch.testing.assert_close(fused, run(recipe)[1].prompt, rtol=1e-5, atol=1e-6)


def test_token_mean_is_the_mean_over_all_target_tokens():
    backbone, method = make()
    rows = backbone.encode(EXAMPLES)
    logits, targets = backbone.forward(method.inputs(backbone.batch(rows)))
    assert gradients(RECIPE)[0] == pytest.approx(F.cross_entropy(logits, targets).item(), rel=1e-6)


def test_target_sum_is_the_sum_over_a_target_and_the_mean_over_examples():
    backbone, _ = make()
    n_tokens = sum(len(row.target) for row in backbone.encode(EXAMPLES))
    mean, total = (gradients(replace(RECIPE, loss=loss))[0] for loss in ("token_mean", "target_sum"))
    assert total == pytest.approx(mean * n_tokens / len(EXAMPLES), rel=1e-6)


@pytest.mark.parametrize("loss", ["token_mean", "target_sum"])
@pytest.mark.parametrize("parts", [2, 3, 5])
def test_an_accumulated_batch_has_the_whole_batchs_gradient(loss, parts):
    whole, split = (gradients(replace(RECIPE, loss=loss, accumulation=n)) for n in (1, parts))
    assert split[0] == pytest.approx(whole[0], rel=1e-6) and torch.allclose(split[1], whole[1], atol=1e-6)


def test_the_parts_of_a_batch_are_rows_of_like_length_and_pad_least():
    rows = make()[0].encode(EXAMPLES * 2)
    split = split_rows(rows, 3)
    assert [len(part) for part in split] == [2, 2, 2] and sorted(map(id, chain(*split))) == sorted(map(id, rows))
    assert all(len({row.n_tokens for row in part}) == 1 for part in split)
    assert split_rows(rows, 1) == [rows] and [len(part) for part in split_rows(rows[:5], 2)] == [3, 2]


def test_the_rate_rises_and_falls_to_zero():
    rates = [RECIPE.rate(step) for step in range(13)]
    assert rates[:3] == [0.5, 1.0, 1.0] and rates[-1] == 0 and rates[2:] == sorted(rates[2:], reverse=True)


def test_a_constant_rate_stays():
    assert {replace(RECIPE, schedule="constant", warmup_steps=0).rate(step) for step in range(12)} == {1.0}


def test_every_example_comes_once_an_epoch_and_batches_are_full():
    rows = list(range(7))
    batches = Batches(rows, 3)
    drawn = [next(batches) for _ in range(7)]
    flat = [row for batch in drawn for row in batch]
    assert all(len(batch) == 3 for batch in drawn)
    assert all(sorted(flat[i : i + 7]) == rows for i in (0, 7, 14))


def test_a_batch_larger_than_the_data_repeats_it():
    assert sorted(next(Batches([1, 2], 5)))[0] == 1 and len(next(Batches([1, 2], 5))) == 5


def test_the_best_state_is_kept():
    _, method, log, found = run(replace(RECIPE, steps=40))
    values = {row["step"]: row["validation_loss"] for row in log if "validation_loss" in row}
    assert found["best_step"] == min(values, key=values.get)
    assert found["best_validation_loss"] == min(values.values())
    backbone, fresh = make()
    fresh.load_state_dict(method.state_dict())
    rows = backbone.encode(EXAMPLES[2:])
    with torch.no_grad():
        logits, targets = backbone.forward(fresh.inputs(backbone.batch(rows)))
    assert F.cross_entropy(logits, targets).item() == pytest.approx(found["best_validation_loss"], rel=1e-5)


def test_patience_ends_training_after_validations_without_a_better_one():
    values = iter([1.0, 5.0, 4.0, 3.0, 9.0])
    recipe = replace(RECIPE, steps=40, select="metric", patience=2)
    found = run(recipe, metric=lambda examples: next(values))[3]
    assert found["best_step"] == 4 and found["steps"] == 12 and found["best_validation_metric"] == 5.0


def test_without_validation_the_last_state_stays():
    _, _, log, found = run(validation=())
    assert found["best_step"] is None and found["steps"] == 12 and not any("validation_loss" in row for row in log)


def test_the_log_has_a_row_for_each_step():
    log = [row for row in run()[2] if "loss" in row]
    assert [row["step"] for row in log] == list(range(1, 13))
    assert all(row["step_seconds"] > 0 for row in log) and log[1]["lr"] == [0.05]


def test_clipping_bounds_the_update_of_plain_descent():
    backbone, method = make()
    step(backbone, method, backbone.encode(EXAMPLES), RECIPE)
    assert torch.nn.utils.clip_grad_norm_(method.parameters(), 0.01) > 0.01
    assert method.prompt.grad.norm() <= 0.01 + 1e-6


def test_dropout_is_a_switch_of_the_backbone():
    states = []
    for dropout in (True, False):
        backbone = make_backbone("gpt2")
        for module in backbone.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.5
        method = FT(backbone, top_blocks=None, output_embedding=False, lr=1e-3)
        torch.manual_seed(0)
        losses = []
        recipe = replace(RECIPE, dropout=dropout, steps=1)
        train(backbone, method, EXAMPLES[:1], (), recipe, None, lambda row, losses=losses: losses.append(row["loss"]))
        states.append(losses[0])
    assert states[0] != states[1]


def test_best_takes_the_higher_metric_and_the_lower_loss():
    for select, values, best in (("metric", [1, 3, 2], 3), ("loss", [3, 1, 2], 1)):
        kept = Best(make()[1], replace(RECIPE, select=select), iter(values).__next__, lambda row: None)
        for n in range(3):
            kept.validate(n)
        assert kept.summary()[f"best_validation_{select}"] == best
