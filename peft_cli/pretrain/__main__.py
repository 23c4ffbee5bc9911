"""`python -m peft_cli.pretrain backbone=tiny-gpt2 corpus=books.txt.xz`: makes an embedded backbone from nothing.

    backbone=...      tiny-gpt2 | tiny-t5 | tiny-bart | tiny-roberta
    corpus=...        plain text, one paragraph a line (.txt or .xz)
    out=...           folder of the model; the package's own by default
    tokens=30e6       positions read in all; a run that was stopped goes on from its checkpoint in `out`
    batch=4096        positions of a step
    threads=2         cores to use
    workers=0         processes that make rows ahead of the steps, for a GPU that would wait for them
    seed=0            initial weights
    evaluate=false    true trains nothing and prints the held-out losses of the model in `out`

A row of the data is a function of its number, so that a resumed run reads the rows that an uninterrupted one reads. The
device is a GPU where there is one. bf16 where the products are, fp32 for the weights while they train, fp16 on disk.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

import torch
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from transformers import PreTrainedModel

from peft_cli.pretrain.architectures import ARCHITECTURES, build, load_tokenizer
from peft_cli.pretrain.card import write_card
from peft_cli.pretrain.corpus import read_corpus
from peft_cli.pretrain.objectives import Rows, held_out_losses
from peft_cli.pretrain.training import SHORT, make_optimizers, train

EMBEDDED = Path(__file__).parents[1] / "embedded"


@dataclass
class Options:
    """The options of the command line."""

    backbone: str = "tiny-gpt2"
    corpus: str = ""
    out: str | None = None
    tokens: float = 30e6
    batch: int = 4096
    threads: int = 2
    workers: int = 0
    seed: int = 0
    evaluate: bool = False

    @property
    def folder(self) -> Path:
        """The folder of the model."""
        return Path(self.out or EMBEDDED / self.backbone)


def main() -> None:
    """Trains, or goes on training, the backbone that the command line names; or evaluates it."""
    try:
        options = read_options(sys.argv[1:])
        evaluate(options) if options.evaluate else pretrain(options)
    except (ValueError, OmegaConfBaseException) as error:
        print(f"pretrain: {str(error).splitlines()[0]}", file=sys.stderr)
        sys.exit(2)


def read_options(arguments: list[str]) -> Options:
    """The options of the command line; raises ValueError for one that does not exist."""
    given, known = OmegaConf.from_dotlist(arguments), [one.name for one in fields(Options)]
    if unknown := [str(name) for name in given if name not in known]:
        raise ValueError(f"there is no {', '.join(unknown)}; there are {', '.join(known)}")
    options = cast(Options, OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Options), given)))
    if options.backbone not in ARCHITECTURES:
        raise ValueError(f"backbone={options.backbone} is none of {', '.join(ARCHITECTURES)}")
    if not options.corpus:
        raise ValueError("a corpus is needed: say corpus=<a text file with one paragraph a line>")
    return options


def pretrain(options: Options) -> None:
    """Makes tokenizer and model, trains, computes held-out losses, and writes model and card."""
    name, folder, architecture = options.backbone, options.folder, ARCHITECTURES[options.backbone]
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    corpus = read_corpus(Path(options.corpus))
    tokenizer = load_tokenizer(name, folder, corpus)
    device: Any = "cuda" if torch.cuda.is_available() else "cpu"
    model: PreTrainedModel = build(name).to(device)
    short_rows = architecture.short_steps * options.batch // SHORT
    rows = Rows(architecture.objective, tokenizer, corpus, architecture.book_share, short_rows)
    optimizers, checkpoint = make_optimizers(model, architecture.table_lr), folder / "checkpoint.pt"
    log = train(model, optimizers, rows, options.tokens, options.batch, options.workers, checkpoint)
    losses = held_out_losses(model, rows)
    model.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_card(folder, name, model, log, losses, command(options))
    checkpoint.unlink(missing_ok=True)


def command(options: Options) -> str:
    """The options that decide what a model is, as they are typed."""
    corpus = Path(options.corpus).name
    return (
        f"backbone={options.backbone} corpus={corpus} tokens={options.tokens:.0f} batch={options.batch} "
        f"seed={options.seed}"
    )


def evaluate(options: Options) -> None:
    """Prints the losses, in nats a token, of a finished model on held-out books and on held-out domains."""
    name, folder = options.backbone, options.folder
    if not (folder / "model.safetensors").exists():
        raise ValueError(
            f"backbone={name} has no model in {folder}; make it first, with the same command without evaluate"
        )
    corpus = read_corpus(Path(options.corpus))
    model = type(build(name)).from_pretrained(folder, dtype=torch.float32)
    rows = Rows(ARCHITECTURES[name].objective, load_tokenizer(name, folder, corpus), corpus)
    for held_out, nats in held_out_losses(model, rows).items():
        print(f"{held_out:10} {nats:.3f} nats a token, perplexity {math.exp(nats):.1f}")


if __name__ == "__main__":
    main()
