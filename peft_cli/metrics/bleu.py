"""Corpus BLEU by sacrebleu (Post, 2018, https://aclanthology.org/W18-6319)."""

from __future__ import annotations

from collections.abc import Sequence

from sacrebleu.metrics import BLEU

from peft_cli.metrics import Score
from peft_cli.metrics.protocols import Protocol, collapse_whitespace, reference_streams


def bleu(predictions: Sequence[str], references: Sequence[Sequence[str]], protocol: Protocol) -> Score:
    """BLEU in percent with all references of an item, and sacrebleu's signature.

    With the protocol's tokenizer, case and padding it equals that of the official Perl script: mteval-v13a and
    multi-bleu-detok for "13a", multi-bleu for "none".
    """
    metric = bleu_against(references, protocol)
    value = metric.corpus_score([*map(collapse_whitespace, predictions)], None).score
    return Score({"bleu": value}, f"{metric.get_signature()}|pad:{protocol.padding}")


def bleu_against(references: Sequence[Sequence[str]], protocol: Protocol) -> BLEU:
    """sacrebleu's BLEU with the settings of a protocol, prepared for these references."""
    padded = (protocol.most_references, "") if protocol.padding == "empty" else (None, None)
    return BLEU(
        lowercase=protocol.lowercase,
        tokenize=protocol.tokenizer,
        force=True,  # no advice about texts that are split already
        references=reference_streams(references, *padded),
    )
