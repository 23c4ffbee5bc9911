import pytest
import torch

from peft_cli.method.prefix import Prefix, Stack
from tests.conftest import D_MODEL, EXAMPLES, LAYERS, examples_for, make_backbone


def make(backbone, **options):
    torch.manual_seed(0)
    defaults = {
        "length": 3,
        "bottleneck": 8,
        "init": "random",
        "text": None,
        "place": "front",
        "shift_positions": False,
        "lr": 1e-3,
    }
    return Prefix(backbone, **defaults | options)


def logits(backbone, method):
    with torch.no_grad():
        return backbone.forward(method.inputs(backbone.batch(backbone.encode(examples_for(backbone)))))[0]


def test_gpt2_medium_trains_25_744_896_and_stores_245_760():
    # 24 layers, d_model 1,024, |P| = 5, bottleneck 512: section 4.3 of the paper
    stack = Stack(5, (24, 2, 16, 64), d_model=1024, bottleneck=512)
    assert sum(p.numel() for p in stack.parameters()) == 5 * 1024 + 1024 * 512 + 512 + 512 * 49152 + 49152 == 25_744_896
    stack.fold()
    assert sum(p.numel() for p in stack.parameters()) == 5 * 24 * 2 * 1024 == 245_760


def test_bart_large_with_100_stores_7_373_000():
    # encoder, decoder and cross-attention, 12 layers each, d_model 1,024: the paper's "2 %" of 406 M
    stacks = [Stack(100, (12, 2, 16, 64), d_model=1024, bottleneck=None) for _ in range(3)]
    assert sum(p.numel() for stack in stacks for p in stack.parameters()) == 7_372_800


def test_every_kind_of_attention_has_a_stack_of_its_own(family, backbone):
    method = make(backbone)
    assert set(method.stacks) == set(backbone.attentions())
    method.fold()
    heads, d_head = backbone.heads()
    head = sum(p.numel() for _, p in backbone.head())
    stored = len(method.stacks) * LAYERS * 2 * 3 * heads * d_head
    assert sum(p.numel() for p in method.parameters()) == stored + head


@pytest.mark.parametrize("bottleneck", [None, 8])
def test_a_start_at_zero_has_zero_keys_and_values(backbone, bottleneck):
    method = make(backbone, init="zero", bottleneck=bottleneck)
    method.inputs({})
    assert all(torch.equal(prefix, torch.zeros_like(prefix)) for prefix in method.now.values())


def test_a_text_start_without_mlp_is_the_text_in_front():
    """In a causal decoder, the activations of a text are what the text itself would give in front of the input."""
    backbone = make_backbone("gpt2")
    method = make(backbone, init="text", text="name : Blue", bottleneck=None, shift_positions=True)
    plain = make_backbone("gpt2")
    ids = torch.tensor(plain.encoder.ids("name : Blue"))
    batch = plain.batch(plain.encode(EXAMPLES))
    with torch.no_grad():
        expected = plain.forward(plain.prepend(plain.embed(batch), plain.embedding(ids)))[0]
    assert torch.allclose(logits(backbone, method), expected, atol=1e-5)


def test_a_text_start_with_mlp_comes_nearer_to_the_activations():
    backbone = make_backbone("t5")
    wanted = backbone.activations("name : Blue", 3)
    random, started = (
        make(make_backbone("t5"), bottleneck=64),
        make(backbone, bottleneck=64, init="text", text="name : Blue"),
    )
    far, near = (sum((stack() - wanted[k]).pow(2).mean() for k, stack in m.stacks.items()) for m in (random, started))
    assert near < far


def test_shifted_positions_change_a_decoder_with_absolute_ones():
    shifted, plain = (make_backbone("gpt2") for _ in range(2))
    assert not torch.allclose(
        logits(shifted, make(shifted, shift_positions=True)), logits(plain, make(plain)), atol=1e-4
    )
    assert shifted.positions_added == plain.positions_added == 3


def test_the_mlp_runs_once_for_a_batch():
    backbone = make_backbone("gpt2")
    method = make(backbone)
    calls = []
    for stack in method.stacks.values():
        stack.register_forward_hook(lambda *args: calls.append(1))
    logits(backbone, method)
    assert len(calls) == len(method.stacks)


def test_a_text_goes_with_init_text_only():
    with pytest.raises(ValueError, match="a text goes with init=text, and only with it"):
        make(make_backbone("gpt2"), text="words")


def test_width_is_that_of_keys_and_values_not_of_d_model():
    assert make(make_backbone("t5"), bottleneck=None).stacks["encoder"].rows.shape == (3, LAYERS * 2 * 2 * 6)
    assert D_MODEL != 2 * 6
