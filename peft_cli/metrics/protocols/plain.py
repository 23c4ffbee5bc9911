"""For data without an official script, and files of one's own: texts as they are, every reference, no case in BLEU."""

from peft_cli.metrics.protocols import Protocol

PROTOCOL = Protocol("plain", metrics=("bleu", "rouge"))
