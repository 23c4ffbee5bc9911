"""Starting a method from what other runs stored: intermediate tuning, prompt transfer, an average of prompts.

SPoT (Vu et al., 2022, https://aclanthology.org/2022.acl-long.346), intermediate SPT (Hu et al., 2023,
https://arxiv.org/abs/2309.06759) and DePT's transfer (Shi and Lipani, 2024) are all this one step.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from peft_cli.method import Method


def start_from(method: Method, init_from: str | list[str] | None) -> list[dict]:
    """Starts `method` from the tensors that the run folders `init_from` stored, or from the mean of several runs.

    Returns the chain of sources: for each its run, the SHA-256 of its tensors, and its own sources. Raises ValueError
    where a folder is no finished run, or its tensors are not those of `method`.
    """
    folders = [Path(folder) for folder in ([init_from] if isinstance(init_from, str) else init_from or [])]
    sources = [source(folder) for folder in folders]
    if folders:
        method.start_from(mean([load_file(folder / "method.safetensors") for folder in folders]))
    return sources


def source(folder: Path) -> dict:
    """What a result records of a run that another one starts from."""
    path = folder / "result.json"
    if not path.is_file() or not (folder / "method.safetensors").is_file():
        raise ValueError(
            f"init_from={folder} is no folder of a finished run; it has to have result.json and method.safetensors"
        )
    result = json.loads(path.read_text(encoding="utf-8"))
    digest = hashlib.sha256((folder / "method.safetensors").read_bytes()).hexdigest()
    return {"run": result["run"], "sha256": digest, "sources": result.get("sources", [])}


def mean(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each tensor over `states`; raises ValueError where they are not alike."""
    first = states[0]
    shapes = {name: tuple(tensor.shape) for name, tensor in first.items()}
    for state in states[1:]:
        other = {name: tuple(tensor.shape) for name, tensor in state.items()}
        if other != shapes:
            raise ValueError(f"init_from has runs whose tensors differ: {told(shapes)} and {told(other)}")
    return {name: torch.stack([state[name] for state in states]).mean(0) for name in first}


def told(shapes: dict[str, tuple]) -> str:
    """Names and shapes of tensors, in words."""
    return ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items()) or "none"
