"""BitFit (Ben Zaken et al., 2022, https://aclanthology.org/2022.acl-short.1)."""

from __future__ import annotations

from pydantic import PositiveFloat

from peft_cli.backbone import Backbone
from peft_cli.method import Method


class BitFit(Method):
    """b + delta for every bias b of the backbone, those of normalisations included.

    At step 0 the backbone is unchanged. Ben Zaken et al., 2022, https://aclanthology.org/2022.acl-short.1. Departure:
    none. Raises ValueError for a family without biases (T5, Llama).
    """

    def __init__(self, backbone: Backbone, lr: PositiveFloat):
        super().__init__(backbone, lr)
        biases = [(name, p) for name, p in backbone.named_parameters() if name.endswith(".bias")]
        if not biases:
            raise ValueError(f"BitFit trains bias terms and {backbone.config.model_type} has none")
        self.adopt(biases)
