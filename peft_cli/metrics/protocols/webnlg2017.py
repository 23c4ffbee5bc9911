"""The WebNLG challenge of 2017 (Gardent et al., 2017, https://aclanthology.org/W17-3518).

Predictions lose their case, then what is not ASCII, and are then split at whatever is no letter or digit; references
are split first. So a pound sign that touches a number is one word in a prediction and two in a reference.
"""

from unidecode import unidecode

from peft_cli.metrics.protocols import Protocol, split


def prediction(text: str) -> str:
    """Lower case, ASCII, then split."""
    return split(unidecode(text.lower()))


def reference(text: str) -> str:
    """Split, lower case, then ASCII."""
    return unidecode(split(text).lower())


PROTOCOL = Protocol(
    "webnlg2017",
    metrics=("bleu", "meteor"),
    prediction=prediction,
    reference=reference,
    most_references=3,
    padding="empty",
    tokenizer="none",
    words="spaces",
)
