import torch
from torch import nn
from transformers.activations import NewGELUActivation

from peft_cli.backbone.fused_gelu import fuse_gelu
from peft_cli.run_folder.usage import counted
from tests.conftest import make_backbone


def test_a_gelu_in_one_kernel_has_equal_values_and_gradients_and_keeps_its_input_alone():
    found = []
    for change in (lambda model: None, fuse_gelu):
        model = nn.Sequential(NewGELUActivation())
        change(model)
        x = torch.linspace(-6, 6, 1000, requires_grad=True)
        with counted(()) as counts:
            y = model(x)
            y.sum().backward()
        found.append((y, x.grad, counts["saved_for_backward_bytes"]))
    (y, gradient, n_bytes), (same, same_gradient, fewer) = found
    assert torch.allclose(y, same, atol=1e-6) and torch.allclose(gradient, same_gradient, atol=1e-5)
    assert fewer == 4 * 1000 < n_bytes / 2


def test_gpt2_has_no_gelu_left_that_is_computed_step_by_step():
    modules = list(make_backbone("gpt2").model.modules())
    assert not any(isinstance(module, NewGELUActivation) for module in modules)
    assert any(isinstance(module, nn.GELU) for module in modules)
