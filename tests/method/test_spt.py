import pytest
import torch

from peft_cli.method.pt import PT
from peft_cli.method.spt import SPT
from tests.conftest import D_MODEL, examples_for, make_backbone

TARGETS, SHAPES = ("prompt", "input", "both"), ("d_model", "tokens", "scalar")
every_scale = pytest.mark.parametrize(("target", "shape"), [(t, s) for t in TARGETS for s in SHAPES])


def make(backbone, target="prompt", shape="d_model"):
    torch.manual_seed(0)
    return SPT(backbone, 4, "vocabulary", None, scale_target=target, scale_shape=shape, lr=0.1, scale_lr=0.2)


def logits(backbone, method):
    with torch.no_grad():
        return backbone.forward(method.inputs(backbone.batch(backbone.encode(examples_for(backbone)))))[0]


def stir(method):
    torch.manual_seed(2)
    method.scale.data += 0.5 * torch.randn_like(method.scale)
    return method


@every_scale
def test_step_0_is_prompt_tuning(backbone, target, shape):
    torch.manual_seed(0)
    twin = make_backbone(backbone.config.model_type)
    torch.manual_seed(0)
    plain = logits(twin, PT(twin, 4, "vocabulary", None, lr=0.1))
    assert torch.equal(logits(backbone, make(backbone, target, shape)), plain)


@every_scale
def test_fold_keeps_the_logits(backbone, target, shape):
    method = stir(make(backbone, target, shape))
    before = logits(backbone, method)
    method.fold()
    assert torch.allclose(logits(backbone, method), before, atol=1e-5)


@every_scale
def test_the_scale_changes_the_logits(backbone, target, shape):
    method = make(backbone, target, shape)
    before = logits(backbone, method)
    assert not torch.allclose(logits(backbone, stir(method)), before, atol=1e-4)


@pytest.mark.parametrize(
    ("target", "shape", "trained", "stored"),
    [
        ("prompt", "d_model", 5 * D_MODEL, 4 * D_MODEL),
        ("prompt", "tokens", 4 * D_MODEL + 4, 4 * D_MODEL),
        ("prompt", "scalar", 4 * D_MODEL + 1, 4 * D_MODEL),
        ("input", "d_model", 5 * D_MODEL, 5 * D_MODEL),
        ("input", "tokens", 4 * D_MODEL + 24, 4 * D_MODEL + 24),
        ("both", "tokens", 4 * D_MODEL + 28, 4 * D_MODEL + 24),
        ("both", "d_model", 5 * D_MODEL, 5 * D_MODEL),
    ],
)
def test_it_counts_what_trains_and_what_is_stored(target, shape, trained, stored):
    method = make(make_backbone("t5"), target, shape)  # reads sources of up to 24 tokens
    assert sum(p.numel() for p in method.parameters()) == trained
    method.fold()
    assert sum(p.numel() for p in method.parameters()) == stored


def test_the_scale_has_a_learning_rate_of_its_own():
    rest, scale = make(make_backbone("gpt2")).param_groups()
    assert (rest["lr"], scale["lr"]) == (0.1, 0.2) and [p.shape for p in scale["params"]] == [(1, D_MODEL)]


@pytest.mark.parametrize("shape", SHAPES)
def test_an_inputs_scale_reaches_the_source_alone(shape):
    backbone = make_backbone("gpt2")
    method = stir(make(backbone, "input", shape))
    batch = backbone.embed(backbone.batch(backbone.encode(examples_for(backbone))))
    changed = (method.scaled_source(batch, method.scale) != batch.inputs_embeds).any(-1)
    assert torch.equal(changed, backbone.source_mask(batch))


def test_an_inputs_scale_counts_positions_from_the_sources_first_token():
    backbone = make_backbone("gpt2")
    method = stir(make(backbone, "input", "tokens"))
    rows = backbone.encode(examples_for(backbone))
    learns, writes = (backbone.embed(backbone.batch(rows, training)) for training in (True, False))
    sources = [method.scaled_source(batch, method.scale)[backbone.source_mask(batch)] for batch in (learns, writes)]
    assert torch.equal(*sources)
