import pytest
import torch

from peft_cli.method.prefix import Prefix
from peft_cli.method.unipelt import UniPELT
from tests.conftest import D_MODEL, HEADS, LAYERS, examples_for, make_backbone

OPEN = 50.0  # sigmoid of it is one


def make(backbone, **options):
    torch.manual_seed(0)
    defaults = {
        "length": 3,
        "prefix_bottleneck": None,
        "rank": 2,
        "input": "normed",
        "reduction": 4,
        "activation": "relu",
    }
    return UniPELT(backbone, **defaults | options, shift_positions=False, lr=1e-3)


def logits(backbone, method):
    with torch.no_grad():
        return backbone.forward(method.inputs(backbone.batch(backbone.encode(examples_for(backbone)))))[0]


def set_gates(gates, bias: float) -> None:
    for gate in gates:
        torch.nn.init.zeros_(gate.weight)
        torch.nn.init.constant_(gate.bias, bias)


def stir(modules) -> None:
    torch.manual_seed(2)
    for p in modules.parameters():
        p.data += 0.3 * torch.randn_like(p)


def test_it_trains_what_its_formula_counts():
    method = make(make_backbone("gpt2"))
    prefix, size = 3 * 2 * D_MODEL, D_MODEL // 4
    lora = 2 * (2 * 2 * D_MODEL + D_MODEL + 1)  # query and value: A, B and a gate
    adapter = 2 * size * D_MODEL + size + D_MODEL + D_MODEL + 1
    assert sum(p.numel() for p in method.parameters()) == LAYERS * (prefix + lora + adapter + D_MODEL + 1)


def test_with_open_gates_it_starts_as_prefix_tuning(backbone):
    method = make(backbone)
    set_gates(method.gates, OPEN)
    other = make_backbone(backbone.config.model_type)
    torch.manual_seed(0)
    prefix = Prefix(other, 3, None, "random", None, "front", shift_positions=False, lr=1e-3)
    prefix.stacks.load_state_dict(method.stacks.state_dict())
    prefix.adopted.load_state_dict(method.adopted.state_dict())
    assert torch.allclose(logits(backbone, method), logits(other, prefix), atol=1e-5)


@pytest.mark.parametrize("part", ["loras", "adapters"])
def test_a_closed_gate_takes_its_part_away(backbone, part):
    method = make(backbone)
    before, modules = logits(backbone, method), getattr(method, part)
    stir(modules)
    assert not torch.allclose(logits(backbone, method), before, atol=1e-4)
    set_gates([module.gate for module in modules], -OPEN)
    assert torch.allclose(logits(backbone, method), before, atol=1e-5)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_a_later_token_changes_no_earlier_logits(family):
    backbone = make_backbone(family)
    method = make(backbone)
    stir(method)
    batch = backbone.batch(backbone.encode(examples_for(backbone)[:1]))
    outs = []
    for last in (5, 6):
        batch.input_ids[0, -1] = last
        with torch.no_grad():
            outs.append(backbone.forward(method.inputs(batch))[0])
    assert torch.allclose(outs[0], outs[1], atol=1e-6)  # the last token has no logits of its own


def test_gates_start_near_a_half():
    method = make(make_backbone("gpt2"))
    hidden = torch.randn(100, D_MODEL)
    assert all((gate(hidden) - 0.5).abs().max() < 0.1 for gate in method.gates)


def test_every_attention_has_a_gate_of_its_own(backbone):
    kinds = backbone.attentions()
    assert len(make(backbone).gates) == sum(map(len, kinds.values())) == len(kinds) * LAYERS and HEADS > 1
