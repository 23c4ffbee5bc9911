"""LM-BFF's prompt-based fine-tuning (Gao, Fisch, Chen, 2021, https://aclanthology.org/2021.acl-long.295)."""

from __future__ import annotations

from pydantic import PositiveFloat

from peft_cli.backbone import Backbone
from peft_cli.method.ft import FT


class LMBFF(FT):
    """s_c = log p(label_c at the mask of [x; words; mask; .]), with all weights trained.

    The words are the data set's own: a manual template. At step 0 the backbone is unchanged, and predicts without
    an example. Gao et al., 2021, https://aclanthology.org/2021.acl-long.295. Departures: no demonstrations and no
    search for templates and label words; a label of several tokens has the mean of their logits.
    """

    form = "mask"

    def __init__(self, backbone: Backbone, lr: PositiveFloat):
        super().__init__(backbone, top_blocks=None, output_embedding=False, lr=lr)
