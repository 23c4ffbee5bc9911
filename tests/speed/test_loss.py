"""The loss beside torch's own."""

import pytest
import torch
import torch.nn.functional as F

from peft_cli.run_folder.usage import counted
from peft_cli.speed.loss import summed_loss

V = 50


def drawn(n, dtype=torch.float32, scale=1.0):
    generator = torch.Generator().manual_seed(n)
    logits = (scale * torch.randn(n, V, generator=generator)).to(dtype).requires_grad_()
    return logits, torch.randint(V, (n,), generator=generator)


def both(logits, targets):
    """Loss and gradient of ours and of torch's, of a third of the loss."""
    found = []
    for loss in (summed_loss(logits, targets), F.cross_entropy(logits.float(), targets, reduction="sum")):
        found.append((loss.detach(), *torch.autograd.grad(loss / 3, logits)))
    return found


@pytest.mark.parametrize("n", [0, 1, 7])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("scale", [1.0, 100.0])  # with the second some words have a probability of zero in fp32
def test_loss_and_gradient_are_those_of_torch(n, dtype, scale):
    (loss, gradient), (expected, same) = both(*drawn(n, dtype, scale))
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradient, same)
    assert gradient.dtype == dtype


def test_numbers_have_squared_errors():
    logits, _ = drawn(4)
    assert summed_loss(logits, torch.zeros(4)).item() == pytest.approx(logits[:, 0].square().sum().item())


def test_no_more_than_the_log_probabilities_is_kept():
    logits, targets = drawn(64)
    with counted([logits]) as counts:
        summed_loss(logits, targets).backward()
    assert counts["saved_for_backward_bytes"] <= 4 * logits.numel() + 9 * len(targets)


def test_a_second_backward_pass_is_refused():
    loss = summed_loss(*drawn(3))
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
