"""What has to be alike for two scores to be comparable. One file for each protocol, with `PROTOCOL` in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal


def one_line(text: str) -> str:
    """`text` with single spaces: a CR or U+2028 in one prediction would shift every later one in a file of lines."""
    return " ".join(text.split())


def split(text: str) -> str:
    """`text` with spaces around every character that is no letter, digit or underscore."""
    return one_line(" ".join(re.split(r"(\W)", text)))


@dataclass(frozen=True)
class Protocol:
    """Normalisation, grouping, number of references, padding, case and words, as an official script has them."""

    name: str  # that of the file
    metrics: tuple[str, ...]  # what its script prints; a data set may name others
    prediction: Callable[[str], str] = one_line  # how a prediction is normalised
    reference: Callable[[str], str] = one_line
    groups_inputs: bool = False  # whether equal sources are one input, with the references of all
    most_references: int | None = None  # the first so many count; None takes all
    padding: Literal["none", "empty", "repeat"] = "none"  # what stands for a reference that an item lacks
    lowercase: bool = True  # in BLEU, NIST and TER
    tokenizer: Literal["13a", "none"] = "13a"  # of BLEU and NIST
    words: Literal["ptb", "nltk", "spaces"] = "ptb"  # of METEOR, ROUGE_L, CIDEr and pyter's TER
    labels: tuple[str, ...] = ()  # the classes of a data set; of two the second is the positive one

    def choose(self, references: Sequence[str]) -> list[str]:
        """The normalised references that count; an empty one does not."""
        chosen = [text for ref in references[: self.most_references] if (text := self.reference(ref))]
        lacking = (self.most_references or 0) - len(chosen)
        return chosen + chosen[:1] * lacking if self.padding == "repeat" else chosen


def load(name: str) -> Protocol:
    """The protocol of a name. Raises ValueError where there is none such, or where it needs what is not installed."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))
    if name not in names:
        raise ValueError(f"protocol={name} is not possible; there are {', '.join(names)}")
    try:
        return import_module(f"peft_cli.metrics.protocols.{name}").PROTOCOL
    except ModuleNotFoundError as error:
        raise ValueError(
            f"protocol={name} needs the package {error.name}; pip install 'peft-cli[nlg]' brings it"
        ) from error
