"""Several methods on one frozen backbone, in one pass: each acts on its own rows of the batch.

    method_inputs       what each method's backbone reads for its rows
    forward_methods     logits and targets of each, with gradients
    predict_methods     the texts of each

Each backbone (`share_weights`) owns one segment of the rows of a pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from peft_cli.backbone import IGNORE, Backbone, Batch, Encoded
from peft_cli.method import Method
from peft_cli.serving.shared_rows import head_logits, set_row_owners

Part = tuple[Backbone, Batch]  # an owner of rows and what it reads


def check_methods(backbone: Backbone, methods: Mapping[str, Method]) -> None:
    """Raises ValueError unless `methods` can share a batch: on the model of `backbone`, whose weights they leave."""
    for task, method in methods.items():
        name = f"the method of {task} ({type(method).__name__})"
        if len(methods) > 1 and not method.shares_batches:
            raise ValueError(
                f"{name} changes weights of the backbone itself, which every row of a batch reads; use it alone"
            )
        if method.backbone.model is not backbone.model:
            raise ValueError(f"{name} is on another model; construct it on `share_weights` of this backbone")
    owners = [id(method.backbone) for method in methods.values()]
    if len(set(owners)) < len(owners):
        raise ValueError("two methods are on one and the same backbone; construct the second on its `share_weights`")


def method_inputs(parts: Sequence[tuple[Method, Sequence[Encoded]]], training: bool = True) -> list[Part]:
    """Each method's backbone, and what it reads for the method's rows."""
    batches = [method.backbone.batch(rows, training) for method, rows in parts]
    if not training and parts[0][0].backbone.family.is_decoder_only:  # padded before a method asks for positions
        longest = max(batch.attention_mask.shape[1] for batch in batches)
        batches = [widen(m.backbone, batch, longest, left=True) for (m, _), batch in zip(parts, batches, strict=True)]
    return [(method.backbone, method.inputs(batch)) for (method, _), batch in zip(parts, batches, strict=True)]


def forward_methods(parts: Sequence[Part]) -> list[tuple[Tensor, Tensor]]:
    """Logits and targets of each part as `Backbone.forward` gives them, of one pass for all."""
    first = parts[0][0]
    if not first.family.generates:
        return [(own, batch.targets) for own, (_, batch) in zip(part_logits(parts), parts, strict=True)]
    logits, targets = first.forward_active(join(parts))
    first_label = 1 if first.family.is_decoder_only else 0  # nothing is in front of a decoder's first token
    wanted = [(batch.targets[:, first_label:] != IGNORE).sum() for _, batch in parts]
    counts = torch.stack(wanted).tolist()  # at once, as a GPU waits for each
    return list(zip(logits.split(counts), targets.split(counts), strict=True))


@torch.no_grad()
def predict_methods(parts: Sequence[Part], **options: Any) -> list[list[str]]:
    """The text that the model writes for the rows of each part, or the class of its head; `options` of `generate`."""
    first = parts[0][0]
    if not first.family.generates:
        return [owner.decode_labels(own) for own, (owner, _) in zip(part_logits(parts), parts, strict=True)]
    return [first.decode(ids) for ids in first.generate_active(join(parts), **options).split(n_rows(parts))]


def part_logits(parts: Sequence[Part]) -> list[Tensor]:
    """The logits [B, classes] of the head of each part."""
    return head_logits([(owner, len(batch)) for owner, batch in parts], join(parts).model_inputs())


def n_rows(parts: Sequence[Part]) -> list[int]:
    """How many rows of the batch each part has."""
    return [len(batch) for _, batch in parts]


def join(parts: Sequence[Part]) -> Batch:
    """All parts as one batch, in which each owner's rows are adjacent; sets their owners and prompts."""
    if any(batch.inputs_embeds is not None for _, batch in parts):
        parts = [(own, batch if batch.inputs_embeds is not None else own.embed(batch)) for own, batch in parts]
    longest = max(batch.attention_mask.shape[1] for _, batch in parts)
    wide = [widen(owner, batch, longest).tensors() for owner, batch in parts]
    names = [name for name in ("input_ids", "inputs_embeds", "labels") if name in wide[0]]
    set_row_owners([(owner, len(batch), batch.prompt) for owner, batch in parts])
    joined = Batch(stack_rows([tensors["attention_mask"] for tensors in wide]))
    return joined.with_(**{name: stack_rows([tensors[name] for tensors in wide]) for name in names})


def widen(owner: Backbone, batch: Batch, length: int, left: bool = False) -> Batch:
    """`batch` padded to `length` tokens."""
    more = length - batch.attention_mask.shape[1]
    if not more:
        return batch
    ends = (more, 0) if left else (0, more)
    wide = {"attention_mask": F.pad(batch.attention_mask, ends)}
    if batch.input_ids is not None:
        wide["input_ids"] = F.pad(batch.input_ids, ends, value=owner.pad)
    if batch.inputs_embeds is not None:
        wide["inputs_embeds"] = F.pad(batch.inputs_embeds, (0, 0, *ends))
    return batch.with_(**wide)


def stack_rows(tensors: Sequence[Tensor]) -> Tensor:
    """The rows of all `tensors`; labels [B, T] of unlike lengths are padded."""
    if tensors[0].ndim == 2:
        longest = max(tensor.shape[1] for tensor in tensors)
        tensors = [F.pad(tensor, (0, longest - tensor.shape[1]), value=IGNORE) for tensor in tensors]
    return torch.cat(list(tensors))
