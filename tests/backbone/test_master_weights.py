"""What trains of a backbone in 16 bits: in fp32, with the model's own weights rounded from it."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from safetensors.torch import load_file, save_file

from peft_cli.backbone import Backbone
from peft_cli.evaluate import Decoding, predict
from peft_cli.method import Method
from peft_cli.method.bitfit import BitFit
from peft_cli.method.ft import FT
from peft_cli.method.lora import LoRA
from peft_cli.train import step, train
from tests.conftest import EXAMPLES, examples_for, make_backbone
from tests.test_train import RECIPE

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
LR = 1e-5  # far below the last bit of most weights in 16 bits
METHODS = {
    "ft": lambda backbone, lr: FT(backbone, None, False, lr),
    "ft_top2": lambda backbone, lr: FT(backbone, 1, True, lr),
    "bitfit": BitFit,
    "lora": lambda backbone, lr: LoRA(backbone, 2, 4, 0.0, ["query"], lr),  # with a new head, on RoBERTa
}
CHOICES = [(name, dtype) for name in METHODS for dtype in DTYPES]


def make(name: str, dtype: torch.dtype, lr: float = LR) -> tuple[Backbone, Method]:
    """A method that trains weights of a backbone itself."""
    backbone = make_backbone("roberta" if name == "lora" else "gpt2")
    backbone.model.to(dtype)
    torch.manual_seed(0)
    return backbone, METHODS[name](backbone, lr)


def adopted(backbone: Backbone, method: Method) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """The model's weight and what trains for it, by name."""
    own = {name.replace("/", "."): p for name, p in method.adopted.items()}
    return {name: (p, own[name]) for name, p in backbone.named_parameters() if name in own}


def are_rounded(backbone: Backbone, method: Method) -> bool:
    """Whether the model's weights are the rounded values of what trains."""
    return all(torch.equal(weight, master.to(weight.dtype)) for weight, master in adopted(backbone, method).values())


def logits(backbone: Backbone, method: Method) -> torch.Tensor:
    with torch.no_grad():
        return backbone.forward(method.inputs(backbone.batch(backbone.encode(examples_for(backbone)))))[0]


@pytest.mark.parametrize(("name", "dtype"), CHOICES)
def test_every_weight_moves_in_fp32_and_the_model_has_it_rounded(name, dtype):
    backbone, method = make(name, DTYPES[dtype])
    before = {key: master.detach().clone() for key, (_, master) in adopted(backbone, method).items()}
    optimizer = torch.optim.AdamW(method.param_groups())
    for _ in range(3):
        step(backbone, method, backbone.encode(examples_for(backbone)), RECIPE)
        assert all(p.grad.dtype == torch.float32 for p in method.parameters())
        assert all(weight.grad is None for weight, _ in adopted(backbone, method).values())
        optimizer.step()
        optimizer.zero_grad()
    assert before and all(p.dtype == torch.float32 for p in method.parameters())
    assert all(state.dtype == torch.float32 for own in optimizer.state.values() for state in own.values())
    assert not [key for key, (_, master) in adopted(backbone, method).items() if torch.equal(master, before[key])]
    logits(backbone, method)
    assert are_rounded(backbone, method)
    assert {p.dtype for p in backbone.model.parameters()} == {DTYPES[dtype]}


@pytest.mark.parametrize("name", METHODS)
def test_the_weights_of_a_backbone_in_fp32_train_themselves(name):
    backbone, method = make(name, torch.float32)
    assert all(weight is master for weight, master in adopted(backbone, method).values())


@pytest.mark.parametrize("name", METHODS)
def test_what_is_stored_is_in_fp32_and_is_in_the_model_right_after_it_was_loaded(name, tmp_path):
    backbone, method = make(name, torch.bfloat16, lr=0.01)
    train(backbone, method, examples_for(backbone), (), RECIPE)
    stored, expected = dict(method.state_dict()), logits(backbone, method)
    assert {tensor.dtype for tensor in stored.values()} == {torch.float32}
    save_file(stored, tmp_path / "method.safetensors")
    other, again = make(name, torch.bfloat16)
    assert not torch.equal(logits(other, again), expected)
    again.load_state_dict(load_file(tmp_path / "method.safetensors"))
    assert are_rounded(other, again) and torch.equal(logits(other, again), expected)


def test_what_has_not_changed_is_not_rounded_again():
    backbone, method = make("ft_top2", torch.bfloat16)
    train(backbone, method, EXAMPLES, (), replace(RECIPE, steps=1))
    for change in (lambda: None, lambda: method.load_state_dict(method.state_dict())):
        change()
        logits(backbone, method)
        before = [weight._version for weight, _ in adopted(backbone, method).values()]
        logits(backbone, method)
        assert [weight._version for weight, _ in adopted(backbone, method).values()] == before


def test_embeddings_are_those_that_train():
    backbone, method = make("ft", torch.bfloat16)
    (table,) = [master for name, (_, master) in adopted(backbone, method).items() if name.endswith("wte.weight")]
    with torch.no_grad():
        table += 1
    batch = backbone.embed(backbone.batch(backbone.encode(EXAMPLES[:1])))
    ids = backbone.encode(EXAMPLES[:1])[0]
    assert torch.equal(batch.embeds[0], table[ids.source + ids.target].bfloat16())


def losses(name: str, dtype: torch.dtype, **changes) -> list[float]:
    backbone, method = make(name, dtype, lr=1e-3)
    log = []
    torch.manual_seed(0)
    train(backbone, method, examples_for(backbone), (), replace(RECIPE, steps=40, **changes), log=log.append)
    predict(backbone, method, examples_for(backbone), Decoding(1, 1.0, 2, 0, 0, 2))
    return [row["loss"] for row in log]


@pytest.mark.parametrize(("name", "dtype"), CHOICES)
def test_a_run_in_16_bits_ends_near_that_in_fp32(name, dtype):
    expected, found = losses(name, torch.float32), losses(name, DTYPES[dtype])
    assert expected[-1] < 0.95 * expected[0]
    assert found[-1] == pytest.approx(expected[-1], rel=0.05)


class Faint(Method):
    """Adds 1e-7 of a trained map to the first query map, so that its gradient is below all numbers of fp16."""

    def __init__(self, backbone: Backbone, lr: float):
        super().__init__(backbone, lr)
        (linear, *_) = backbone.linears("query")
        d_model = backbone.d_model
        self.weight = torch.nn.Parameter(torch.eye(d_model))
        linear.change(lambda x, y: y + 1e-7 * (x @ self.weight.to(x.dtype)))


def test_the_loss_is_scaled_in_fp16_so_that_small_gradients_arrive(monkeypatch):
    monkeypatch.setattr("peft_cli.train.ADAMW", partial(torch.optim.SGD))
    moved = {}
    for dtype in (torch.float32, torch.float16):
        backbone = make_backbone("gpt2")
        backbone.model.to(dtype)
        method = Faint(backbone, lr=1e7)
        step(backbone, method, backbone.encode(EXAMPLES), RECIPE)
        is_lost = not method.weight.grad.any()
        assert is_lost == (dtype == torch.float16)
        method.zero_grad()
        before = method.weight.detach().clone()
        recipe = replace(RECIPE, steps=1, warmup_steps=0, clip=None)
        train(backbone, method, EXAMPLES, (), recipe)
        moved[dtype] = method.weight.detach() - before
    assert torch.nn.functional.cosine_similarity(*(delta.flatten() for delta in moved.values()), dim=0) > 0.9


@pytest.mark.parametrize("clip", [None, 1e-3])
def test_gradients_are_clipped_as_they_are_without_the_scale_of_the_loss(monkeypatch, clip):
    monkeypatch.setattr("peft_cli.train.ADAMW", partial(torch.optim.SGD))
    moved = []
    for dtype in (torch.float32, torch.float16):
        backbone, method = make("bitfit", dtype, lr=1.0)
        before = torch.cat([p.detach().clone() for p in method.parameters()])
        train(backbone, method, EXAMPLES, (), replace(RECIPE, steps=1, warmup_steps=0, clip=clip))
        moved.append((torch.cat([*method.parameters()]) - before).norm().item())
    assert moved[1] == pytest.approx(moved[0], rel=0.05)
    assert clip is None or moved[0] == pytest.approx(clip, rel=1e-4)


def test_a_scale_that_makes_gradients_overflow_is_lowered_until_they_do_not():
    moved = {}
    for steps in (1, 12):
        backbone, method = make("bitfit", torch.float16, lr=1e-3)
        before = torch.cat([p.detach().clone() for p in method.parameters()])
        recipe = replace(RECIPE, steps=steps, warmup_steps=0, loss="target_sum", batch_size=64)
        train(backbone, method, EXAMPLES * 32, (), recipe)
        moved[steps] = not torch.equal(torch.cat([*method.parameters()]), before)
    assert moved == {1: False, 12: True}
