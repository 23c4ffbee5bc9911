import pytest
import torch

from peft_cli.method.prefix_embedding import PrefixEmbedding
from peft_cli.method.pt import PT
from tests.conftest import D_MODEL, examples_for, make_backbone


def make(backbone, length=3, bottleneck=8):
    torch.manual_seed(0)
    return PrefixEmbedding(backbone, length, bottleneck, lr=1e-3)


def logits(backbone, method):
    with torch.no_grad():
        return backbone.forward(method.inputs(backbone.batch(backbone.encode(examples_for(backbone)))))[0]


def test_it_trains_an_mlp_and_stores_the_vectors():
    method = make(make_backbone("t5"))
    assert sum(p.numel() for p in method.parameters()) == 3 * D_MODEL + 2 * D_MODEL * 8 + 8 + D_MODEL
    method.fold()
    assert sum(p.numel() for p in method.parameters()) == 3 * D_MODEL


def test_folded_it_is_prompt_tuning(backbone):
    method = make(backbone)
    expected = logits(backbone, method)
    method.fold()
    other = make_backbone(backbone.config.model_type)
    plain = PT(other, 3, "random", None, lr=1e-3)
    plain.load_state_dict(method.state_dict())
    assert torch.allclose(logits(other, plain), expected, atol=1e-5)


def test_a_stored_one_is_gone_on_from_with_prompt_tuning():
    with pytest.raises(ValueError, match=r"method=pt and init_tensors=\[prompt\]"):
        make(make_backbone("gpt2")).start_from({})
