"""Blocks that run again in the backward pass, or as compiled code: other costs, and the same result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint
from transformers import Cache

from peft_cli.backbone.model import Backbone

MOST_VARIANTS = 512  # of a block's compiled code: for each block what a method does there, prompts, validation


def checkpoint_blocks(backbone: Backbone) -> None:
    """Makes every block keep its input alone for the backward pass, and run again there."""
    for block in backbone.all_blocks():
        block.wrap(checkpointed)


def compile_blocks(backbone: Backbone, mode: str) -> None:
    """Makes every block compiled code by torch.compile's `mode`: default, or reduce-overhead (CUDA graphs)."""
    if mode == "reduce-overhead" and backbone.model.device.type != "cuda":
        raise ValueError(
            f"train.compile=reduce-overhead is for a GPU, and the backbone is on {backbone.model.device}; "
            "take train.compile=default or null"
        )
    for block in backbone.all_blocks():
        block.wrap(lambda forward: compiled(forward, mode))


def restore_blocks(backbone: Backbone) -> None:
    """Makes every block compute as it did at first."""
    for block in backbone.all_blocks():
        block.unwrap()


def checkpointed(forward: Callable) -> Callable:
    """`forward` of a block that runs again in the backward pass, unless it fills a prompt's cache."""

    def run(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled() or fills_cache(*args, **kwargs):
            return forward(*args, **kwargs)  # run again, a prompt would enter its cache twice
        return checkpoint(forward, *args, use_reentrant=False, **kwargs)

    return run


def compiled(forward: Callable, mode: str) -> Callable:
    """`forward` of a block as compiled code for any lengths; raises ValueError where torch cannot compile all of it."""
    from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException  # takes a second

    torch._dynamo.config.recompile_limit = MOST_VARIANTS
    code = torch.compile(forward, fullgraph=True, dynamic=True, mode=mode)

    def run(*args: Any, **kwargs: Any) -> Any:
        if fills_cache(*args, **kwargs):
            return forward(*args, **kwargs)
        try:
            return code(*args, **kwargs)
        except (TorchDynamoException, FailOnRecompileLimitHit) as error:
            reason = str(error).strip().splitlines()[0].rstrip(".")
            raise ValueError(
                f"train.compile={mode}: torch cannot compile the backbone's blocks with this method ({reason}); "
                "take train.compile=null"
            ) from error

    return run


def fills_cache(*args: Any, **kwargs: Any) -> bool:
    """Whether a block with these arguments fills a cache of keys and values; families name that argument variously."""
    return any(isinstance(value, Cache) for value in (*args, *kwargs.values()))
