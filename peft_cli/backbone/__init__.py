"""A frozen pretrained transformer, and the places where a method may act on it.

    embed        turns a batch's ids into vectors; `prepend` puts more vectors in front
    linears      linear maps, by part; `change` rewrites what one returns
    attentions   attention modules; `change` rewrites the keys and values one reads
    blocks       transformer blocks; `change` rewrites what enters one

Methods that stand `beside` one another act each on its own rows of a batch.

Nothing outside this package knows how GPT-2, Llama, BART, T5 and RoBERTa name their parts.
"""

from peft_cli.backbone.loading import load
from peft_cli.backbone.model import Backbone
from peft_cli.backbone.targets import IGNORE
from peft_cli.backbone.tokenization import Encoded

__all__ = ["IGNORE", "Backbone", "Encoded", "load"]
