"""F1 of predicted classes by scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence

import sklearn
from sklearn.metrics import f1_score

from peft_cli.metrics import Score
from peft_cli.metrics.protocols import Protocol


def f1(predictions: Sequence[str], references: Sequence[Sequence[str]], protocol: Protocol) -> Score:
    """F1 in percent: of two classes that of the second, as GLUE has it; of more the plain mean over the classes.

    A prediction that is no class is wrong. The classes are the protocol's `labels`.
    """
    labels = list(protocol.labels)
    what = f"class:{labels[1]}" if len(labels) == 2 else f"mean:{len(labels)} classes"
    signature = f"scikit-learn|{what}|version:{sklearn.__version__}"
    if len(labels) < 2:
        return Score({"f1": None}, signature, reason="needs to know the classes: say --labels negative,positive")
    asked = labels[1:] if len(labels) == 2 else labels
    value = f1_score([refs[0] for refs in references], predictions, labels=asked, average="macro", zero_division=0.0)
    return Score({"f1": 100 * float(value)}, signature)
