"""Heads of an encoder: a new one for classes, that of an NLI model, and that which predicts words."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
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


def entailment_log_odds(logits: Tensor, config: PretrainedConfig) -> Tensor:
    """The log-odds [B] of entailment from the logits [B, n] of an NLI head, or of a head [B, 1] of that number."""
    if logits.shape[-1] == 1:
        return logits[:, 0]
    i = entailment_index(config)
    others = [j for j in range(logits.shape[-1]) if j != i]
    return logits[:, i] - logits[:, others].logsumexp(-1)


def entailment_logits(logits: Tensor, n_inputs: int, config: PretrainedConfig) -> Tensor:
    """[B, classes] from the logits [B H, n] of an NLI head for H inputs of each row; one input is the second class."""
    scores = entailment_log_odds(logits.float(), config)  # [B H]
    return torch.stack([torch.zeros_like(scores), scores], -1) if n_inputs == 1 else scores.view(-1, n_inputs)


def mask_logits(
    model: PreTrainedModel, head: nn.Module, hidden: Tensor, label_ids: Sequence[Tensor], vectors: Tensor | None
) -> Tensor:
    """[B, classes] for hidden states [B, d_model] at a mask, by the word `head`.

    The logit of a class is the mean over the tokens of its label; `vectors` [classes, d_model] replace their rows of
    the output embedding.
    """
    output = model.get_output_embeddings()
    ids = [own.to(hidden.device) for own in label_ids]
    if vectors is None:
        vectors = torch.stack([output.weight[own].mean(0) for own in ids])
    bias = torch.stack([output.bias[own].mean() for own in ids])
    return word_features(head, output, hidden).float() @ vectors.float().T + bias.float()


def word_features(head: nn.Module, output: nn.Module, hidden: Tensor) -> Tensor:
    """What enters the `output` embedding of a word `head` for hidden [N, d_model]: [N, d_model]."""
    entered: list[Tensor] = []
    handle = output.register_forward_pre_hook(lambda module, args: entered.append(args[0]))
    try:
        head(hidden)
    finally:
        handle.remove()
    return entered[0]
