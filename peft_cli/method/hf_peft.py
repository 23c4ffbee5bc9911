"""Any method of the installed Hugging Face peft that changes weights or layers (https://huggingface.co/docs/peft)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from pydantic import PositiveFloat
from torch import Tensor, nn

from peft_cli.backbone import Backbone
from peft_cli.method import Method

if TYPE_CHECKING:
    from peft import PeftConfig

DECOMPOSITION_SEED = 0
# What HF peft's types raise where they have no place in a model, each in its own way.
REFUSALS = (TypeError, ValueError, AttributeError, NotImplementedError, RuntimeError)


class HFPeft(Method):
    """W -> what `type` of HF peft (lora, adalora, ia3, vera, oft, ...) makes of W with the `options` of its PeftConfig.

    HF peft puts its layers into the backbone; what they train is adopted here, so it is counted, trained, stored and
    exported like any other method's. The state at step 0 is the type's own, with its own default for every option that
    is not given. https://huggingface.co/docs/peft.

    Raises ValueError for a type that does not exist, an option that it lacks, and a backbone whose output it cannot
    change, or can only with more than a batch (poly's task ids); and for the types that put vectors in front of the
    input: HF peft wraps the model for these, while `pt`, `spt`, `dept` and `prefix` work on every family here.
    Departures: a type with a schedule of ranks (AdaLoRA) keeps all the ranks that it starts with, which `r` sets. Where
    random numbers decide what is left of the frozen weights (PiSSA's fast decomposition), they are the same in every
    run, so that what a run stores fits.
    """

    def __init__(self, backbone: Backbone, type: str, options: dict[str, Any] | None, lr: PositiveFloat):
        super().__init__(backbone, lr)
        if find_spec("peft") is None:
            raise ValueError("method=hf_peft needs the package peft; install it with pip install 'peft-cli[hf-peft]'")
        from peft import get_peft_model

        kind, before = config_class(type.lower()), set(backbone.model.modules())
        try:
            config = configure(kind, options or {})
            with fixed_decomposition(config):  # changes the model in place, which stays outside
                self.model = (get_peft_model(backbone.model, config),)
            adopted = [(name, p) for name, p in backbone.named_parameters() if p.requires_grad]
            unreached = self.unreached([p for _, p in adopted]) if adopted else 0
        except REFUSALS as error:
            raise ValueError(
                f"HF peft cannot use method.type={type} on {backbone.config.model_type}: {' '.join(str(error).split())}"
            ) from error
        if unreached or not adopted:
            reason = f"{unreached} of its {len(adopted)} tensors have no part in what the model computes from a batch"
            raise ValueError(
                f"method.type={type} cannot train on {backbone.config.model_type}: "
                f"{reason if adopted else 'it finds nothing there that it could train'}"
            )
        self.adopt([*backbone.head(), *adopted])
        self.added = tuple(module for module in backbone.model.modules() if module not in before)
        self.train(False)

    def train(self, mode: bool = True) -> HFPeft:
        """Switches what HF peft added, such as its dropout, and not the backbone's own."""
        for module in self.added:
            module.training = mode
        return super().train(mode)

    def unreached(self, parameters: list[nn.Parameter]) -> int:
        """How many of `parameters` the model's output does not depend on."""
        ids = torch.zeros(1, 2, dtype=torch.long, device=self.backbone.model.device)
        inputs = {"decoder_input_ids": ids} if self.backbone.config.is_encoder_decoder else {}
        out = self.backbone.model(input_ids=ids, **inputs).logits
        return sum(grad is None for grad in torch.autograd.grad(out.sum(), parameters, allow_unused=True))

    def export(self) -> tuple[dict, dict[str, Tensor]] | None:
        """The adapter as HF peft itself saves it."""
        from peft import get_peft_model_state_dict

        (model,) = self.model
        settings = model.peft_config["default"].to_dict() | {"task_type": self.backbone.task_type}
        settings = {key: sorted(value) if isinstance(value, set) else value for key, value in settings.items()}
        return settings, get_peft_model_state_dict(model)


def config_class(type: str) -> type[PeftConfig]:
    """HF peft's class of settings for `type`; raises ValueError where there is none that changes layers."""
    from peft import PEFT_TYPE_TO_CONFIG_MAPPING, PromptLearningConfig

    configs = {str(key.value).lower(): config for key, config in PEFT_TYPE_TO_CONFIG_MAPPING.items()}
    in_front = [name for name, config in configs.items() if issubclass(config, PromptLearningConfig)]
    if type in in_front:
        raise ValueError(
            f"method.type={type} puts vectors in front of the input, for which HF peft wraps the whole model; "
            "take method=pt, spt, dept, prefix_embedding or prefix, which reach every family"
        )
    if type not in configs:
        known = ", ".join(sorted(set(configs) - set(in_front)))
        raise ValueError(f"method.type={type} is no type of HF peft that changes layers; there are {known}")
    return configs[type]


@contextmanager
def fixed_decomposition(config: PeftConfig) -> Iterator[None]:
    """Seeds the random numbers by which a start decomposes the frozen weights, if it does.

    What it leaves of them is not stored: whoever loads an adapter decomposes them again.
    """
    is_random = "niter" in str(getattr(config, "init_lora_weights", ""))
    with torch.random.fork_rng(enabled=is_random):
        if is_random:
            torch.manual_seed(DECOMPOSITION_SEED)
        yield


def configure(kind: type[PeftConfig], options: dict[str, Any]) -> PeftConfig:
    """The settings of a type. For one with a schedule of ranks: none of it, and `r` is what it starts with."""
    names = {field.name for field in dataclasses.fields(kind)}
    if "total_step" in names:
        options = {"total_step": 1} | options
    if "init_r" in names and "r" in options:
        options = {"init_r": options["r"]} | options
    return kind(**options)
