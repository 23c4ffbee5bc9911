"""Whose rows are whose: several methods on one frozen backbone, each acting on its own rows of a batch.

`Backbone.beside` makes another backbone of the same weights. What a method does to one of them happens to the rows of
that one alone, so that one pass of the model serves them all: the rows of an owner stand together, and each place of
change takes them apart, applies to each part what its owner does there, and puts the parts together again.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel


class Shares:
    """Who owns the rows that a model reads: owners one after another; one alone has all of them."""

    def __init__(self, owner: Hashable = None):
        self.parts: list[tuple[Hashable, int]] = [(owner, 1)]  # and how many rows each has
        self.is_leading = False  # whether prompts run through the blocks alone

    def give(self, *parts: tuple[Hashable, int]) -> None:
        """Tells who owns the rows of the next passes: of each owner n, or n times as many (beams)."""
        self.parts = list(parts)

    @property
    def owners(self) -> list[Hashable]:
        """The owners in the order of their rows."""
        return [owner for owner, _ in self.parts]

    def sizes(self, n_rows: int) -> list[int]:
        """How many of `n_rows` each owner has."""
        if len(self.parts) == 1:
            return [n_rows]
        copies = n_rows // sum(n for _, n in self.parts)
        return [n * copies for _, n in self.parts]

    def split(self, tensor: Tensor) -> Sequence[Tensor]:
        """The rows of `tensor` [B, ...] that each owner has."""
        return tensor.split(self.sizes(len(tensor)))  # unlike slices, all have one gradient between them

    def changed(self, changes: Mapping[Hashable, Sequence[Callable[..., Tensor]]], *tensors: Tensor) -> Tensor:
        """The last of `tensors` [B, ...] as the owners of its rows change it, each by its functions of all tensors."""
        if not any(owner in changes for owner, _ in self.parts):
            return tensors[-1]
        made = []
        for owner, *others, last in zip(self.owners, *map(self.split, tensors), strict=True):
            for function in changes.get(owner, ()):
                last = function(*others, last)
            made.append(last)
        return made[0] if len(made) == 1 else torch.cat(level(made))

    def at(self, module: nn.Module, kind: str, owner: Hashable, function: Callable[..., Tensor]) -> bool:
        """Adds what an owner does to a module's `kind` (input or output); returns whether it is the first there."""
        known = vars(module).setdefault(f"peft_cli_{kind}", {})
        known.setdefault(owner, []).append(function)
        return sum(map(len, known.values())) == 1

    def change_input(self, module: nn.Module, owner: Hashable, function: Callable[[Tensor], Tensor]) -> None:
        """Makes a module read `function(x)` in place of x [b, ...] in the owner's rows."""
        if self.at(module, "input", owner, function):
            changes = vars(module)["peft_cli_input"]
            module.register_forward_pre_hook(lambda module, args: (self.changed(changes, args[0]), *args[1:]))

    def change_output(self, module: nn.Module, owner: Hashable, function: Callable[[Tensor, Tensor], Tensor]) -> None:
        """Makes a module return `function(x, y)` in place of y [b, ...] for x [b, ...] in the owner's rows."""
        if self.at(module, "output", owner, function):
            changes = vars(module)["peft_cli_output"]
            module.register_forward_hook(lambda module, args, output: self.changed(changes, args[0], output))


def level(tensors: Sequence[Tensor]) -> list[Tensor]:
    """`tensors` [..., width] with all widths that of the widest: heads may have unlike numbers of outputs."""
    widths = [tensor.shape[-1] for tensor in tensors]
    if min(widths) == max(widths):
        return list(tensors)
    return [F.pad(tensor, (0, max(widths) - width)) for tensor, width in zip(tensors, widths, strict=True)]


class OwnHead:
    """A classification head like the module `name` of the model, with weights of its own and `n_outputs` outputs."""

    def __init__(self, model: PreTrainedModel, name: str, n_outputs: int):
        config, self.models = copy.copy(model.config), model.get_submodule(name)
        self.name, self.n_outputs = name, n_outputs
        config.num_labels = n_outputs
        self.module = type(self.models)(config)
        self.module.apply(model._init_weights)
        self.module.to(model.device, model.dtype)

    def answer_for(self, owner: Hashable, shares: Shares) -> None:
        """Answers in place of the model's own head where rows are the owner's."""
        shares.change_output(self.models, owner, lambda hidden, _: self.answer(hidden))

    def answer(self, hidden: Tensor) -> Tensor:
        """Logits [b, n_outputs] of hidden states [b, T, d_model]."""
        return self.module.train(self.models.training)(hidden)

    def named(self) -> dict[str, nn.Parameter]:
        """The weights by the names that they would have in the model."""
        return {f"{self.name}.{name}": p for name, p in self.module.named_parameters()}
