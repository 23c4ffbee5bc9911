"""DePT, decomposed prompt tuning (Shi and Lipani, 2024, https://arxiv.org/abs/2309.05173)."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from torch import nn

from peft_cli.backbone import Backbone, Batch
from peft_cli.method.pt import PT

AUTHORS_ALPHA = 8  # lora_alpha of the authors' code, over sqrt(r)


class DePT(PT):
    """[P; X + c A B]: a prompt of m vectors, and a low-rank offset A B [s, d_model] for the source's s positions.

    With a budget of l vectors, m d + r (s + d) = l d for d = d_model, and m gives r or r gives m. At step 0, A is
    Kaiming-uniform (a = sqrt(5)) and B is zero, so DePT equals prompt tuning with m vectors. c is 8 / sqrt(r) as in the
    authors' code, or 1 as in the paper. The offset of a token goes by its position in the source, counted from the left
    of the unpadded input (`offset_by=position`); with `offset_by=slot` it goes by its place in the padded batch, as in
    the authors' code, which differs where a decoder pads on the left. Prompt and (A, B) have learning rates of their
    own. Shi and Lipani, 2024, https://arxiv.org/abs/2309.05173.

    Departures: by default an offset goes by position, so that batch and padding change nothing. The target that a
    decoder reads along gets no offset, since it has none when it is written.
    """

    def __init__(
        self,
        backbone: Backbone,
        budget: PositiveInt | None,
        length: NonNegativeInt | None,
        rank: PositiveInt | None,
        positions: PositiveInt,
        scale: Literal["code", "paper"],
        offset_by: Literal["position", "slot"],
        init: Literal["random", "vocabulary", "text"],
        text: str | None,
        lr: PositiveFloat,
        offset_lr: PositiveFloat,
    ):
        m, r = split_budget(budget, length, rank, positions, backbone.d_model)
        super().__init__(backbone, m, init, text, lr)
        self.offset_lr, self.offset_by, self.positions = offset_lr, offset_by, positions
        self.c = AUTHORS_ALPHA / r**0.5 if scale == "code" else 1.0
        device = backbone.model.device
        self.A = nn.Parameter(nn.init.kaiming_uniform_(torch.empty(positions, r), a=5**0.5).to(device))  # [s, r]
        self.B = nn.Parameter(torch.zeros(r, backbone.d_model, device=device))  # [r, d_model]
        backbone.source_room = positions, "method.positions"

    def inputs(self, batch: Batch) -> Batch:
        """The embedded batch with its offsets, behind the prompt."""
        batch = self.backbone.embed(batch)
        mask = self.backbone.source_mask(batch)  # [B, T]
        places = (
            mask.cumsum(-1) - 1 if self.offset_by == "position" else torch.arange(mask.shape[1], device=mask.device)
        )
        places = places.expand(mask.shape).clamp(0, self.positions - 1)
        offsets = (self.c * self.A @ self.B)[places] * mask.unsqueeze(-1)  # [B, T, d_model]
        embeds = batch.embeds
        return self.backbone.prepend(batch.with_(inputs_embeds=embeds + offsets.to(embeds.dtype)), self.prompt)

    def export(self) -> None:
        """None: HF peft has no offsets of the input."""

    def param_groups(self) -> list[dict]:
        """The prompt with `lr`, A and B with `offset_lr`."""
        offsets = [self.A, self.B]
        rest = [p for p in self.parameters() if all(p is not offset for offset in offsets)]
        return [{"params": rest, "lr": self.lr}, {"params": offsets, "lr": self.offset_lr}]


def split_budget(
    budget: int | None, length: int | None, rank: int | None, positions: int, d_model: int
) -> tuple[int, int]:
    """The prompt's length m and the rank r: as given, or one of them from the other and a budget of l vectors.

    Raises ValueError where too little is given, or the budget cannot be spent exactly; it names what can.
    """
    if budget is None and length is not None and rank is not None:
        return length, rank
    if budget is None or (length is None and rank is None):
        given = f"budget={budget}, length={length}, rank={rank}".replace("None", "null")
        raise ValueError(f"method.{given} is too little; give length and rank, or a budget and one of them")
    numbers, step = budget * d_model, positions + d_model
    m = length if length is not None else (numbers - (rank or 0) * step) / d_model
    r = rank if rank is not None else (numbers - m * d_model) / step
    if m * d_model + r * step == numbers and r == int(r) >= 1 and m == int(m) >= 0:
        return int(m), int(r)
    sizes = {"length": length, "rank": rank, "positions": positions}
    given = " with ".join(f"method.{name}={value}" for name, value in sizes.items() if value is not None)
    raise ValueError(
        f"{given} cannot spend the {numbers:,} numbers of method.budget={budget} exactly; "
        f"{nearest_split(numbers, m, positions, d_model)}"
    )


def nearest_split(numbers: int, length: float, positions: int, d_model: int) -> str:
    """The length and rank nearest to `length` that spend `numbers` exactly, or else as nearly as can be, in words."""
    step = positions + d_model
    pairs = [(round((numbers - r * step) / d_model), r) for r in range(1, numbers // step + 1)]
    if not pairs:
        return f"even method.rank=1 takes {step:,}; raise method.budget or lower method.positions"
    short = min(abs(m * d_model + r * step - numbers) for m, r in pairs)
    best = [(m, r) for m, r in pairs if abs(m * d_model + r * step - numbers) == short]
    m, r = min(best, key=lambda pair: abs(pair[0] - length))
    spends = "does" if short == 0 else f"comes nearest, with {m * d_model + r * step:,}"
    return f"method.length={m} with method.rank={r} {spends}"
