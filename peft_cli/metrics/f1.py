"""F1 of predicted classes by scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence

import sklearn
from sklearn.metrics import f1_score

from peft_cli.metrics import Score
from peft_cli.metrics.protocols import Protocol


def f1(predictions: Sequence[str], references: Sequence[Sequence[str]], protocol: Protocol) -> Score:
    """F1 in percent of the second of two classes, as in GLUE, or the plain mean over more classes.

    A prediction that is no class is wrong. The classes are the protocol's `labels`.
    """
    labels = list(protocol.labels)
    averaged = f"class:{labels[1]}" if len(labels) == 2 else f"mean:{len(labels)} classes"
    signature = f"scikit-learn|{averaged}|version:{sklearn.__version__}"
    if len(labels) < 2:
        return Score({"f1": None}, signature, reason="needs the classes: add --labels negative,positive")
    counted = labels[1:] if len(labels) == 2 else labels
    value = f1_score([refs[0] for refs in references], predictions, labels=counted, average="macro", zero_division=0.0)
    return Score({"f1": 100 * float(value)}, signature)
