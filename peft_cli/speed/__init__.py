"""What makes a training step cheaper and changes nothing of its result."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch

from peft_cli.backbone.batch import Batch, Encoded
from peft_cli.backbone.model import Backbone
from peft_cli.recipe import Recipe
from peft_cli.speed.activation_cache import cache_activations
from peft_cli.speed.blocks import checkpoint_blocks, compile_blocks, restore_blocks

GB = 1e9  # bytes


@contextmanager
def speed_up(
    backbone: Backbone, inputs: Callable[[Batch], Batch], rows: Sequence[Encoded], recipe: Recipe
) -> Iterator[None]:
    """Switches on what `recipe` asks for while `rows` are trained and validated on; at the end, all of it off.

    `inputs` is that of the method.
    """
    cache, comes_again = None, recipe.steps * recipe.batch_size > len(rows)
    if recipe.cache_gb and rows and comes_again and not recipe.dropout:
        with torch.random.fork_rng():
            backbone.activation_cache = cache = cache_activations(backbone, inputs, rows, recipe.cache_gb * GB)
    try:
        if recipe.compile:
            compile_blocks(backbone, recipe.compile)
        if recipe.checkpointing:
            checkpoint_blocks(backbone)
        yield
    finally:
        backbone.model.eval()
        if cache:
            cache.close()
        backbone.activation_cache = None
        restore_blocks(backbone)
