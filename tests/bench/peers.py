"""The other side: HF peft around the same model, or the model alone, in a plain loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import Tensor
from transformers import PreTrainedModel

from peft_cli.method import Method
from peft_cli.method.lora import LoRA
from tests.bench.compare import Step


def wrapped(method: Method, model: PreTrainedModel) -> PreTrainedModel:
    """`model` with HF peft's adapter of the same tensors as `method`."""
    from peft import get_peft_config, get_peft_model, set_peft_model_state_dict

    settings, tensors = method.export()
    made = get_peft_model(model, get_peft_config(settings | {"inference_mode": False}))
    tensors = {name: tensor.detach().clone().to(model.device) for name, tensor in tensors.items()}
    set_peft_model_state_dict(made, tensors)
    return made.eval()


def step(
    model: PreTrainedModel, batch: dict[str, Tensor], gradients: Callable[[], dict[str, Tensor]],
    trained: Iterable[Tensor] | None = None,
) -> Step:  # fmt: skip
    """A step of a plain loop: the model's own loss, and logits at every position.

    `trained` is what trains; None: what of the model has a gradient.
    """

    def add() -> float:
        loss = model(**batch).loss
        loss.backward()
        return loss.item()

    own = (p for p in model.parameters() if p.requires_grad)
    return Step(model, add, own if trained is None else trained, gradients)


def prompt(model: PreTrainedModel, name: str) -> Callable[[], dict[str, Tensor]]:
    """The gradient of HF peft's prompt, by the `name` that ours has."""
    return lambda: {name: model.prompt_encoder["default"].embedding.weight.grad.clone()}


def lora(method: LoRA, model: PreTrainedModel) -> Callable[[], dict[str, Tensor]]:
    """The gradients of the blocks of HF peft's A and B that ours are."""
    parameters, backbone = dict(model.named_parameters()), method.backbone
    rank = len(method.A[0])

    def gradients() -> dict[str, Tensor]:
        found, seen = {}, {}
        for i, linear in enumerate(method.linears):
            name = backbone.name_of(linear.module)
            start = seen.get(name, 0)
            seen[name] = stop = start + rank
            down, up = (parameters[f"base_model.model.{name}.lora_{side}.default.weight"].grad for side in "AB")
            found |= {f"A.{i}": down[start:stop].clone(), f"B.{i}": up[linear.columns, start:stop].clone()}
        return found

    return gradients


def top(model: PreTrainedModel, method: Method) -> Callable[[], dict[str, Tensor]]:
    """Trains the weights that `method` trains, and those alone; returns what tells their gradients."""
    names = {name: name.replace("/", ".") for name in method.adopted}
    for name, p in model.named_parameters():
        p.requires_grad_(name in names.values())
    own = dict(model.named_parameters())
    return lambda: {f"adopted.{ours}": own[theirs].grad.clone() for ours, theirs in names.items()}
