"""Several methods on one frozen backbone, in one pass: each acts on its own rows of the batch (`Backbone.beside`).

    inputs_together     what each method's backbone reads for its rows
    forward_together    logits and targets of each, with gradients
    write_together      the texts of each

Each owner of rows is one part of a pass, once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from peft_cli.backbone import IGNORE, Backbone, Encoded
from peft_cli.method import Method

Part = tuple[Backbone, dict[str, Tensor]]  # an owner of rows and its inputs


def check_together(backbone: Backbone, methods: Mapping[str, Method]) -> None:
    """Raises ValueError unless `methods` can share a batch: on the model of `backbone`, which they leave as it is."""
    for task, method in methods.items():
        name = f"the method of {task} ({type(method).__name__})"
        if len(methods) > 1 and not method.shares_batches:
            raise ValueError(
                f"{name} changes weights of the backbone itself, which every row of a batch reads; answer it apart"
            )
        if method.backbone.shares is not backbone.shares:
            raise ValueError(f"{name} stands on another model; construct it on what `beside` of this backbone gives")
    owners = [id(method.backbone) for method in methods.values()]
    if len(set(owners)) < len(owners):
        raise ValueError("two methods stand on one and the same backbone; construct the second on its `beside`")


def inputs_together(parts: Sequence[tuple[Method, Sequence[Encoded]]], training: bool = True) -> list[Part]:
    """Each method's backbone, and what it reads for the method's rows."""
    batches = [method.backbone.batch(rows, training) for method, rows in parts]
    if not training and parts[0][0].backbone.family.is_decoder_only:  # padded before a method asks where tokens stand
        longest = max(batch["attention_mask"].shape[1] for batch in batches)
        batches = [widened(m.backbone, batch, longest, left=True) for (m, _), batch in zip(parts, batches, strict=True)]
    return [(method.backbone, method.inputs(batch)) for (method, _), batch in zip(parts, batches, strict=True)]


def forward_together(parts: Sequence[Part]) -> list[tuple[Tensor, Tensor]]:
    """Logits and targets of each part as `Backbone.forward` gives them, of one pass for all."""
    first, _ = parts[0]
    if not first.family.generates:
        return [(own, inputs["labels"]) for own, (_, inputs) in zip(answered(parts), parts, strict=True)]
    logits, targets = first.forward(joined(parts, "labels"))
    first_label = 1 if first.family.is_decoder_only else 0  # nothing stands in front of a decoder's first token
    wanted = [(inputs["labels"][:, first_label:] != IGNORE).sum() for _, inputs in parts]
    counts = torch.stack(wanted).tolist()  # at once, as a GPU waits for each
    return list(zip(logits.split(counts), targets.split(counts), strict=True))


@torch.no_grad()
def write_together(parts: Sequence[Part], **options: Any) -> list[list[str]]:
    """What the model writes for the rows of each part, or what the part's head says; `options` are `generate`'s."""
    first, _ = parts[0]
    if not first.family.generates:
        return [owner.says(own) for own, (owner, _) in zip(answered(parts), parts, strict=True)]
    return [first.text(ids) for ids in first.generate(joined(parts), **options).split(n_rows(parts))]


def answered(parts: Sequence[Part]) -> list[Tensor]:
    """What the head of each part answers, [B, classes]."""
    first, _ = parts[0]
    logits = first.model(**first.led(joined(parts))).logits
    return [owner.answers(own) for (owner, _), own in zip(parts, logits.split(n_rows(parts)), strict=True)]


def n_rows(parts: Sequence[Part]) -> list[int]:
    """How many rows of the batch each part has."""
    return [len(inputs["attention_mask"]) for _, inputs in parts]


def joined(parts: Sequence[Part], *more: str) -> dict[str, Any]:
    """What the model reads of all parts as one batch, in which each owner's rows stand together; and `more` of it."""
    if any("inputs_embeds" in inputs for _, inputs in parts):
        parts = [(owner, owner.embed(inputs) if "input_ids" in inputs else inputs) for owner, inputs in parts]
    longest = max(inputs["attention_mask"].shape[1] for _, inputs in parts)
    wide = [widened(owner, inputs, longest) for owner, inputs in parts]
    names = [name for name in ("input_ids", "inputs_embeds", "attention_mask", *more) if name in wide[0]]
    owners, prompts = [owner for owner, _ in parts], [inputs.get("prompt") for _, inputs in parts]
    batch = {name: stacked([inputs[name] for inputs in wide]) for name in names}
    return batch | {"owned": list(zip(owners, n_rows(parts), prompts, strict=True))}


def widened(owner: Backbone, inputs: dict[str, Any], length: int, left: bool = False) -> dict[str, Any]:
    """`inputs` padded to `length` tokens."""
    more = length - inputs["attention_mask"].shape[1]
    if not more:
        return inputs
    ends, fills = (more, 0) if left else (0, more), {"input_ids": owner.pad, "attention_mask": 0}
    wide = {name: F.pad(inputs[name], ends, value=fill) for name, fill in fills.items() if name in inputs}
    if "inputs_embeds" in inputs:
        wide["inputs_embeds"] = F.pad(inputs["inputs_embeds"], (0, 0, *ends))
    return inputs | wide


def stacked(tensors: Sequence[Tensor]) -> Tensor:
    """Tensors of unlike batches as one; labels [B, T] of unlike lengths are padded."""
    if tensors[0].ndim == 2:
        longest = max(tensor.shape[1] for tensor in tensors)
        tensors = [F.pad(tensor, (0, longest - tensor.shape[1]), value=IGNORE) for tensor in tensors]
    return torch.cat(list(tensors))
