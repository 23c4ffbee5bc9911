"""A finished run as a backbone: the weights of the pretrained model that it trained, as intermediate training does."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

ADOPTED = "adopted."  # how the name of a weight of the backbone begins in what a method stores


@dataclass(frozen=True)
class RunCheckpoint:
    """A pretrained model's name, and the weights and classes that runs trained; none where the name is no run's."""

    name: str
    tensors: Mapping[str, Tensor]
    labels: Sequence[str]  # the classes of the run's head


def read_run_checkpoint(name: str) -> RunCheckpoint:
    """The weights in the run folder `name`, and in those that its backbone came from.

    Raises ValueError for a run whose method stored more than weights of the backbone.
    """
    folder = Path(name)
    if not (folder / "result.json").is_file():
        return RunCheckpoint(name, {}, ())
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    stored = load_file(folder / "method.safetensors")
    if added := [key for key in stored if not key.startswith(ADOPTED)]:
        raise ValueError(
            f"backbone.name={name} is a run of method={result['run']['method']}, which stores {added[0]} beside the "
            "backbone's own weights; take a run of method=ft, or give init_from for a run of the same method"
        )
    before = read_run_checkpoint(result["config"]["backbone"]["name"])
    own = {key.removeprefix(ADOPTED).replace("/", "."): tensor for key, tensor in stored.items()}
    return RunCheckpoint(before.name, {**before.tensors, **own}, result["data"]["labels"])
