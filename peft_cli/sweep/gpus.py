"""The GPUs of this machine, found without torch, since a process has to be given its GPU before it imports that."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from peft_cli.sweep.commands import output_of


def visible_gpus() -> list[str]:
    """Returns the GPUs that may be used, by the names that CUDA_VISIBLE_DEVICES takes."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip() and name.strip() != "-1"]
    return (output_of("nvidia-smi", "--query-gpu=index", "--format=csv,noheader") or "").split()


def smallest_memory(names: Sequence[str]) -> int | None:
    """Returns the bytes of the smallest of some GPUs; None where nvidia-smi does not know one of them."""
    rows = output_of("nvidia-smi", "--query-gpu=index,uuid,memory.total", "--format=csv,noheader,nounits") or ""
    known: dict[str, int] = {}
    for index, uuid, mebibytes in re.findall(r"^(\d+), *([^,]+), *(\d+)$", rows, re.MULTILINE):  # some have "[N/A]"
        known[index] = known[uuid] = int(mebibytes) * 2**20
    sizes = [known.get(name) for name in names]
    return min((size for size in sizes if size), default=None) if all(sizes) else None
