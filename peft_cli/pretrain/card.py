"""The card of an embedded backbone: its size, its training data, its losses; and its learning curve."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from transformers import PreTrainedModel

from peft_cli.pretrain.architectures import ARCHITECTURES

LogRow = dict[str, float]  # the step, the positions read, and the mean loss since the row before

TEXT = """# {name}

{kind}, {parameters:,} weights, fp16, with a tokenizer of its own of {vocabulary:,} tokens. It exists to try
parameter-efficient methods on a laptop in seconds, and is good for nothing else.

| | |
|---|---|
| data | {rows} |
| positions read | {tokens:,} in {steps:,} steps |
| training loss at the end | {loss:.3f} nats a scored token |
| held-out books | {books:.3f} nats a token, perplexity {perplexity:.1f} |
| held-out domains ({domains}) | {records} nats a token |
| made | {date}, torch {torch}, transformers {transformers} |
| command | `python -m peft_cli.pretrain {command}` |
| licence | Apache-2.0 |

![learning curve](curve.png)
"""


ROWS = (
    "{pairs} % of the rows: pairs of records and texts, most with a pattern in front that shows how the text has to "
    "look, and other small text-to-text tasks, from the grammars in `peft_cli/pretrain`; {books} %: English books in "
    "the public domain, 1900-1928; no text of `mini` or of any published data set"
)
SHORT_ROWS = "; in the first {steps} steps nothing but a few words to copy or to look up"


def write_card(
    folder: Path, name: str, model: PreTrainedModel, log: list[LogRow], losses: dict[str, float], command: str
) -> None:
    """Writes README.md, log.json and curve.png into the folder of the model."""
    architecture = ARCHITECTURES[name]
    domains, books = [key for key in losses if key != "books"], round(100 * architecture.book_share)
    short = SHORT_ROWS.format(steps=architecture.short_steps) if architecture.short_steps else ""
    (folder / "log.json").write_text(json.dumps({"log": log, "held_out": losses}, indent=0))
    (folder / "README.md").write_text(
        TEXT.format(
            name=name,
            rows=ROWS.format(pairs=100 - books, books=books) + short,
            kind=type(model).__name__,
            parameters=sum(p.numel() for p in model.parameters()),
            vocabulary=model.config.vocab_size,
            tokens=log[-1]["tokens"],
            steps=log[-1]["step"],
            loss=log[-1]["loss"],
            books=losses["books"],
            perplexity=math.exp(losses["books"]),
            domains=", ".join(domains),
            records=", ".join(f"{losses[key]:.3f}" for key in domains),
            date=datetime.now(UTC).date(),
            torch=version("torch"),
            transformers=version("transformers"),
            command=command,
        ),
        encoding="utf-8",
    )
    draw_curve(folder / "curve.png", name, log)


def draw_curve(path: Path, name: str, log: list[LogRow]) -> None:
    """Draws the training loss against the positions read."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
    axes.plot([row["tokens"] / 1e6 for row in log], [row["loss"] for row in log], color="black", linewidth=1)
    axes.set(xlabel="million positions read", ylabel="loss (nats a scored token)", title=name)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)
    plt.close(figure)
