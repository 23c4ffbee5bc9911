"""XSum by ROUGE, a line for each sentence (Narayan et al., 2018, https://aclanthology.org/D18-1206)."""

from peft_cli.metrics.protocols import Protocol, one_line


def lines(text: str) -> str:
    """`text` with its lines kept; ROUGE-Lsum reads them as sentences."""
    return "\n".join(filter(None, map(one_line, text.split("\n"))))


PROTOCOL = Protocol("xsum", metrics=("rouge", "rougeLsum"), prediction=lines, reference=lines)
