"""Translation edit rate by sacrebleu (Snover et al., 2006, https://aclanthology.org/2006.amta-papers.25)."""

from __future__ import annotations

from collections.abc import Sequence

from sacrebleu.metrics import TER

from peft_cli.metrics import Score
from peft_cli.metrics.protocols import Protocol, collapse_whitespace, reference_streams


def ter(predictions: Sequence[str], references: Sequence[Sequence[str]], protocol: Protocol) -> Score:
    """TER in percent, lower is better; a missing reference is left out whatever the protocol pads with.

    Within 0.1 of tercom 0.7.25, which shifts a few long blocks differently. Takes minutes for some thousand items.
    """
    metric = TER()
    value = metric.corpus_score([*map(collapse_whitespace, predictions)], reference_streams(references)).score
    return Score({"ter": value}, str(metric.get_signature()), is_error=True)
