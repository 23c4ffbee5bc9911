"""Matthews correlation of predicted classes by scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence

import sklearn
from sklearn.metrics import matthews_corrcoef

from peft_cli.metrics import Score
from peft_cli.metrics.protocols import Protocol


def matthews(predictions: Sequence[str], references: Sequence[Sequence[str]], protocol: Protocol) -> Score:
    """Matthews correlation times 100; 0 where all predictions are equal. Texts that are no class count as one class."""
    truth = [refs[0] for refs in references]
    classes = {*protocol.labels, *truth}  # a table of every text that was ever generated could be large
    texts = [text if text in classes else "" for text in predictions]
    value = matthews_corrcoef(truth, texts) if len({*truth, *texts}) > 1 else 0.0  # for which scikit-learn warns
    return Score({"matthews": 100 * float(value)}, f"scikit-learn|version:{sklearn.__version__}")
