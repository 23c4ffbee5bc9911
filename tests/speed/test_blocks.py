"""The switches of training: what each may not change, and what it is for."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from peft_cli.cost import Meter
from peft_cli.method import Method
from peft_cli.method.ft import FT
from peft_cli.method.lora import LoRA
from peft_cli.method.pt import PT
from peft_cli.speed import speed_up
from peft_cli.train import step, train
from tests.conftest import examples_for, make_backbone
from tests.method.test_contract import PAIRS, form_of, make_method, stir
from tests.test_train import RECIPE

RECIPE = replace(RECIPE, batch_size=3)
pairs = pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair[0].stem}-{pair[1]}")


def made(pair):
    path, family = pair
    backbone = make_backbone(family, form=form_of(path))
    method = make_method(path, backbone)
    stir(method)
    return backbone, method, backbone.encode(examples_for(backbone))


def gradients(backbone, method, rows, recipe):
    with speed_up(backbone, method.inputs, rows, recipe):
        loss = step(backbone, method, rows, recipe)
    found = {name: p.grad.clone() for name, p in method.named_parameters()}
    method.zero_grad()
    return loss, found


@pairs
def test_checkpointing_keeps_loss_and_gradients_and_saves_memory(pair):
    backbone, method, rows = made(pair)
    passes = []
    backbone.linears("ffn_output")[-1].module.register_forward_pre_hook(lambda *_: passes.append(1))
    (loss, expected), n_plain = gradients(backbone, method, rows, RECIPE), len(passes)
    checkpointed = replace(RECIPE, checkpointing=True)
    same, found = gradients(backbone, method, rows, checkpointed)
    assert same == pytest.approx(loss, rel=1e-6)
    assert all(torch.allclose(found[name], expected[name], atol=1e-5) for name in expected)
    assert len(passes) > 2 * n_plain, "the last block runs again in the backward pass"
    meter, n_bytes = Meter(backbone, method), []
    for recipe in (RECIPE, checkpointed):
        meter.measure_step(examples_for(backbone), recipe)
        n_bytes.append(meter.exact["saved_for_backward_bytes"])
    assert n_bytes[1] < 0.8 * n_bytes[0]


def test_checkpointing_repeats_a_methods_own_dropout():
    ends = []
    for recipe in (RECIPE, replace(RECIPE, checkpointing=True)):
        backbone = make_backbone("gpt2")
        method = LoRA(backbone, rank=2, alpha=4, dropout=0.5, parts=["query", "value"], lr=0.1)
        stir(method)
        log = []
        train(backbone, method, examples_for(backbone), (), recipe, None, log.append)
        ends.append(torch.tensor([row["loss"] for row in log]))
    assert torch.allclose(*ends, atol=1e-5)


def test_nothing_is_left_of_a_switch_after_training():
    def state(backbone):
        hooks = "_forward_hooks", "_forward_pre_hooks"
        modules = backbone.model.named_modules()
        return {name: ("forward" in vars(m), *(len(vars(m)[kind]) for kind in hooks)) for name, m in modules}

    backbone = make_backbone("bart")
    method, rows = FT(backbone, 1, output_embedding=False, lr=0.1), backbone.encode(examples_for(backbone))
    before = state(backbone)
    with speed_up(backbone, method.inputs, rows, replace(RECIPE, checkpointing=True)):
        assert state(backbone) != before
    assert state(backbone) == before and backbone.activation_cache is None


@pytest.fixture
def traced(monkeypatch):
    """Compiled code that is traced and not translated: what has to be seen here, in a part of the time."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    torch._dynamo.reset()


def test_compiled_blocks_keep_loss_and_gradients(traced):
    backbone = make_backbone("gpt2")
    method = PT(backbone, 3, "random", None, lr=0.1)
    rows = backbone.encode(examples_for(backbone))
    expected = [gradients(backbone, method, batch, RECIPE) for batch in (rows, rows[1:])]
    with speed_up(backbone, method.inputs, rows, replace(RECIPE, compile="default")):
        for batch, (loss, plain) in zip((rows, rows[1:]), expected, strict=True):
            assert step(backbone, method, batch, RECIPE) == pytest.approx(loss, rel=1e-5)
            assert torch.allclose(method.prompt.grad, plain["prompt"], atol=1e-5)
            method.zero_grad()


def test_what_cannot_be_compiled_says_so(traced):
    class Asks(Method):
        """Changes what enters a block by how large it is, which only the numbers tell."""

        def __init__(self, backbone):
            super().__init__(backbone, lr=0.1)
            self.b = torch.nn.Parameter(torch.zeros(1))
            backbone.linears("ffn_input")[0].change(lambda x, y: y + self.b if y.sum().item() > 0 else y - self.b)

    backbone = make_backbone("gpt2")
    method = Asks(backbone)
    with pytest.raises(ValueError, match=r"^train.compile=default: .*; take train.compile=null$"):
        gradients(backbone, method, backbone.encode(examples_for(backbone)), replace(RECIPE, compile="default"))
