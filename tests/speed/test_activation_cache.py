"""What is kept of frozen activations, against the whole way."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from peft_cli.method import Method
from peft_cli.method.bitfit import BitFit
from peft_cli.method.ft import FT
from peft_cli.method.hf_peft import HFPeft
from peft_cli.method.lora import LoRA
from peft_cli.method.pt import PT
from peft_cli.run_folder.checkpoint import Checkpoint
from peft_cli.run_folder.signals import Signals
from peft_cli.speed import speed_up
from peft_cli.speed.activation_cache import first_trainable_blocks
from peft_cli.speed.loss import summed_loss
from peft_cli.train import step, train
from tests.conftest import CONFIGS, EXAMPLES, examples_for, make_backbone
from tests.run_folder.test_checkpoint import Killed, writer
from tests.test_train import RECIPE

RECIPE = replace(RECIPE, batch_size=3, validate_every=3)
OFF = replace(RECIPE, cache_gb=0.0)


def top(backbone):
    return FT(backbone, top_blocks=1, output_embedding=False, lr=0.01)


class Steer(Method):
    """A trained vector added to what enters the last block of one stack, and the bias of a map there."""

    def __init__(self, backbone, stack):
        super().__init__(backbone, lr=0.05)
        self.b = nn.Parameter(torch.full((backbone.d_model,), 0.1))
        backbone.blocks()[stack][-1].change_input(lambda hidden: hidden + self.b)


UPPER_LORA = {"r": 2, "target_modules": ["c_attn"], "layers_to_transform": [1], "lora_dropout": 0.5}


def steer(stack):
    return lambda backbone: Steer(backbone, stack)


UPPER = [(family, top) for family in CONFIGS]
UPPER += [(family, steer(stack)) for family in CONFIGS for stack in make_backbone(family).blocks()]
UPPER.append(("gpt2", lambda backbone: HFPeft(backbone, "lora", UPPER_LORA | {"lora_dropout": 0.0}, lr=0.1)))
upper = pytest.mark.parametrize(("family", "make"), UPPER)


def loss_of(backbone, method, rows):
    return summed_loss(*backbone.forward(method.inputs(backbone.batch(rows))))


def made(family, make, recipe=RECIPE):
    """A backbone, a method with tensors that matter, and rows, ready for training."""
    backbone = make_backbone(family)
    torch.manual_seed(0)
    method = make(backbone)
    rows = backbone.encode(examples_for(backbone))
    context = speed_up(backbone, method.inputs, rows, recipe)
    context.__enter__()
    backbone.context = context  # ends with the backbone
    return backbone, method, rows


def gradients(backbone, method, rows, recipe=RECIPE):
    loss = step(backbone, method, rows, recipe)
    found = {name: p.grad.clone() for name, p in method.named_parameters()}
    method.zero_grad()
    return loss, found


@upper
@pytest.mark.parametrize("accumulation", [1, 2])
def test_loss_and_gradients_are_those_of_the_whole_way(family, make, accumulation):
    recipes = [replace(recipe, accumulation=accumulation) for recipe in (OFF, RECIPE)]
    whole, kept = (made(family, make, recipe) for recipe in recipes)
    assert whole[0].activation_cache is None and kept[0].activation_cache is not None
    for _ in range(2):  # when the states are computed, and when they are there
        (loss, expected), (same, found) = gradients(*whole, recipes[0]), gradients(*kept, recipes[1])
        assert same == pytest.approx(loss, rel=1e-5)
        assert all(torch.allclose(found[name], expected[name], atol=1e-5) for name in expected)


@upper
def test_what_is_kept_is_not_computed_again(family, make):
    operations = []
    for recipe in (OFF, RECIPE):
        backbone, method, rows = made(family, make, recipe)
        step(backbone, method, rows, RECIPE)
        with FlopCounterMode(display=False) as flops:
            step(backbone, method, rows, RECIPE)
        operations.append(flops.get_total_flops())
    assert operations[1] < 0.95 * operations[0]


@upper
def test_a_whole_run_ends_with_the_same_losses_and_texts(family, make):
    ends = []
    for recipe in (OFF, RECIPE):
        backbone, log = make_backbone(family), []
        torch.manual_seed(0)
        method = make(backbone)
        examples = examples_for(backbone)
        train(backbone, method, examples, examples[:2], recipe, None, log.append)
        assert backbone.activation_cache is None
        inputs = method.inputs(backbone.batch(backbone.encode(examples), training=False))
        losses = torch.tensor([row.get("loss", row.get("validation_loss")) for row in log])
        ends.append((losses, backbone.predict(inputs, max_new_tokens=8)))
    assert torch.allclose(ends[0][0], ends[1][0], atol=1e-4) and ends[0][1] == ends[1][1]


@pytest.mark.parametrize("family", CONFIGS)
def test_an_examples_states_have_the_same_bits_in_every_batch(family):
    first, second = made(family, top), made(family, top)
    alone, together = first[0].activation_cache.hidden(first[2][:1]), second[0].activation_cache.hidden(second[2])
    for stack, states in alone.items():
        assert torch.equal(states[0], together[stack][0, : states.shape[1]])


@pytest.mark.parametrize("kill_at", [2, 7])
def test_a_killed_run_ends_with_the_bits_of_an_undisturbed_one(tmp_path, kill_at):
    def run(folder, kill_at=None):
        folder.mkdir(exist_ok=True)
        backbone = make_backbone("bart")
        torch.manual_seed(0)
        method, log = top(backbone), folder / "log.jsonl"
        checkpoint = Checkpoint(folder, 0.0, Signals(), {})
        write = writer(log, checkpoint, kill_at)
        train(backbone, method, EXAMPLES, EXAMPLES[:1], replace(RECIPE, batch_size=2), None, write, checkpoint)
        return log.read_text()

    whole = run(tmp_path / "whole")
    with pytest.raises(Killed):
        run(tmp_path / "killed", kill_at)
    assert run(tmp_path / "killed") == whole


def test_the_first_block_that_trains_is_found_whatever_a_method_is():
    for make, expected in [
        (top, {"encoder": 2, "decoder": 1}),
        (steer("encoder"), {"encoder": 1, "decoder": 0}),
        (steer("decoder"), {"encoder": 2, "decoder": 1}),
        (lambda b: FT(b, None, output_embedding=False, lr=1e-3), {"encoder": 0, "decoder": 0}),
        (lambda b: LoRA(b, 2, 4, 0.0, ["query"], lr=1e-3), {"encoder": 0, "decoder": 0}),
        (lambda b: BitFit(b, lr=1e-3), {"encoder": 0, "decoder": 0}),
    ]:
        backbone = make_backbone("bart")
        make(backbone)
        assert first_trainable_blocks(backbone, backbone.batch(backbone.encode(EXAMPLES))) == expected


@pytest.mark.parametrize(
    "recipe",
    [
        replace(RECIPE, cache_gb=0.0),
        replace(RECIPE, cache_gb=1e-6),
        replace(RECIPE, dropout=True),
        replace(RECIPE, steps=1),
    ],
    ids=["switched off", "no room", "dropout", "no example comes again"],
)
def test_nothing_is_kept_where_it_may_not_be(recipe):
    assert made("gpt2", top, recipe)[0].activation_cache is None


def test_the_room_that_is_needed_is_known_before():
    backbone, _, rows = made("bart", top)
    backbone.activation_cache.hidden(rows)
    n_bytes = backbone.activation_cache.n_bytes
    assert n_bytes == sum(len(row.source) + len(row.target) for row in rows) * backbone.d_model * 4
    fits, does_not = (made("bart", top, replace(RECIPE, cache_gb=n / 1e9)) for n in (n_bytes, n_bytes - 1))
    assert fits[0].activation_cache and does_not[0].activation_cache is None


def test_a_method_that_changes_the_input_keeps_nothing():
    class Scaled(Method):
        def inputs(self, batch):
            batch = self.backbone.embed(batch)
            return batch.with_(inputs_embeds=2 * batch.inputs_embeds)

    for make in (lambda b: PT(b, 3, "random", None, lr=0.1), lambda b: Scaled(b, lr=0.1)):
        assert made("t5", make)[0].activation_cache is None


def test_other_examples_take_the_whole_way_and_leave_nothing():
    backbone, method, rows = made("t5", top)
    other = replace(rows[0], source=[5, 6, 7, 2])
    loss_of(backbone, method, [other])
    assert backbone.activation_cache.n_bytes == 0
    plain = loss_of(backbone, method, rows)
    backbone.activation_cache = None
    assert torch.allclose(loss_of(backbone, method, rows), plain, rtol=1e-5)


def test_ft_top2_of_an_encoder_decoder_runs_neither_the_encoder_nor_the_decoder_below():
    backbone, method, rows = made("bart", top)
    backbone.activation_cache.hidden(rows)
    passes = []
    for i, linear in enumerate(backbone.linears("ffn_output")):  # two of the encoder, two of the decoder
        linear.module.register_forward_pre_hook(lambda *_, i=i: passes.append(i))
    loss_of(backbone, method, rows)
    assert passes == [3]


def test_a_methods_own_dropout_draws_the_same_whether_states_are_there_or_not():
    backbone, method, rows = made("gpt2", lambda b: HFPeft(b, "lora", UPPER_LORA, lr=0.1))
    method.train()
    before = torch.get_rng_state()
    backbone.activation_cache.hidden(rows)
    assert backbone.activation_cache.n_bytes and torch.equal(torch.get_rng_state(), before)
