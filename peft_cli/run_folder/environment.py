"""What a run ran on and with."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import torch


def environment(device: torch.device) -> dict:
    """Versions, the source's commit, and the machine, without its name."""
    folder = Path(__file__).parents[1]
    git = subprocess.run(["git", "-C", folder, "describe", "--always", "--dirty"], capture_output=True, text=True)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    packages = ("peft-cli", "torch", "transformers", "sacrebleu", "rouge-score", "hydra-core")
    return {
        "python": platform.python_version(),
        "versions": {package: version(package) for package in packages},
        "commit": git.stdout.strip() or None,
        "device": name,
        "threads": torch.get_num_threads(),
    }


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
