"""Any method of the installed Hugging Face peft that changes weights or layers (https://huggingface.co/docs/peft)."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from pydantic import PositiveFloat

from peft_cli.backbone import Backbone
from peft_cli.method import Method


class HFPeft(Method):
    """What `type` (lora, adalora, ia3, vera, oft, ...) makes of the backbone, with the `options` of its PeftConfig.

    HF peft puts its layers into the backbone; what they train is adopted here, so it is counted, trained and stored
    like any other method's. The state at step 0 is the type's own. Raises ValueError for a type that does not exist,
    options it has not got, a family it cannot change, and for types that put vectors in front of the input: HF peft
    wraps the model for these, while `pt`, `spt`, `dept` and `prefix` reach every family here.
    """

    def __init__(self, backbone: Backbone, type: str, options: dict[str, Any], lr: PositiveFloat):
        super().__init__(backbone, lr)
        if find_spec("peft") is None:
            raise ValueError("method=hf_peft needs the package peft; install it with pip install 'peft-cli[hf-peft]'")
        from peft import PEFT_TYPE_TO_CONFIG_MAPPING, PromptLearningConfig, get_peft_model

        configs = {str(key.value).lower(): config for key, config in PEFT_TYPE_TO_CONFIG_MAPPING.items()}
        known = sorted(name for name, config in configs.items() if not issubclass(config, PromptLearningConfig))
        if type.lower() not in known:
            raise ValueError(
                f"method.type={type} is no type of HF peft that changes layers; those are {', '.join(known)}"
            )
        try:
            get_peft_model(backbone.model, configs[type.lower()](**options))  # changes the model in place
        except (TypeError, ValueError) as error:
            raise ValueError(f"HF peft cannot use method.type={type} here: {' '.join(str(error).split())}") from error
        self.adopt([*backbone.head(), *((name, p) for name, p in backbone.named_parameters() if p.requires_grad)])
