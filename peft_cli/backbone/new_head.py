"""Classification heads: which outputs a pretrained one has, and new ones."""

from __future__ import annotations

import copy

from torch import nn
from transformers import PretrainedConfig, PreTrainedModel


def new_head(model: PreTrainedModel, name: str, n_outputs: int) -> nn.Module:
    """A head like the module `name` of `model`, with `n_outputs` outputs and random weights."""
    config = copy.copy(model.config)
    config.num_labels = n_outputs
    head: nn.Module = type(model.get_submodule(name))(config)
    return head.apply(model._init_weights).to(model.device, model.dtype).requires_grad_(False)


def entailment_index(config: PretrainedConfig) -> int | None:
    """The index of the class "entailment" of a model's head, which differs between models; None: it is no NLI head."""
    indices = [int(i) for i, name in (config.id2label or {}).items() if name.lower().startswith("entail")]
    return indices[0] if len(indices) == 1 else None
