"""Frozen models from a folder on this machine, for the metrics that compare the vectors of texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:  # torch is imported by the metrics that need it, when they run
    from torch import Tensor

BATCH = 64
Item = TypeVar("Item")


class Vectors(NamedTuple):
    """The tokens of one text and a vector for each."""

    tokens: list[str]
    hidden: Tensor  # [T, d_model], each of length 1
    is_special: list[bool]  # the tokens that the tokenizer adds


def load_model(model_class: str, folder: str) -> tuple[Any, Any]:
    """A model of a class of transformers and its tokenizer, on the GPU where there is one.

    Code and pickles of the folder are not run. Raises ValueError for a folder without a model that can be loaded.
    """
    import torch
    import transformers
    from safetensors import SafetensorError

    transformers.utils.logging.disable_progress_bar()
    safe = {"local_files_only": True, "trust_remote_code": False}
    loader = getattr(transformers, model_class)
    try:
        model, found = loader.from_pretrained(folder, use_safetensors=True, output_loading_info=True, **safe)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **safe)
        check_weights(found["missing_keys"])
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().partition("\n")[0].rstrip(". ")
        raise ValueError(f"the folder {folder} has no model that can be loaded ({reason})") from error
    return model.eval().to("cuda" if torch.cuda.is_available() else "cpu"), tokenizer


def check_weights(missing: Iterable[str]) -> None:
    """Raises ValueError for absent weights, which would be random; an encoder's pooler changes no vector of a token."""
    absent = sorted(name for name in missing if not name.startswith("pooler."))
    if absent:
        raise ValueError(f"the weights {', '.join(absent[:3])} are absent")


def encode(folder: str, texts: Sequence[str], layer: int) -> dict[str, Vectors]:
    """The vectors of a layer's output for each of `texts`; layer 0 is the embedding, -1 the last one."""
    import torch

    model, tokenizer = load_model("AutoModel", folder)
    if layer > (n := model.config.num_hidden_layers):
        raise ValueError(f"the model in {folder} has the layers 0 to {n}, and not {layer}")
    encoded = {}
    for batch in batches(sorted(set(texts), key=len)):
        rows = tokenizer(batch, padding=True, truncation=True, return_tensors="pt", return_special_tokens_mask=True)
        special = rows.pop("special_tokens_mask").bool()
        with torch.no_grad():
            hidden = model(**rows.to(model.device), output_hidden_states=True).hidden_states[layer]
        hidden = torch.nn.functional.normalize(hidden, dim=-1).cpu()  # [B, T, d_model]
        for text, ids, vectors, mask, added in zip(
            batch, rows["input_ids"], hidden, rows["attention_mask"].bool().cpu(), special, strict=True
        ):
            tokens = tokenizer.convert_ids_to_tokens(ids.cpu()[mask].tolist())
            encoded[text] = Vectors(tokens, vectors[mask], added[mask].tolist())
    return encoded


def batches(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """`items` in groups of 64."""
    return (items[i : i + BATCH] for i in range(0, len(items), BATCH))
