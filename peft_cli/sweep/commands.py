"""What commands of the system print."""

from __future__ import annotations

import shutil
import subprocess

ANSWER_SECONDS = 60  # after which a command that does not answer is given up


def output_of(*command: str) -> str | None:
    """Returns what a command prints; None where it fails, does not answer or is absent."""
    if not shutil.which(command[0]):
        return None
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=ANSWER_SECONDS)
    except subprocess.TimeoutExpired:
        return None
    return done.stdout if done.returncode == 0 else None
