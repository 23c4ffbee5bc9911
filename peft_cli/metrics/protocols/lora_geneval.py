"""What the tables of LoRA-like papers have for WebNLG and DART: gpt2_decode.py, then WebNLG's GenerationEval.

https://github.com/microsoft/LoRA and https://github.com/WebNLG/GenerationEval; equal inputs are one item.
"""

from peft_cli.metrics.protocols import Protocol
from peft_cli.metrics.protocols.dart import split

PROTOCOL = Protocol(
    "lora_geneval",
    metrics=("bleu", "meteor"),
    prediction=split,
    reference=split,
    groups_inputs=True,
    most_references=6,
    padding="repeat",
    lowercase=False,
    words="nltk",
)
