"""Fine-tuning: of the whole backbone, or of its last blocks (FT-top2 of Li and Liang, 2021, https://arxiv.org/abs/2101.00190)."""

from __future__ import annotations

from pydantic import PositiveFloat, PositiveInt

from peft_cli.backbone import Backbone
from peft_cli.method import Method


class FT(Method):
    """theta' = theta + delta for every weight, or for the `top_blocks` last blocks of the stack that is run last.

    At step 0 the backbone is unchanged. With `top_blocks`, `output_embedding` trains the vocabulary matrix too (where
    it is tied, the input embedding with it); the final normalisation stays frozen, which gives the 25.19 M weights
    that the LoRA paper counts for two blocks of GPT-2 medium. FT-top2: Li and Liang, 2021,
    https://aclanthology.org/2021.acl-long.353. Departure: their code can also train the final normalisation and the
    embedding; `output_embedding` is the latter.
    """

    def __init__(self, backbone: Backbone, top_blocks: PositiveInt | None, output_embedding: bool, lr: PositiveFloat):
        super().__init__(backbone, lr)
        if top_blocks is None:
            self.adopt(backbone.named_parameters())
            return
        *_, (stack, blocks) = backbone.blocks().items()
        if top_blocks > len(blocks):
            raise ValueError(
                f"method.top_blocks={top_blocks} asks for more than the {len(blocks)} blocks of the {stack}"
            )
        chosen = {id(p) for block in blocks[-top_blocks:] for p in block.module.parameters()}
        if output_embedding:
            chosen.add(id(backbone.output_embedding()[1]))
        self.adopt((name, p) for name, p in backbone.named_parameters() if id(p) in chosen)
