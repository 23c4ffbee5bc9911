"""BERTScore (Zhang et al., 2020, https://arxiv.org/abs/1904.09675), from a model's folder on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from peft_cli.metrics import Score
from peft_cli.metrics.encoders import Vectors, encode
from peft_cli.metrics.protocols import Protocol


def bertscore(
    predictions: Sequence[str], references: Sequence[Sequence[str]], protocol: Protocol, folder: str
) -> Score:
    """F1 in percent without idf or rescaling, of the best reference; `folder` is "<folder>@<layer>".

    The package bert-score takes layer 17 of roberta-large. Raises ValueError where `folder` names no layer.
    """
    path, _, layer = folder.rpartition("@")
    if not (path and layer.isdigit()):
        raise ValueError(f"bertscore={folder} names no layer; add one, as in bertscore=models/roberta-large@17")
    vectors = encode(path, [*predictions, *(ref for several in references for ref in several)], int(layer))
    items = [
        100 * max(greedy_f1(vectors[text], vectors[ref]) for ref in several)
        for text, several in zip(predictions, references, strict=True)
    ]
    signature = f"BERTScore|model:{Path(path).name}|layer:{layer}|idf:no|rescale:no|refs:best"
    return Score({"bertscore": fmean(items)}, signature, {"bertscore": items})


def greedy_f1(hyp: Vectors, ref: Vectors) -> float:
    """F1 of greedy matching, 0 to 1; the tokenizer's own tokens can be matched but are not averaged."""
    import torch

    counted = [~torch.tensor(side.is_special) for side in (hyp, ref)]
    if not all(mask.any() for mask in counted):
        return 0.0
    similarity = hyp.hidden.float() @ ref.hidden.float().T  # [T of hyp, T of ref]
    precision = similarity.max(dim=1).values[counted[0]].mean().item()
    recall = similarity.max(dim=0).values[counted[1]].mean().item()
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
