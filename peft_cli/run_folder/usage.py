"""What a run uses of its machine: memory and energy."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import torch


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
