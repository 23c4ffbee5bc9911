"""WebNLG+ 2020, by its GenerationEval with four references (https://github.com/WebNLG/GenerationEval)."""

from peft_cli.metrics.protocols import Protocol

PROTOCOL = Protocol(
    "webnlg2020",
    metrics=("bleu", "meteor", "chrf"),
    most_references=4,
    padding="empty",
    lowercase=False,
    words="nltk",
)
