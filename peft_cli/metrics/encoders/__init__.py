"""Frozen models from a folder on this machine, for the metrics that compare texts by a model's vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:  # torch is imported by the metrics that need it, when they run
    from torch import Tensor

BATCH = 64


class Vectors(NamedTuple):
    """What a model makes of one text."""

    tokens: list[str]
    hidden: Tensor  # [T, d_model], each of length 1
    is_special: list[bool]  # the tokens that the tokenizer adds


def load(auto: str, folder: str) -> tuple[Any, Any]:
    """A model of the class `auto` of transformers and its tokenizer, on the GPU where there is one."""
    import torch
    import transformers

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = getattr(transformers, auto).from_pretrained(folder, local_files_only=True).eval().to(device)
    return model, transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)


def encode(folder: str, texts: Sequence[str], layer: int) -> dict[str, Vectors]:
    """The vectors of a layer's output for each of `texts`; layer 0 is the embedding, -1 the last one."""
    import torch

    model, tokenizer = load("AutoModel", folder)
    once = sorted(set(texts), key=len)
    found = {}
    for batch in batches(once):
        rows = tokenizer(batch, padding=True, truncation=True, return_tensors="pt", return_special_tokens_mask=True)
        special = rows.pop("special_tokens_mask").bool()
        with torch.no_grad():
            hidden = model(**rows.to(model.device), output_hidden_states=True).hidden_states[layer]
        hidden = torch.nn.functional.normalize(hidden, dim=-1).cpu()  # [B, T, d_model]
        for text, ids, vectors, mask, added in zip(
            batch, rows["input_ids"], hidden, rows["attention_mask"].bool().cpu(), special, strict=True
        ):
            tokens = tokenizer.convert_ids_to_tokens(ids.cpu()[mask].tolist())
            found[text] = Vectors(tokens, vectors[mask], added[mask].tolist())
    return found


def batches(texts: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """`texts` in groups of 64."""
    return (texts[i : i + BATCH] for i in range(0, len(texts), BATCH))
