"""What a run ran on and with."""

from __future__ import annotations

import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

CHECKOUT = Path(__file__).parents[2]  # the package's own repository, where it runs from one


def environment(device: torch.device) -> dict[str, Any]:
    """Returns versions, the source's commit, and the machine, without its name."""
    packages = ("peft-cli", "torch", "transformers", "sacrebleu", "rouge-score", "hydra-core")
    return {
        "python": platform.python_version(),
        "versions": {package: version(package) for package in packages},
        "commit": commit(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else processor(),
        "threads": torch.get_num_threads(),
    }


def commit() -> str | None:
    """Returns the commit of the package's own repository; None for an installed package, whatever lies around it."""
    if not (CHECKOUT / ".git").exists() or not shutil.which("git"):
        return None
    command = ["git", "-C", str(CHECKOUT), "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() or None


def processor() -> str:
    """Returns the processor's name, as far as the system has one."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def choose_device(device: str) -> str:
    """`device`, or with "auto" the first GPU where there is one and the CPU where there is none."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"backbone.device={device} asks for a GPU and torch finds none here; take cpu or auto")
    return device
