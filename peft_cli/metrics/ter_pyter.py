"""Translation edit rate by pyter, as in GenerationEval; it differs from `ter`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from statistics import fmean

from peft_cli.metrics import Score
from peft_cli.metrics.protocols import Protocol
from peft_cli.metrics.words import split_words


def ter_pyter(predictions: Sequence[str], references: Sequence[Sequence[str]], protocol: Protocol) -> Score:
    """The mean over items of the TER of the best reference, in percent; lower is better."""
    try:
        from pyter import ter
    except ModuleNotFoundError:
        return Score({"ter_pyter": None}, "pyter", reason="needs the package pyter3; pip install 'peft-cli[nlg]'")
    hyps, refs, words = split_words(predictions, references, protocol)
    items = [
        100 * min(ter(hyp, ref) if ref else float(bool(hyp)) for ref in dict.fromkeys(map(tuple, several)))
        for hyp, several in zip(hyps, refs, strict=True)
    ]
    signature = f"pyter|words:{words}|mean:items|version:{version('pyter3')}"
    return Score({"ter_pyter": fmean(items)}, signature, {"ter_pyter": items}, is_error=True)
