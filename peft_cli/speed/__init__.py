"""What makes a training step cheaper and changes nothing of its result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from peft_cli.backbone import Backbone, Encoded
from peft_cli.method import Method
from peft_cli.recipe import Recipe
from peft_cli.speed.activation_cache import cache_activations
from peft_cli.speed.blocks import checkpoint_blocks, compile_blocks, restore_blocks

GB = 1e9  # bytes


@contextmanager
def speed_up(backbone: Backbone, method: Method, rows: Sequence[Encoded], recipe: Recipe) -> Iterator[None]:
    """Switches on what `recipe` asks for while `rows` are trained and validated on; at the end, all of it off."""
    comes_again = recipe.steps * recipe.batch_size > len(rows)
    if recipe.cache_gb and rows and comes_again and not recipe.dropout:
        with torch.random.fork_rng():
            method.eval()
            backbone.activation_cache = cache_activations(backbone, method.inputs, rows, recipe.cache_gb * GB)
    if recipe.compile:
        compile_blocks(backbone, recipe.compile)
    if recipe.checkpointing:
        checkpoint_blocks(backbone)
    try:
        yield
    finally:
        backbone.model.eval()
        if backbone.activation_cache:
            backbone.activation_cache.close()
        backbone.activation_cache = None
        restore_blocks(backbone)
