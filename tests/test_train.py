"""The loop and its one step, against a loop written by hand; statement by statement."""

from dataclasses import replace
from itertools import chain

import pytest
import torch
import torch.nn.functional as F

from peft_cli.method.dept import DePT
from peft_cli.method.lora import LoRA
from peft_cli.method.pt import PT
from peft_cli.recipe import Recipe
from peft_cli.run_folder.checkpoint import Checkpoint
from peft_cli.run_folder.signals import Signals
from peft_cli.train import Batches, split_rows, step, train
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


class Penalised(PT):
    """Prompt tuning that adds the squares of its prompt to the loss of each row."""

    def extra_loss(self, batch):
        return len(batch) * self.prompt.square().sum()


def make_dept():
    """A method whose two groups have learning rates of their own."""
    backbone = make_backbone("gpt2")
    torch.manual_seed(0)
    sizes = {"budget": None, "length": 4, "rank": 3, "positions": 24, "scale": "paper", "offset_by": "position"}
    return backbone, DePT(backbone, **sizes, init="random", text=None, lr=0.05, offset_lr=0.01)


def make_dropping(model_rate=0.0, own_rate=0.0):
    """A backbone and a method with dropout."""
    backbone = make_backbone("gpt2")
    for module in backbone.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = model_rate
    torch.manual_seed(0)
    method = LoRA(backbone, rank=2, alpha=4, dropout=own_rate, parts=["query", "value"], lr=0.05)
    with torch.no_grad():
        for matrix in method.B:
            matrix.normal_()
    return backbone, method


def losses_of(backbone, method, recipe, validation=(), **options):
    """The training losses and the validation losses of a run."""
    log = []
    torch.manual_seed(5)
    train(backbone, method, EXAMPLES, validation, recipe, log=log.append, **options)
    return [[row[name] for row in log if name in row] for name in ("loss", "validation_loss")]


def by_hand(backbone, method, recipe, optimizer):
    """The losses of the steps of `recipe`, in plain torch, and the method's tensors as they leave them."""
    rows, pool, losses = backbone.encode(EXAMPLES), [], []
    peaks = [group["lr"] for group in optimizer.param_groups]
    torch.manual_seed(5)
    for n in range(recipe.steps):
        while len(pool) < recipe.batch_size:
            pool += torch.randperm(len(rows)).tolist()
        batch, pool = [rows[i] for i in pool[: recipe.batch_size]], pool[recipe.batch_size :]
        up, down = (n + 1) / recipe.warmup_steps, (recipe.steps - n) / (recipe.steps - recipe.warmup_steps)
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * (up if n < recipe.warmup_steps else down)
        loss = F.cross_entropy(*backbone.forward(method.inputs(backbone.batch(batch))))
        loss.backward()
        if recipe.clip:
            torch.nn.utils.clip_grad_norm_(method.parameters(), recipe.clip)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("changes", [{}, {"clip": 0.05}, {"clip": None}, {"accumulation": 2}, {"weight_decay": 0.5}])
def test_the_loop_is_the_one_written_by_hand(changes):
    recipe = replace(RECIPE, batch_size=2, **changes)
    (backbone, ours), (other, plain) = make_dept(), make_dept()
    groups = [{**group, "weight_decay": recipe.weight_decay} for group in plain.param_groups()]
    expected = by_hand(other, plain, recipe, torch.optim.AdamW(groups))
    assert losses_of(backbone, ours, recipe)[0] == pytest.approx(expected, rel=1e-4)
    for own, theirs in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(own, theirs, rtol=1e-3, atol=1e-5)


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


def test_every_example_comes_once_an_epoch_and_batches_are_full():
    rows = list(range(7))
    batches = Batches(rows, 3)
    drawn = [next(batches) for _ in range(7)]
    flat = [row for batch in drawn for row in batch]
    assert all(len(batch) == 3 for batch in drawn)
    assert all(sorted(flat[i : i + 7]) == rows for i in (0, 7, 14))


def test_an_epoch_is_drawn_when_its_first_row_is_needed():
    torch.manual_seed(0)
    torch.randperm(6)
    once = torch.get_rng_state()
    torch.manual_seed(0)
    batches = Batches(list(range(6)), 3)
    assert len({row for batch in (next(batches), next(batches)) for row in batch}) == 6
    assert torch.equal(torch.get_rng_state(), once)


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


@pytest.mark.parametrize("patience", [None, 1])
def test_without_validation_the_last_state_stays(patience):
    _, _, log, found = run(replace(RECIPE, patience=patience), validation=())
    assert found["best_step"] is None and found["steps"] == 12 and not any("validation_loss" in row for row in log)


def test_the_log_has_a_row_for_each_step():
    _, _, log, found = run()
    log = [row for row in log if "loss" in row]
    assert [row["step"] for row in log] == list(range(1, 13))
    assert all(set(row) == {"step", "loss", "lr", "step_seconds"} for row in log)
    assert [row["lr"] for row in log] == [[0.05 * RECIPE.rate(step)] for step in range(12)]
    seconds = sum(row["step_seconds"] for row in log)
    assert all(row["step_seconds"] > 0 for row in log) and seconds < found["train_seconds"] < 60


def test_dropout_is_a_switch_of_the_backbone_and_always_on_in_the_method():
    """Nothing drops out in validation, whatever the training."""
    recipe, rates = replace(RECIPE, steps=2), {"model_rate": 0.5, "own_rate": 0.5}
    plain, validated = losses_of(*make_dropping(), recipe, EXAMPLES)
    for made, dropout, differs in (
        ({"model_rate": 0.5}, True, True),
        ({"model_rate": 0.5}, False, False),
        ({"own_rate": 0.5}, False, True),
    ):
        backbone, method = make_dropping(**made)
        losses = losses_of(backbone, method, replace(recipe, dropout=dropout))[0]
        assert (losses[0] != pytest.approx(plain[0])) == differs
        assert not method.training and not backbone.model.training
    backbone, method = make_dropping(**rates)
    method.lr = 0.0  # so that every validation is of the same tensors
    losses, values = losses_of(backbone, method, replace(recipe, dropout=True, validate_every=1), EXAMPLES)
    assert values == pytest.approx(3 * validated[:1], rel=1e-6)
    assert losses[1] != pytest.approx(plain[1])  # after a validation


def test_a_methods_own_loss_is_added_in_training_and_not_in_validation():
    results = []
    for kind, accumulation in ((PT, 1), (Penalised, 1), (Penalised, 3)):
        backbone = make_backbone("gpt2")
        torch.manual_seed(0)
        method = kind(backbone, length=4, init="random", text=None, lr=0.05)
        added = method.prompt.detach().square().sum().item()
        recipe = replace(RECIPE, steps=1, batch_size=3, accumulation=accumulation)
        results.append(losses_of(backbone, method, recipe, EXAMPLES))
    plain, own, split = results
    n_tokens = sum(row.n_targets for row in backbone.encode(EXAMPLES))
    assert own[0] == pytest.approx([plain[0][0] + len(EXAMPLES) * added / n_tokens], rel=1e-5)
    assert split[0] == pytest.approx(own[0], rel=1e-5) and own[1][0] == plain[1][0]


def selected_by(*values, **changes):
    """A run that validates to `values`, one after another; its method, prompts at each validation, log and summary."""
    backbone, method = make()
    told, prompts, log = iter(values), [], []

    def metric(examples):
        prompts.append(method.prompt.detach().clone())
        return next(told)

    recipe = replace(RECIPE, select="metric", **changes)
    found = train(backbone, method, EXAMPLES[:2], EXAMPLES[2:], recipe, metric, log.append)
    return method, prompts, log, found


@pytest.mark.parametrize(("values", "best"), [((1, 5, 2, 5), 1), ((9, 5, 2, 3), 0), ((1, 2, 3, 4), 3)])
def test_the_state_of_the_first_highest_value_is_restored(values, best):
    method, prompts, log, found = selected_by(*values, steps=10)
    steps = [0, 4, 8, 10]  # before the first step and after the last one too
    assert [(row["step"], row["validation_metric"]) for row in log if "loss" not in row] == [
        *zip(steps, values, strict=True)
    ]
    assert torch.equal(method.prompt, prompts[best])
    assert not any(torch.equal(method.prompt, prompt) for i, prompt in enumerate(prompts) if i != best)
    assert {name: found[name] for name in ("steps", "best_step", "best_validation_metric")} == {
        "steps": 10, "best_step": steps[best], "best_validation_metric": values[best],
    }  # fmt: skip


def test_patience_counts_validations_since_the_best_one():
    found = selected_by(1.0, 0.5, 2.0, 1.5, 1.6, 9.0, steps=40, patience=2)[3]
    assert found["best_step"] == 8 and found["steps"] == 16 and found["best_validation_metric"] == 2.0


def test_the_validation_loss_is_the_mean_over_all_tokens_of_all_batches():
    backbone, method = make()
    rows = backbone.encode(EXAMPLES)
    with torch.no_grad():
        expected = F.cross_entropy(*backbone.forward(method.inputs(backbone.batch(rows)))).item()
    assert losses_of(backbone, method, replace(RECIPE, steps=1), EXAMPLES)[1][0] == pytest.approx(expected, rel=1e-5)


def test_the_metric_has_to_be_given():
    with pytest.raises(ValueError, match=r"train\.select=metric needs a metric"):
        run(replace(RECIPE, select="metric"))


def test_without_a_period_nothing_is_validated():
    assert losses_of(*make(), replace(RECIPE, validate_every=None), EXAMPLES)[1] == []


@pytest.mark.parametrize("steps", [1, 5])
def test_a_loss_that_is_not_finite_fails_and_names_the_step(steps):
    backbone, method = make()
    method.lr = 1e30
    what = "loss of step [2-5]" if steps > 1 else "validation loss after step 1"
    with pytest.raises(ValueError, match=rf"the {what} is (nan|inf), so training cannot go on; lower method\.lr"):
        losses_of(backbone, method, replace(RECIPE, steps=steps, warmup_steps=0), EXAMPLES)


def test_a_metric_that_is_not_finite_fails():
    with pytest.raises(ValueError, match="the validation metric after step 4 is nan"):
        selected_by(1.0, float("nan"))


def test_a_run_leaves_a_checkpoint_at_its_end(tmp_path):
    (tmp_path / "log.jsonl").touch()
    backbone, method = make()
    checkpoint = Checkpoint(tmp_path, 0.5, Signals(), {})  # none is due in the time of a few steps
    train(backbone, method, EXAMPLES, (), RECIPE, checkpoint=checkpoint)
    assert (tmp_path / "checkpoint.pt").exists()
