"""What a user wants to know first of a finished run."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def summary(result: dict[str, Any], folder: Path) -> str:
    """Scores, weights, time, memory and the folder of a run, in a few lines."""
    cost, data = result["cost"], result["data"]
    scores = "  ".join(f"{name} {'-' if value is None else f'{value:.2f}'}" for name, value in result["scores"].items())
    lines = [f"{scores}  ({data['n_test']} test examples)"]
    lines += [f"{name} has no value: {reason}" for name, reason in result["undefined"].items()]
    if skipped := data.get("skipped_lines"):
        lines.append(f"{skipped:,} bad lines of the data were left out")
    weights = f"trained {cost['params_trained']:,} of {cost['params_backbone']:,} weights"
    step = cost["step_seconds"]["median"]
    timing = f"{1000 * step:.0f} ms a step" if step else "no training"
    memory = f"peak memory {cost['peak_memory_bytes'] / 2**20:,.0f} MiB"
    return "\n".join(
        [
            *lines,
            f"{weights}, stores {cost['params_stored']:,}",
            f"{timing}, {memory}, {cost['total_seconds']:.1f} s in all",
            str(folder),
        ]
    )
