"""XSum by ROUGE, a line for each sentence (Narayan et al., 2018, https://aclanthology.org/D18-1206)."""

from peft_cli.metrics.protocols import Protocol, collapse_whitespace


def keep_lines(text: str) -> str:
    """`text` with single spaces in each line and without blank lines; ROUGE-Lsum reads a line as a sentence."""
    return "\n".join(filter(None, map(collapse_whitespace, text.split("\n"))))


PROTOCOL = Protocol("xsum", metrics=("rouge", "rougeLsum"), prediction=keep_lines, reference=keep_lines)
