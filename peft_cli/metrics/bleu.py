"""Corpus BLEU by sacrebleu (Post, 2018, https://aclanthology.org/W18-6319)."""

from __future__ import annotations

from collections.abc import Sequence

from sacrebleu.metrics import BLEU

from peft_cli.metrics import Score
from peft_cli.metrics.protocols import Protocol, one_line

PADS = {"none": None, "repeat": None, "empty": ""}  # a repeated reference changes nothing, an empty one does


def bleu(predictions: Sequence[str], references: Sequence[Sequence[str]], protocol: Protocol) -> Score:
    """BLEU in percent with all references of an item, and sacrebleu's signature.

    With the protocol's tokenizer, case and padding this is what its own Perl script prints: mteval-v13a and
    multi-bleu-detok for "13a", multi-bleu for "none".
    """
    most = protocol.most_references if protocol.padding == "empty" else max(map(len, references))
    pad = PADS[protocol.padding]
    streams = [[one_line(refs[k]) if k < len(refs) else pad for refs in references] for k in range(most)]
    metric = BLEU(
        lowercase=protocol.lowercase,
        tokenize=protocol.tokenizer,
        smooth_method="exp",
        effective_order=False,
        force=True,  # no advice about texts that are split already
    )
    value = metric.corpus_score([one_line(text) for text in predictions], streams).score
    return Score({"bleu": value}, f"{metric.get_signature()}|pad:{protocol.padding}")
