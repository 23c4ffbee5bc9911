"""The switches of training that change what a step costs, and not what it computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.checkpoint import checkpoint

from peft_cli.backbone import Backbone, Encoded
from peft_cli.backbone.activation_cache import keep_frozen
from peft_cli.method import Method

if TYPE_CHECKING:
    from peft_cli.train import Recipe

GB = 1e9  # bytes
MOST_VARIANTS = 512  # of a block's compiled code: for each block what a method does there, prompts, validation


def speed_up(backbone: Backbone, method: Method, rows: Sequence[Encoded], recipe: Recipe) -> None:
    """Switches on what `recipe` asks for while `rows` are trained and validated on."""
    slow_down(backbone)
    comes_again = recipe.steps * recipe.batch_size > len(rows)
    if recipe.cache_gb and rows and comes_again and not recipe.dropout:
        with torch.random.fork_rng():
            method.eval()
            backbone.frozen = keep_frozen(backbone, method.inputs, rows, recipe.cache_gb * GB)
    for block in (block for stack in backbone.blocks().values() for block in stack):
        if recipe.compile:
            block.wrap(compiled)
        if recipe.checkpointing:
            block.wrap(lambda forward: checkpointed(forward, backbone))


def slow_down(backbone: Backbone) -> None:
    """Switches all of it off, lets go of what was kept, and leaves the backbone as it predicts."""
    backbone.model.eval()
    if backbone.frozen:
        backbone.frozen.close()
    backbone.frozen = None
    for block in (block for stack in backbone.blocks().values() for block in stack):
        block.unwrap()


def checkpointed(forward: Callable, backbone: Backbone) -> Callable:
    """`forward` of a block, which keeps its input alone for the backward pass, and runs again there."""

    def run(*args: Any, **kwargs: Any) -> Any:
        if backbone.shares.is_leading or not torch.is_grad_enabled():
            return forward(*args, **kwargs)  # run again, a prompt would stand behind itself
        return checkpoint(forward, *args, use_reentrant=False, **kwargs)

    return run


def compiled(forward: Callable) -> Callable:
    """`forward` of a block as compiled code for any lengths; all of it, or ValueError."""
    from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException  # takes a second

    torch._dynamo.config.recompile_limit = MOST_VARIANTS
    code = torch.compile(forward, fullgraph=True, dynamic=True)

    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return code(*args, **kwargs)
        except (TorchDynamoException, FailOnRecompileLimitHit) as error:
            raise ValueError(
                f"train.compile=true: torch cannot compile the backbone's blocks with this method "
                f"({str(error).strip().splitlines()[0].rstrip('.')}); take train.compile=false"
            ) from error

    return run
