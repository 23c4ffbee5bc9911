"""What examples hold: a hash of their texts, and the parts of a test set."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from peft_cli.data import Data, Example


def content_hashes(data: Data) -> dict[str, str]:
    """The fingerprint of each split of the examples that a run has drawn."""
    return {split: fingerprint(getattr(data, split)) for split in ("train", "validation", "test")}


def fingerprint(examples: Sequence[Example]) -> str:
    """The SHA-256 of the texts of `examples` in their order: equal for equal texts alone, whatever the ids."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update(json.dumps([example.source, example.references, *example.texts]).encode() + b"\n")
    return digest.hexdigest()


def subset_indices(examples: Sequence[Example]) -> dict[str, list[int]]:
    """The indices in `examples` of each subset, by its name, in the order in which the subsets appear."""
    indices: dict[str, list[int]] = {}
    for i, example in enumerate(examples):
        if example.subset is not None:
            indices.setdefault(example.subset, []).append(i)
    return indices
