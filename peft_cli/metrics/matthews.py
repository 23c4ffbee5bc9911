"""Matthews correlation of predicted classes by scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence

import sklearn
from sklearn.metrics import matthews_corrcoef

from peft_cli.metrics import Score
from peft_cli.metrics.protocols import Protocol


def matthews(predictions: Sequence[str], references: Sequence[Sequence[str]], protocol: Protocol) -> Score:
    """Matthews correlation times 100; 0 where all predictions are alike."""
    value = matthews_corrcoef([refs[0] for refs in references], list(predictions))
    return Score({"matthews": 100 * float(value)}, f"scikit-learn|version:{sklearn.__version__}")
