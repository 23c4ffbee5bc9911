"""The positions of a model's input: how many there are, and what a method puts in front."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn
from transformers import PretrainedConfig

from peft_cli.backbone.batch import Encoded
from peft_cli.backbone.families import Family
from peft_cli.backbone.hooks import Rows
from peft_cli.backbone.prompt_cache import PromptCache
from peft_cli.data import Example

LEAST_SOURCE = 8  # tokens of a source that a method has to leave room for


class Positions:
    """The positions in front of every input: `positions_added` in all, `shift` of them without a tensor."""

    config: PretrainedConfig
    family: Family
    encoder: Any  # an Encoder of tokenization.py, of which the limit of a source is set here
    rows: Rows
    prompt: PromptCache | None
    positions_added: int
    shift: int
    shifted: Callable[[int, int], Tensor] | None  # which tokens of a pass are shifted; None: all
    source_room: tuple[float, str]  # tokens of a source that a method can read, and the key of that number

    def encode(self, examples: Sequence[Example]) -> list[Encoded]:
        """The ids of `examples`, each of which is tokenised once."""
        return [self.encoder(example) for example in examples]

    def check_lengths(self, examples: Sequence[Example], max_new_tokens: int = 0) -> None:
        """Raises ValueError for a source without room in a method, and texts beyond the model's positions."""
        rows, limit = self.encode(examples), self.n_positions
        longest = max((len(row.source) for row in rows), default=0)
        if longest > self.source_room[0]:
            room, key = self.source_room
            raise ValueError(f"{key}={room} is too little for the longest source, which has {longest} tokens")
        if limit is None or not self.family.generates:
            return
        target = 0 if self.family.is_decoder_only else max((row.n_targets for row in rows), default=0)
        if target > limit:  # a decoder alone has sources cut to leave room for its targets
            raise ValueError(
                f"backbone.max_target_tokens={self.encoder.max_target_tokens} lets a target have {target} tokens, and "
                f"the backbone has {limit} positions; lower it"
            )
        needed = max_new_tokens + (longest + self.positions_added if self.family.is_decoder_only else 0)
        if needed > limit:
            raise ValueError(
                f"decode.max_new_tokens={max_new_tokens} needs {needed} positions with the longest source, and the "
                f"backbone has {limit}; lower it, or backbone.max_source_tokens"
            )

    @property
    def n_positions(self) -> int | None:
        """The most positions that a stack can read; None: no limit."""
        key = self.family.positions
        unused = self.config.pad_token_id + 1 if self.family.positions_start_at_pad else 0
        return None if key is None else getattr(self.config, key) - unused

    def reserve(self, positions: int) -> None:
        """Counts `positions` more in front of every input; sources are cut to leave room for them.

        Raises ValueError where too little room is left.
        """
        self.positions_added += positions
        if self.n_positions is None:
            return
        limit = self.n_positions - self.positions_added
        limit -= self.encoder.max_target_tokens if self.family.is_decoder_only else 0
        if limit < LEAST_SOURCE:
            raise ValueError(
                f"{self.positions_added} positions in front leave {limit} of the backbone's {self.n_positions} for a "
                "source; take fewer, or lower backbone.max_target_tokens"
            )
        self.encoder.max_source_tokens = min(self.encoder.max_source_tokens, limit)

    def shift_positions(self, positions: int, shifted: Callable[[int, int], Tensor] | None = None) -> None:
        """Moves the positions of a decoder's tokens up, as if `positions` tokens were in front of them.

        `shifted(B, T)` [B, T] is true for the tokens of a pass that move; None moves all. An encoder's never move.
        """
        if not self.family.is_decoder_only:
            self.positions_added += positions
            return
        self.reserve(positions)
        self.shift, self.shifted = self.shift + positions, shifted

    def position_hook(self, module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        """A decoder's arguments with the position of every token moved up by what is in front of it."""
        if not self.positions_in_front or self.rows.are_none:
            return args, kwargs
        return args, kwargs | {"position_ids": self.rows.apply(self.shift_ids, kwargs["position_ids"])}

    @property
    def positions_in_front(self) -> int:
        """The positions in front of a decoder's own tokens."""
        return self.shift + (self.prompt.length if self.prompt else 0)

    def shift_ids(self, ids: Tensor) -> Tensor:
        """The positions `ids` [B, T] of the backbone's own rows, moved up."""
        return ids + self.positions_in_front * (1 if self.shifted is None else self.shifted(*ids.shape))
