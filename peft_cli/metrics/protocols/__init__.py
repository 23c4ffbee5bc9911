"""The rules that make two scores comparable. One file for each protocol, with `PROTOCOL` in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal, cast


def collapse_whitespace(text: str) -> str:
    """`text` on one line with single spaces: a CR or U+2028 would shift every later text in a file of lines."""
    return " ".join(text.split())


def separate_symbols(text: str) -> str:
    """`text` with single spaces around every character that is no letter, digit or underscore."""
    return collapse_whitespace(" ".join(re.split(r"(\W)", text)))


@dataclass(frozen=True)
class Protocol:
    """Normalisation, grouping, number of references, padding, case and words, as an official script has them."""

    name: str  # that of the file
    metrics: tuple[str, ...]  # what its script prints; a data set may name others
    prediction: Callable[[str], str] = collapse_whitespace  # how a prediction is normalised
    reference: Callable[[str], str] = collapse_whitespace  # how a reference and the text of a class are
    groups_inputs: bool = False  # whether equal sources are one item, with the references of all
    most_references: int | None = None  # only the first so many count; None: all
    padding: Literal["none", "empty", "repeat"] = "none"  # what replaces a reference that an item lacks
    lowercase: bool = True  # in BLEU and NIST
    tokenizer: Literal["13a", "none"] = "13a"  # of BLEU and NIST
    words: Literal["ptb", "nltk", "spaces"] = "ptb"  # of METEOR, ROUGE_L, CIDEr and pyter's TER
    labels: tuple[str, ...] = ()  # the normalised texts of a data set's classes; of two the second is positive

    def choose(self, references: Sequence[str]) -> list[str]:
        """The normalised references that count; an empty one does not."""
        chosen = [text for ref in references[: self.most_references] if (text := self.reference(ref)).strip()]
        n_missing = (self.most_references or 0) - len(chosen)
        return chosen + chosen[:1] * n_missing if self.padding == "repeat" else chosen


def reference_streams(
    references: Sequence[Sequence[str]], n_streams: int | None = None, padding: str | None = None
) -> list[list[str]]:
    """The k-th references of all items, for each k, as sacrebleu reads them.

    `padding` replaces a reference that an item lacks; None leaves it out.
    """
    n = n_streams or max(map(len, references))
    padded = ([*map(collapse_whitespace, refs), *[padding] * (n - len(refs))] for refs in references)
    return cast(list[list[str]], [list(stream) for stream in zip(*padded, strict=True)])  # sacrebleu does not type None


def load_protocol(name: str) -> Protocol:
    """The protocol `name`. Raises ValueError where it does not exist, or needs a package that is not installed."""
    names = sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))
    if name not in names:
        raise ValueError(f"protocol={name} is not possible; there are {', '.join(names)}")
    try:
        protocol: Protocol = import_module(f"{__name__}.{name}").PROTOCOL
    except ModuleNotFoundError as error:
        raise ValueError(
            f"protocol={name} needs the package {error.name}; pip install 'peft-cli[nlg]' brings it"
        ) from error
    return protocol
