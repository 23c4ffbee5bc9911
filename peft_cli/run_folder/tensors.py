"""The tensors that a run stores: reading them, and describing them in errors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from peft_cli.run_folder.files import open_regular

TENSORS = "method.safetensors"


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """Returns what the run in `folder` stores, on the CPU. Raises ValueError where the file is broken."""
    path = folder / TENSORS
    try:
        open_regular(path).close()
        tensors: dict[str, Tensor] = load_file(path)
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"{path} cannot be read ({error}); delete its folder and run it again") from error
    return tensors


def describe_shapes(state: Mapping[str, Tensor]) -> str:
    """Returns the names and shapes of tensors in words; of many, of the first few."""
    words = [f"{name} {list(tensor.shape)}" for name, tensor in state.items()]
    more = [f"{len(words) - 4} more"] if len(words) > 5 else []
    return ", ".join([*words[: 4 if more else 5], *more]) or "none"
