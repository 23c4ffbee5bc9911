"""A finished run as a backbone: what it made of the backbone's own weights, as intermediate training does."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel

ADOPTED = "adopted."  # how the name of a weight of the backbone begins in what a method stores


@dataclass(frozen=True)
class Tuned:
    """A pretrained model's name, and what a run made of its weights; nothing where the name is no run's folder."""

    name: str
    tensors: Mapping[str, Tensor]
    labels: Sequence[str]  # the classes of the run's head

    def configured(self, config: PretrainedConfig) -> PretrainedConfig:
        """`config` with the classes of the run's head, by their names."""
        if self.labels:
            config.id2label = dict(enumerate(self.labels))
            config.label2id = {label: i for i, label in enumerate(self.labels)}
        return config

    @torch.no_grad()
    def fill(self, model: PreTrainedModel) -> PreTrainedModel:
        """`model` with the run's weights; those of a head that it has not, or has in another size, are left out."""
        for name, parameter in model.named_parameters():
            if name in self.tensors and self.tensors[name].shape == parameter.shape:
                parameter.copy_(self.tensors[name])
        return model


def tuned(name: str) -> Tuned:
    """What stands in the run folder `name`, and in those that its backbone came from; raises ValueError for a run whose
    method stored more than weights of the backbone."""
    folder = Path(name)
    if not (folder / "result.json").is_file():
        return Tuned(name, {}, ())
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    stored = load_file(folder / "method.safetensors")
    if added := [key for key in stored if not key.startswith(ADOPTED)]:
        raise ValueError(
            f"backbone.name={name} is a run of method={result['run']['method']}, which stores {added[0]} beside the "
            "backbone's own weights; take a run of method=ft, or say init_from for a run of the same method"
        )
    before = tuned(result["config"]["backbone"]["name"])
    own = {key.removeprefix(ADOPTED).replace("/", "."): tensor for key, tensor in stored.items()}
    return Tuned(before.name, {**before.tensors, **own}, result["data"]["labels"])
