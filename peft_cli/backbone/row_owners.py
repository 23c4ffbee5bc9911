"""Which backbone owns which rows of a batch: several methods on one frozen model, each acting on its own rows.

`Backbone.share_weights` gives another backbone of the same model. The rows of an owner are adjacent; every hook splits
the batch, applies to each part what its owner does there, and joins the parts. A run has one owner of all rows.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Segment = tuple[Hashable, int]  # an owner and how many rows it has


class RowOwners:
    """The owners of the rows that one model reads, in the order of their rows."""

    def __init__(self) -> None:
        self.segments: list[Segment] = [(None, 1)]

    def set_row_owners(self, segments: Sequence[Segment]) -> None:
        """Sets who owns the rows of the next passes: n rows of each owner, or a multiple of n (beams)."""
        self.segments = list(segments)

    @property
    def owners(self) -> list[Hashable]:
        """The owners in the order of their rows."""
        return [owner for owner, _ in self.segments]

    def sizes(self, n_rows: int) -> list[int]:
        """How many of `n_rows` each owner has."""
        if len(self.segments) == 1:
            return [n_rows]
        copies = n_rows // sum(n for _, n in self.segments)
        return [n * copies for _, n in self.segments]

    def split(self, tensor: Tensor) -> Sequence[Tensor]:
        """The rows of `tensor` [B, ...] of each owner."""
        return tensor.split(self.sizes(len(tensor)))  # unlike slices, all have one gradient between them

    def apply(self, functions: Mapping[Hashable, Sequence[Callable[..., Tensor]]], *tensors: Tensor) -> Tensor:
        """The last of `tensors` [B, ...] after each owner's functions of all tensors, on the owner's rows."""
        if not any(owner in functions for owner, _ in self.segments):
            return tensors[-1]
        changed = []
        for owner, *others, last in zip(self.owners, *map(self.split, tensors), strict=True):
            for function in functions.get(owner, ()):
                last = function(*others, last)
            changed.append(last)
        return changed[0] if len(changed) == 1 else torch.cat(pad_widths(changed))


def pad_widths(tensors: Sequence[Tensor]) -> list[Tensor]:
    """`tensors` [..., width] padded to the widest: heads may have unlike numbers of outputs."""
    widest = max(tensor.shape[-1] for tensor in tensors)
    return [F.pad(tensor, (0, widest - tensor.shape[-1])) for tensor in tensors]
