"""What a run uses of its machine: operations, memory and energy."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

ATTENTION_ON_CPU = {  # torch counts it on a GPU alone
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: lambda query, key, value, *_, **__: sdpa_flop_count(
        query, key, value
    ),
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: lambda out, query, key, value, *_, **__: (
        sdpa_backward_flop_count(out, query, key, value)
    ),
}


@contextmanager
def counted(weights: Iterable[Tensor]) -> Iterator[dict[str, int | None]]:
    """Counts what happens inside; the dictionary is filled at the end.

    The operations of matrix products and attention, and the bytes of the distinct buffers that autograd keeps for the
    backward pass, without those of `weights`.
    """
    own = {p.untyped_storage().data_ptr() for p in weights}
    saved: dict[int, int] = {}
    counts: dict[str, int | None] = {}

    def keep(tensor: Tensor) -> Tensor:
        for part in (tensor._indices(), tensor._values()) if tensor.is_sparse else (tensor,):
            storage = part.untyped_storage()
            if storage.data_ptr() not in own:
                saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with FlopCounterMode(display=False, custom_mapping=ATTENTION_ON_CPU) as flops, hooks:
        yield counts
    counts |= {"flops_per_step": flops.get_total_flops(), "saved_for_backward_bytes": sum(saved.values())}


class PeakMemory:
    """The most memory in use since it was made: on a GPU what torch took there, on a CPU the process's resident set."""

    def __init__(self, device: torch.device):
        self.device = device
        self.status, clear = Path("/proc/self/status"), Path("/proc/self/clear_refs")
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        elif clear.exists():
            clear.write_text("5")  # Linux: the peak starts again from what is resident

    def read(self) -> dict[str, int | str]:
        """Bytes, and what was measured."""
        if self.device.type == "cuda":
            peak, reserved = torch.cuda.max_memory_allocated(self.device), torch.cuda.max_memory_reserved(self.device)
            return {"peak_memory_bytes": peak, "peak_reserved_bytes": reserved, "memory_kind": "cuda"}
        if self.status.exists():
            line = next(line for line in self.status.read_text().splitlines() if line.startswith("VmHWM"))
            peak = int(line.split()[1]) * 1024
        else:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        return {"peak_memory_bytes": peak, "memory_kind": "rss"}


def energy(device: torch.device) -> float | None:
    """The joules that the GPU has drawn since its driver was loaded; null on a CPU or where NVML does not tell."""
    if device.type != "cuda":
        return None
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
        return pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000
    except pynvml.NVMLError:
        return None
