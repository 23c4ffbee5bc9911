"""The WebNLG challenge of 2017 (Gardent et al., 2017, https://aclanthology.org/W17-3518).

Predictions become lower case, then ASCII, and then their symbols are separated; those of references are separated
first. So a pound sign that touches a number is one word in a prediction and two in a reference.
"""

from unidecode import unidecode

from peft_cli.metrics.protocols import Protocol, collapse_whitespace, separate_symbols


def normalise_prediction(text: str) -> str:
    """`text` in lower case, then ASCII, then with spaces around its symbols."""
    return separate_symbols(str(unidecode(collapse_whitespace(text).lower())))


def normalise_reference(text: str) -> str:
    """`text` with spaces around its symbols, then in lower case, then ASCII."""
    return str(unidecode(separate_symbols(text).lower()))


PROTOCOL = Protocol(
    "webnlg2017",
    metrics=("bleu", "meteor"),
    prediction=normalise_prediction,
    reference=normalise_reference,
    most_references=3,
    padding="empty",
    tokenizer="none",
    words="spaces",
)
