"""What the tables of LoRA-like papers have for WebNLG and DART: gpt2_decode.py, then WebNLG's GenerationEval.

https://github.com/microsoft/LoRA and https://github.com/WebNLG/GenerationEval; equal inputs are one item.
"""

from peft_cli.metrics.protocols import Protocol
from peft_cli.metrics.protocols.dart import words

PROTOCOL = Protocol(
    "lora_geneval",
    metrics=("bleu", "meteor"),
    prediction=words,
    reference=words,
    groups_inputs=True,
    most_references=6,
    padding="repeat",
    lowercase=False,
    words="nltk",
)
