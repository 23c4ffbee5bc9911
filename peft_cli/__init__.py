"""peft_cli: which parameter-efficient method, with few examples, on this model and this task, and what does it cost?

    configuration -> data -> backbone -> method -> train -> evaluate -> result -> report
        run.py       data/   backbone/  method/  train.py evaluate.py results.py report/

Letters of shapes: B batch, T tokens, P prompt, d_model width of an embedding, d_head width of a head, r rank,
V vocabulary, N positions that are scored.
"""

__version__ = "0.1.0"
