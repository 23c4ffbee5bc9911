"""A frozen pretrained transformer, and the places where a method may change it.

    embed        turns a batch's ids into vectors; `prepend` puts more vectors in front
    linears      linear maps, by part; `change` rewrites their output
    attentions   attention modules; `change_kv` rewrites the keys and values that they read
    blocks       transformer blocks; `change_input` rewrites their input

Backbones that share weights (`share_weights`) change their own rows of a batch each.

Nothing outside this package knows how a family of models names its parts.
"""

from peft_cli.backbone.batch import IGNORE, Batch, Encoded
from peft_cli.backbone.model import Backbone

__all__ = ["IGNORE", "Backbone", "Batch", "Encoded"]
