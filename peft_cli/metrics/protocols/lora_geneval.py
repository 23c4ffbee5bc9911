"""The scores of WebNLG and DART in LoRA-like papers: gpt2_decode.py, then WebNLG's GenerationEval.

https://github.com/microsoft/LoRA and https://github.com/WebNLG/GenerationEval; equal inputs are one item.
"""

from peft_cli.metrics.protocols import Protocol
from peft_cli.metrics.protocols.dart import lowercase_words

PROTOCOL = Protocol(
    "lora_geneval",
    metrics=("bleu", "meteor"),
    prediction=lowercase_words,
    reference=lowercase_words,
    groups_inputs=True,
    most_references=6,
    padding="repeat",
    lowercase=False,
    words="nltk",
)
