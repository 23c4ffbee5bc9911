"""Heads of an encoder that answer in words: that of an NLI model, and that which predicts words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from peft_cli.backbone.model import Backbone
from peft_cli.backbone.new_head import entailment_index, new_head


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


def renew_head(backbone: Backbone) -> None:
    """Replaces the model's head by a new one of a single output, the log-odds of entailment."""
    name = backbone.classifier()[0][0].split(".")[0]
    head, backbone.config.num_labels = new_head(backbone.model, name, 1), 1
    setattr(backbone.model, name, head)
    backbone.has_new_head = True


def words_head(backbone: Backbone) -> nn.Module:
    """The head that predicts a word; where the model has another, the checkpoint's joins it.

    Raises ValueError for a checkpoint without one.
    """
    name, model = str(backbone.family.words_head), backbone.model
    if not hasattr(model, name):
        if backbone.read_words_head is None:
            raise ValueError(f"{backbone.config.model_type} has no head that predicts words here")
        head: Any = backbone.read_words_head().to(model.device, model.dtype).requires_grad_(False)
        head.decoder.weight = model.get_input_embeddings().weight
        model.add_module(name, head)
    return model.get_submodule(name)
