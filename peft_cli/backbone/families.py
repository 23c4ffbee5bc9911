"""How each family of models names its parts: the rows of families.yaml. Nothing outside this package knows them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


@dataclass(frozen=True)
class Family:
    """The parts of one family and what its inputs demand."""

    linears: dict[str, tuple[str, int, int, str]]  # part -> pattern, slice, slices, their layout
    attentions: dict[str, str]  # encoder | decoder | across -> pattern
    blocks: dict[str, str]  # encoder | decoder -> pattern
    ffn_norm: str  # pattern of the normalisation of each feed-forward f
    normalizes: str = "input"  # x + f(norm(x)); sum: norm(x + f(x)); output: x + norm(f(x))
    separator: str | None = None  # between source and target of a decoder: a token's name or text
    prompt_at: int = 0  # tokens that stay in front of a prompt
    head: str | None = None  # pattern of the parameters of a classification head
    words_head: str | None = None  # the masked-language-model head of an encoder
    positions: str | None = None  # the configuration's key of the largest number of positions; None: no limit
    positions_start_at_pad: bool = False  # whether the rows of the position table up to the pad token's are unused
    generates: bool = True  # whether it writes text
    overflows_in_fp16: bool = False  # whether activations of pretrained models leave the range of fp16
    skipped_block: str = "plain"  # what a skipped block returns: a key of activation_cache.SKIPPED

    @property
    def stacks(self) -> tuple[str, ...]:
        """The stacks of blocks, in the order in which they run."""
        return tuple(self.blocks)

    @property
    def is_decoder_only(self) -> bool:
        """Whether source and target are one text."""
        return self.stacks == ("decoder",)


def read_families(path: Path) -> dict[str, Family]:
    """The families of a YAML file by `model_type`; a part that is a whole map is slice 0 of 1."""
    rows: dict[str, dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    rows = {name: dict(row) for name, row in rows.items()}  # rows may be one and the same
    for row in rows.values():
        parts = row["linears"].items()
        row["linears"] = {part: read_slice(own) for part, own in parts}
    return {name: Family(**row) for name, row in rows.items()}


def read_slice(own: str | list[Any]) -> tuple[str, int, int, str]:
    """Pattern, slice, number of slices and their layout, of which the last three may be left out."""
    if isinstance(own, str):
        return own, 0, 1, "equal"
    pattern, i, n, *layout = own
    return pattern, i, n, layout[0] if layout else "equal"


FAMILIES = read_families(Path(__file__).with_name("families.yaml"))
