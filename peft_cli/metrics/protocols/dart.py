"""DART's own evaluation: every entry counts (Nan et al., 2021, https://github.com/Yale-LILY/dart)."""

from peft_cli.metrics.protocols import Protocol, split


def words(text: str) -> str:
    """Lower case, then split."""
    return split(text.lower())


PROTOCOL = Protocol(
    "dart",
    metrics=("bleu", "meteor"),
    prediction=words,
    reference=words,
    most_references=3,
    padding="empty",
    lowercase=False,
    tokenizer="none",
    words="spaces",
)
