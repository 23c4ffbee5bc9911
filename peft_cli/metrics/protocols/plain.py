"""For data without an official script, and a user's own files: every reference counts, and BLEU ignores case."""

from peft_cli.metrics.protocols import Protocol

PROTOCOL = Protocol("plain", metrics=("bleu", "rouge"))
