"""BLEURT (Sellam et al., 2020, https://aclanthology.org/2020.acl-main.704), from a model's folder on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from peft_cli.metrics import Score
from peft_cli.metrics.encoders import batches, load_model
from peft_cli.metrics.protocols import Protocol


def bleurt(predictions: Sequence[str], references: Sequence[Sequence[str]], protocol: Protocol, folder: str) -> Score:
    """The mean over items of the best reference's score, times 100.

    `folder` has a checkpoint converted to transformers, as a classifier with one output. Raises ValueError for another.
    """
    import torch

    model, tokenizer = load_model("AutoModelForSequenceClassification", folder)
    if model.config.num_labels != 1:
        raise ValueError(f"bleurt={folder} has {model.config.num_labels} outputs; it has to be a BLEURT, which has one")
    pairs = [(ref, text) for text, several in zip(predictions, references, strict=True) for ref in several]
    values: list[float] = []
    for batch in batches(pairs):
        rows = tokenizer(*map(list, zip(*batch, strict=True)), padding=True, truncation=True, return_tensors="pt")
        with torch.no_grad():
            values += model(**rows.to(model.device)).logits[:, 0].tolist()
    rest = iter(values)
    items = [100 * max(next(rest) for _ in several) for several in references]
    return Score({"bleurt": fmean(items)}, f"BLEURT|model:{Path(folder).name}|refs:best", {"bleurt": items})
