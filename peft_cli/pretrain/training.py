"""`python -m peft_cli.pretrain.training backbone=tiny-gpt2 corpus=books.txt.xz`: makes an embedded backbone from nothing.

    backbone=...     tiny-gpt2 | tiny-t5 | tiny-bart | tiny-roberta
    corpus=...       plain text, one paragraph a line (.txt or .xz)
    out=...          folder of the model; the package's own by default
    tokens=30e6      positions read in all; a run that was stopped goes on from its checkpoint in `out`
    batch=4096       positions of a step
    threads=2        cores to use
    workers=0        processes that make rows ahead of the steps, for a GPU that would wait for them
    seed=0           initial weights
    judge=false      true trains nothing and prints the losses on what was held out of the model that is in `out`

A row of the data is a function of its number, so that a resumed run sees what an uninterrupted one would have seen.
On a GPU it uses the GPU. bf16 where the products are, fp32 for the weights while they train, fp16 on disk.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from itertools import chain, count
from pathlib import Path

import torch
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import Tensor, nn
from torch.utils.data import DataLoader

from peft_cli.backbone.targets import IGNORE
from peft_cli.run_folder.progress import progress
from peft_cli.pretrain.architectures import ARCHITECTURES, build, load_tokenizer
from peft_cli.pretrain.card import write_card
from peft_cli.pretrain.corpus import read_corpus
from peft_cli.pretrain.objectives import Row, Rows, held_out_losses, loss

EMBEDDED = Path(__file__).parents[1] / "embedded"
PARTS = {"cpu": 4, "cuda": 1}  # of a step, one after the other
ROWS_AT_ONCE = 64  # that a worker hands over
SHORT = 35  # positions of a short row, about
LR, BETAS = 4e-3, (0.9, 0.95)
WARMUP, COOLDOWN = 0.02, 0.3  # shares of the steps over which the learning rate rises and falls
LOG_SECONDS, CHECKPOINT_SECONDS = 30, 300
DEFAULTS = {
    "backbone": "tiny-gpt2",
    "corpus": "???",
    "out": None,
    "tokens": 30e6,
    "batch": 4096,
    "threads": 2,
    "workers": 0,
    "seed": 0,
    "judge": False,
}


def main() -> None:
    """Trains, or goes on training, the backbone that the command line names."""
    try:
        options = read_options(sys.argv[1:])
        judge(options) if options["judge"] else pretrain(options)
    except (ValueError, OmegaConfBaseException) as error:
        print(f"pretrain: {str(error).splitlines()[0]}", file=sys.stderr)
        sys.exit(2)


def read_options(arguments: list[str]) -> dict:
    """The options of the command line; raises ValueError for one that does not exist."""
    options = OmegaConf.to_container(OmegaConf.merge(DEFAULTS, OmegaConf.from_cli(arguments)))
    if unknown := set(options) - set(DEFAULTS):
        raise ValueError(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(DEFAULTS)}")
    if options["backbone"] not in ARCHITECTURES:
        raise ValueError(f"backbone={options['backbone']} is none of {', '.join(ARCHITECTURES)}")
    if options["corpus"] == "???":
        raise ValueError("a corpus is needed: say corpus=<a text file with one paragraph a line>")
    return options


def pretrain(options: dict) -> None:
    """Makes tokenizer and model, trains, judges on what was held out, and writes it all down."""
    name, out = options["backbone"], folder(options)
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(int(options["threads"]))
    torch.manual_seed(int(options["seed"]))
    corpus = read_corpus(Path(options["corpus"]))
    tokenizer = load_tokenizer(name, out, corpus)
    model = build(name).to("cuda" if torch.cuda.is_available() else "cpu")
    architecture = ARCHITECTURES[name]
    short_rows = architecture.short_steps * int(options["batch"]) // SHORT
    rows = Rows(architecture.objective, tokenizer, corpus, architecture.book_share, short_rows)
    optimizers = make_optimizers(model, architecture.table_lr)
    log = train(model, optimizers, rows, options, out / "checkpoint.pt")
    losses = held_out_losses(model, rows)
    model.half().save_pretrained(out)
    tokenizer.save_pretrained(out)
    command = {**options, "corpus": Path(options["corpus"]).name}
    told = " ".join(f"{key}={command[key]}" for key in ("backbone", "corpus", "tokens", "batch", "seed"))
    write_card(out, name, model, log, losses, told)
    (out / "checkpoint.pt").unlink(missing_ok=True)


def judge(options: dict) -> None:
    """Prints the losses, in nats a token, of a finished model on held-out books and on held-out domains."""
    name, out = options["backbone"], folder(options)
    if not (out / "model.safetensors").exists():
        raise ValueError(f"backbone={name} has no model in {out}; make it first, with the same command without judge")
    corpus = read_corpus(Path(options["corpus"]))
    model = type(build(name)).from_pretrained(out, dtype=torch.float32)
    rows = Rows(ARCHITECTURES[name].objective, load_tokenizer(name, out, corpus), corpus)
    for held_out, nats in held_out_losses(model, rows).items():
        print(f"{held_out:10} {nats:.3f} nats a token, perplexity {math.exp(nats):.1f}")


def folder(options: dict) -> Path:
    """Where the model is, or will be."""
    return Path(options["out"] or EMBEDDED / options["backbone"])


def train(model: nn.Module, optimizers: list, rows: Rows, options: dict, checkpoint: Path) -> list[dict]:
    """The loop; goes on from the checkpoint where there is one. Returns the log: step, tokens and mean loss."""
    steps = int(float(options["tokens"])) // int(options["batch"])
    schedules = [torch.optim.lr_scheduler.LambdaLR(o, lambda step: trapezoid(step, steps)) for o in optimizers]
    parts = [model, *optimizers, *schedules]
    start, row, tokens, log = restore(checkpoint, parts)
    pending, shown_at, saved_at = [], time.monotonic(), time.monotonic()
    stream = rows_from(rows, row, int(options["workers"]))
    with progress("pretrain", steps, start) as done:
        for step in range(start, steps):
            batch = take(stream, int(options["batch"]))
            pending.append(train_step(model, optimizers, schedules, batch))
            row += len(batch)
            tokens += sum(map(size, batch))
            now = time.monotonic()
            if now - shown_at > LOG_SECONDS or step == steps - 1:
                log.append({"step": step + 1, "tokens": tokens, "loss": torch.stack(pending).mean().item()})
                pending, shown_at = [], now
            if now - saved_at > CHECKPOINT_SECONDS:
                save(checkpoint, parts, step + 1, row, tokens, log)
                saved_at = now
            done(1, f"loss {log[-1]['loss'] if log else math.nan:.3f}  {tokens:,} tokens")
    return log


def rows_from(rows: Rows, start: int, workers: int) -> Iterator[Row]:
    """The rows from number `start` on, in their order, made ahead by `workers` processes."""
    if not workers:
        return (rows[i] for i in count(start))
    ahead = DataLoader(rows, ROWS_AT_ONCE, sampler=count(start), num_workers=workers, collate_fn=list)
    return chain.from_iterable(ahead)


def take(stream: Iterator[Row], positions: int) -> list[Row]:
    """The next rows of `stream`, until they have `positions` positions."""
    batch, taken = [], 0
    while taken < positions:
        batch.append(next(stream))
        taken += size(batch[-1])
    return batch


def size(row: Row) -> int:
    """The positions that a row takes."""
    return max(map(len, row)) if len(row[0]) == len(row[1]) else sum(map(len, row))


def scored(row: Row) -> int:
    """The tokens that count in the loss of a row."""
    return sum(label != IGNORE for label in row[1])


def train_step(model: nn.Module, optimizers: list, schedules: list, batch: list[Row]) -> Tensor:
    """One step on a batch of rows, in parts of like lengths to save padding; returns its mean loss []."""
    batch, parts, n = sorted(batch, key=size), [], sum(map(scored, batch))
    length = math.ceil(len(batch) / PARTS[model.device.type])
    for start in range(0, len(batch), length):
        with torch.autocast(model.device.type, torch.bfloat16):
            part, _ = loss(model, batch[start : start + length])
        (part / n).backward()
        parts.append(part.detach())
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer, schedule in zip(optimizers, schedules, strict=True):
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    return torch.stack(parts).sum() / n


def make_optimizers(model: nn.Module, table_lr: float) -> list[torch.optim.Optimizer]:
    """Muon (Jordan, 2024, https://kellerjordan.github.io/posts/muon) for the blocks' matrices, AdamW for the rest."""
    tables = [m.weight for m in model.modules() if isinstance(m, nn.Embedding)]
    is_table = {id(p) for p in tables}.__contains__
    matrices = [p for p in model.parameters() if p.ndim == 2 and not is_table(id(p))]
    vectors = [p for p in model.parameters() if p.ndim != 2]
    groups = [{"params": vectors}, {"params": list(dict.fromkeys(tables)), "lr": table_lr}]
    return [
        torch.optim.Muon(matrices, lr=LR, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(groups, lr=LR, betas=BETAS, weight_decay=0.0),
    ]


def trapezoid(step: int, steps: int) -> float:
    """The learning rate at `step` as a share of its peak: up, level, and down to zero at the end."""
    rise, fall = max(1, math.ceil(WARMUP * steps)), max(1, math.ceil(COOLDOWN * steps))
    return min(1.0, (step + 1) / rise, (steps - step) / fall)


def save(checkpoint: Path, parts: list, step: int, row: int, tokens: int, log: list[dict]) -> None:
    """Writes all that a resumed run needs, at once."""
    partial = checkpoint.with_suffix(".partial")
    states = [part.state_dict() for part in parts]
    torch.save({"states": states, "step": step, "row": row, "tokens": tokens, "log": log}, partial)
    partial.replace(checkpoint)


def restore(checkpoint: Path, parts: list) -> tuple[int, int, int, list[dict]]:
    """Puts `parts` back to where the checkpoint has them; returns its step, row, tokens and log, or a beginning."""
    if not checkpoint.exists():
        return 0, 0, 0, []
    kept = torch.load(checkpoint, weights_only=True)
    for part, state in zip(parts, kept["states"], strict=True):
        part.load_state_dict(state)
    return kept["step"], kept["row"], kept["tokens"], kept["log"]


if __name__ == "__main__":
    main()
