import pytest
import torch

from peft_cli.method.ia3 import IA3
from tests.conftest import D_MODEL, LAYERS, examples_for, make_backbone, three_equal_steps

NAMES = {"llama": ["k_proj", "v_proj", "down_proj"], "bart": ["k_proj", "v_proj", "fc2"], "t5": ["k", "v", "wo"]}


@pytest.mark.parametrize("family", NAMES)
def test_three_steps_are_those_of_hf_peft(family):
    from peft import IA3Config, get_peft_model

    ours, theirs = make_backbone(family), make_backbone(family)
    method = IA3(ours, lr=1e-2)
    config = IA3Config(target_modules=NAMES[family], feedforward_modules=NAMES[family][-1:])
    model = get_peft_model(theirs.model, config)
    torch.manual_seed(0)
    places = {id(module): name for name, module in ours.model.named_modules()}
    linears = ours.linears("key", "value") + ours.linears("ffn_output")
    pairs = []
    for scale, linear in zip(method.scales, linears, strict=True):
        scale.data.normal_(1, 0.2)
        name = places[id(linear.module)]
        (p,) = [p for key, p in model.named_parameters() if p.requires_grad and f".{name}.ia3_l" in key]
        p.data.copy_(scale.data.view(p.shape))
        pairs.append((scale, p))
    batch = ours.batch(ours.encode(examples_for(ours)))
    optimizers = [torch.optim.AdamW(m.parameters(), lr=1e-2) for m in (method, model)]
    three_equal_steps(ours, method, model, batch, optimizers, lambda: [(a.grad, b.grad.flatten()) for a, b in pairs])


def test_it_trains_a_number_for_each_key_value_and_inner_activation():
    method = IA3(make_backbone("gpt2"), lr=1e-2)
    assert sum(p.numel() for p in method.parameters()) == LAYERS * (D_MODEL + D_MODEL + 4 * D_MODEL)
