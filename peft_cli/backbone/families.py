"""How each family of models names its parts. Nothing outside this package knows it.

A pattern is matched against the whole name of a module inside the model. A linear map that computes several parts at
once (GPT-2: query, key and value) is cut into equal slices: `(pattern, i, n)` is the i-th of n.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


def same(block: Any, hidden: Any, *args: Any, **kwargs: Any) -> Any:
    """What a block that is passed over returns: what it reads."""
    return hidden


def same_in_t5(
    block: Any, hidden: Any, mask: Any = None, bias: Any = None, states: Any = None, states_mask: Any = None,
    bias_across: Any = None, **kwargs: Any,
) -> Any:  # fmt: skip
    """The same for T5, whose first block makes the position bias [1, heads, T, T] that all blocks above it add."""
    if bias is None:
        bias = block.layer[0].SelfAttention.compute_bias(hidden.shape[1], hidden.shape[1], device=hidden.device)
    return hidden, bias, bias_across


@dataclass(frozen=True)
class Family:
    """The parts of one family and what its inputs demand."""

    linears: dict[str, tuple[str, int, int]]  # part -> pattern, slice, slices
    attentions: dict[str, str]  # encoder | decoder | across -> pattern
    blocks: dict[str, str]  # encoder | decoder -> pattern
    separator: str | None = None  # between source and target of a decoder; a token's name or text
    starts_with_bos: bool = False  # a decoder that expects its first token
    prompt_at: int = 0  # tokens that stay in front of a prompt
    head: str | None = None  # pattern of the parameters of a classification head
    words_head: str | None = None  # the head that predicts a word at each place, of a model that does not write text
    positions: str | None = None  # the configuration's key of the largest number of positions; None: no limit
    positions_unused: int = 0  # rows of the position table that no token can have
    generates: bool = True  # whether it writes text
    passed: Callable[..., Any] = same  # what a block that is passed over returns

    @property
    def stacks(self) -> tuple[str, ...]:
        """The stacks of blocks, in the order in which they are run."""
        return tuple(self.blocks)

    @property
    def is_decoder_only(self) -> bool:
        """Whether source and target are one text."""
        return self.stacks == ("decoder",)


FAMILIES = {
    "gpt2": Family(
        linears={
            "query": (r".*\.attn\.c_attn", 0, 3),
            "key": (r".*\.attn\.c_attn", 1, 3),
            "value": (r".*\.attn\.c_attn", 2, 3),
            "attention_output": (r".*\.attn\.c_proj", 0, 1),
            "ffn_input": (r".*\.mlp\.c_fc", 0, 1),
            "ffn_output": (r".*\.mlp\.c_proj", 0, 1),
        },
        attentions={"decoder": r".*\.h\.\d+\.attn"},
        blocks={"decoder": r".*\.h\.\d+"},
        separator="<|endoftext|>",  # as in Li and Liang's code
        positions="n_positions",
    ),
    "llama": Family(
        linears={
            "query": (r".*\.self_attn\.q_proj", 0, 1),
            "key": (r".*\.self_attn\.k_proj", 0, 1),
            "value": (r".*\.self_attn\.v_proj", 0, 1),
            "attention_output": (r".*\.self_attn\.o_proj", 0, 1),
            "ffn_input": (r".*\.mlp\.(gate|up)_proj", 0, 1),
            "ffn_output": (r".*\.mlp\.down_proj", 0, 1),
        },
        attentions={"decoder": r".*\.layers\.\d+\.self_attn"},
        blocks={"decoder": r".*\.layers\.\d+"},
        separator="\n",
        starts_with_bos=True,
        positions="max_position_embeddings",
    ),
    "bart": Family(
        linears={
            "query": (r".*_attn\.q_proj", 0, 1),
            "key": (r".*_attn\.k_proj", 0, 1),
            "value": (r".*_attn\.v_proj", 0, 1),
            "attention_output": (r".*_attn\.out_proj", 0, 1),
            "ffn_input": (r".*\.fc1", 0, 1),
            "ffn_output": (r".*\.fc2", 0, 1),
        },
        attentions={
            "encoder": r".*encoder\.layers\.\d+\.self_attn",
            "decoder": r".*decoder\.layers\.\d+\.self_attn",
            "across": r".*decoder\.layers\.\d+\.encoder_attn",
        },
        blocks={"encoder": r".*encoder\.layers\.\d+", "decoder": r".*decoder\.layers\.\d+"},
        positions="max_position_embeddings",
    ),
    "t5": Family(
        linears={
            "query": (r".*Attention\.q", 0, 1),
            "key": (r".*Attention\.k", 0, 1),
            "value": (r".*Attention\.v", 0, 1),
            "attention_output": (r".*Attention\.o", 0, 1),
            "ffn_input": (r".*DenseReluDense\.wi(_\d)?", 0, 1),
            "ffn_output": (r".*DenseReluDense\.wo", 0, 1),
        },
        attentions={
            "encoder": r"encoder\.block\.\d+\.layer\.0\.SelfAttention",
            "decoder": r"decoder\.block\.\d+\.layer\.0\.SelfAttention",
            "across": r"decoder\.block\.\d+\.layer\.1\.EncDecAttention",
        },
        blocks={"encoder": r"encoder\.block\.\d+", "decoder": r"decoder\.block\.\d+"},
        passed=same_in_t5,
    ),
    "roberta": Family(
        linears={
            "query": (r".*\.self\.query", 0, 1),
            "key": (r".*\.self\.key", 0, 1),
            "value": (r".*\.self\.value", 0, 1),
            "attention_output": (r".*\.attention\.output\.dense", 0, 1),
            "ffn_input": (r".*\.intermediate\.dense", 0, 1),
            "ffn_output": (r".*\.layer\.\d+\.output\.dense", 0, 1),
        },
        attentions={"encoder": r".*\.layer\.\d+\.attention\.self"},
        blocks={"encoder": r".*\.layer\.\d+"},
        prompt_at=1,  # the head reads <s>, which stays first
        head=r"classifier\..*",
        words_head="lm_head",
        positions="max_position_embeddings",
        positions_unused=2,  # 514 rows, and positions start at 2
        generates=False,
    ),
}
