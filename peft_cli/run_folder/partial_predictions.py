"""The predictions of a run that is not finished, so that a run that was killed goes on where it was."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peft_cli.run_folder.files import open_to_append, read_lines, replace_file, warn_once

MALFORMED = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)


class PartialPredictions:
    """The texts predicted so far by the examples' numbers, in a file with a line for each batch.

    They hold for what they were made of alone: the hashes of tensors, backbone and data in the file's first line. A
    line of which a bit has changed is dropped with a warning, and its examples are predicted again.
    """

    def __init__(self, path: Path, made_of: Mapping[str, str]):
        self.path = path
        self.texts: dict[int, str] = {}
        self.seconds = 0.0
        head = json.dumps({"made_of": dict(made_of)}, sort_keys=True) + "\n"
        lines = self.read(head)
        with replace_file(path) as file:
            file.writelines([head, *lines])

    def read(self, head: str) -> list[str]:
        """Takes over the batches of a file that begins with `head`, and returns their lines."""
        kept = []
        try:
            lines = read_lines(self.path)
            if next(lines, b"") != head.encode():
                return []
            for line in lines:
                if self.take(line):
                    kept.append(line.decode())
        except FileNotFoundError:
            pass  # nothing was predicted yet
        except (OSError, ValueError) as error:
            warn_once(f"{self.path}: {error}; what follows is predicted again")
        return kept

    def take(self, line: bytes) -> bool:
        """Takes over the batch of a line, and returns whether the line is one."""
        if not line.endswith(b"\n"):
            return False  # it was being written when the run was killed
        try:
            row = json.loads(line)
            texts = {int(number): text for number, text in row["texts"].items()}
            "".join(texts.values()).encode()  # each is a text that can be written again
            if row["sha256"] != checksum(row["texts"], row["seconds"]) or not math.isfinite(row["seconds"]):
                raise ValueError("a line has changed since it was written")
        except MALFORMED as error:
            warn_once(f"{self.path}: {error}; the examples of that line are predicted again")
            return False
        self.texts |= texts
        self.seconds += row["seconds"]
        return True

    def add(self, texts: Mapping[int, str], seconds: float) -> None:
        """Writes down a batch."""
        named = {str(number): text for number, text in texts.items()}
        row = {"texts": named, "seconds": seconds, "sha256": checksum(named, seconds)}
        with open_to_append(self.path) as file:
            file.write(json.dumps(row) + "\n")


def checksum(texts: Any, seconds: Any) -> str:
    """Returns the SHA-256 of a batch."""
    return hashlib.sha256(json.dumps([texts, seconds]).encode()).hexdigest()
