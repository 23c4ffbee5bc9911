"""DART's own evaluation: every entry counts (Nan et al., 2021, https://github.com/Yale-LILY/dart)."""

from peft_cli.metrics.protocols import Protocol, separate_symbols


def lowercase_words(text: str) -> str:
    """`text` in lower case, with spaces around its symbols."""
    return separate_symbols(text.lower())


PROTOCOL = Protocol(
    "dart",
    metrics=("bleu", "meteor"),
    prediction=lowercase_words,
    reference=lowercase_words,
    most_references=3,
    padding="empty",
    lowercase=False,
    tokenizer="none",
    words="spaces",
)
