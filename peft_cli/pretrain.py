"""`python -m peft_cli.pretrain backbone=tiny-gpt2 corpus=books.txt.xz`: makes an embedded backbone from nothing.

    corpus=...       plain text, one paragraph a line (.txt or .xz)
    out=...          folder of the model; the package's own by default
    tokens=30e6      positions read in all; a run that was stopped goes on from its checkpoint in `out`
    threads=2        cores to use

The rows are a function of their number, so that a resumed run sees what an uninterrupted one would have seen.
"""

from __future__ import annotations

import json
import lzma
import math
import re
import sys
import time
from collections import Counter
from itertools import islice
from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F
from omegaconf import OmegaConf
from torch import Tensor, nn

from peft_cli.backbone.targets import IGNORE, causal_targets, logits_at
from peft_cli.embedded.tasks import document

EMBEDDED = Path(__file__).parent / "embedded"
VOCABULARY = 4096
LENGTH = 512  # tokens of a row
ROWS = 8  # of a batch
BOOK_SHARE = 0.25  # of the rows
WARMUP, COOLDOWN = 0.02, 0.3  # fractions of the steps
LR = 4e-3
DEFAULTS = {"backbone": "tiny-gpt2", "corpus": "???", "out": None, "tokens": 30e6, "threads": 2, "seed": 0}


def main() -> None:
    """Trains, or goes on training, the backbone that the command line names."""
    options = OmegaConf.merge(DEFAULTS, OmegaConf.from_cli(sys.argv[1:]))
    torch.set_num_threads(options.threads)
    out = Path(options.out or EMBEDDED / options.backbone)
    out.mkdir(parents=True, exist_ok=True)
    books = read_books(Path(options.corpus))
    held_out, books = books[: len(books) // 100], books[len(books) // 100 :]
    words = common_words(books)
    tokenizer = load_tokenizer(out, books, words)
    model = build(tokenizer, options.seed)
    steps = int(options.tokens) // (LENGTH * ROWS)
    train(model, lambda i: row(i, tokenizer, books, words), steps, out)
    write(model, tokenizer, out)


def read_books(path: Path) -> list[str]:
    """The paragraphs of the corpus, shuffled once and for all."""
    with (lzma.open if path.suffix == ".xz" else open)(path, "rt", encoding="utf-8") as file:
        paragraphs = [line.strip() for line in file if len(line) > 40]
    Random(0).shuffle(paragraphs)
    return paragraphs


def common_words(paragraphs: list[str]) -> list[str]:
    """The 6,000 most frequent lower-case words of at least three letters, without the first 100."""
    counts = Counter(word for text in paragraphs[:40_000] for word in re.findall(r"\b[a-z]{3,}\b", text))
    return [word for word, _ in counts.most_common(6_100)][100:]


def load_tokenizer(out: Path, books: list[str], words: list[str]):
    """The tokenizer in `out`; a byte-level BPE is trained on books and generated pairs where there is none."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    if not (out / "tokenizer.json").exists():
        bpe = ByteLevelBPETokenizer()
        pairs = (text for i in range(12_000) for pair in document(Random(f"vocabulary/{i}"), words, books, 2) for text in pair)
        texts = [*books[:40_000], *(" " + text for text in pairs)]
        bpe.train_from_iterator(texts, VOCABULARY, special_tokens=["<|endoftext|>"], show_progress=False)
        end = "<|endoftext|>"
        PreTrainedTokenizerFast(
            tokenizer_object=bpe._tokenizer, bos_token=end, eos_token=end, unk_token=end, model_max_length=LENGTH
        ).save_pretrained(out)
    return AutoTokenizer.from_pretrained(out)


def build(tokenizer, seed: int) -> nn.Module:
    """A GPT-2 of 3.6 M parameters with random weights."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(seed)
    end = tokenizer.eos_token_id
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=LENGTH, n_embd=192, n_layer=6, n_head=6, bos_token_id=end, eos_token_id=end,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    return GPT2LMHeadModel(config)


def row(i: int, tokenizer, books: list[str], words: list[str]) -> tuple[list[int], list[int]]:
    """Row `i` of the training data: ids and labels [LENGTH]; the sources of pairs are read, not scored."""
    rng = Random(f"row/{i}")
    ids, labels, end = [], [], tokenizer.eos_token_id
    if rng.random() < BOOK_SHARE:
        start = rng.randrange(len(books))
        texts = tokenizer(books[start : start + 20])["input_ids"]
        ids = [token for text in texts for token in [*text, end]][:LENGTH]
        return pad(ids, end), pad(list(ids), IGNORE)
    while len(ids) < LENGTH:
        pairs = document(rng, words, books, rng.choice([1, 2, 4, 8, 12]))
        sources = tokenizer([source for source, _ in pairs])["input_ids"]
        targets = tokenizer([" " + target for _, target in pairs])["input_ids"]
        for source, target in zip(sources, targets, strict=True):
            ids += [*source, end, *target, end]
            labels += [*[IGNORE] * (len(source) + 1), *target, end]
    return ids[:LENGTH], labels[:LENGTH]


def pad(values: list[int], value: int) -> list[int]:
    """`values`, made LENGTH long with `value`."""
    return values + [value] * (LENGTH - len(values))


def train(model: nn.Module, rows, steps: int, out: Path) -> None:
    """The loop; writes a checkpoint every five minutes and goes on from the one that is there."""
    optimizers = make_optimizers(model)
    schedules = [torch.optim.lr_scheduler.LambdaLR(o, lambda s: trapezoid(s, steps)) for o in optimizers]
    log, start, checkpoint = [], 0, out / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        for part, saved in zip([*optimizers, *schedules], state["rest"], strict=True):
            part.load_state_dict(saved)
        log, start = state["log"], state["step"]
    saved_at = shown_at = time.monotonic()
    losses = []
    for step in range(start, steps):
        batch = torch.tensor([rows(step * ROWS + i) for i in range(ROWS)])  # [ROWS, 2, LENGTH]
        losses.append(loss := train_step(model, optimizers, schedules, batch[:, 0], batch[:, 1]))
        if time.monotonic() - shown_at > 30 or step == steps - 1:
            mean = sum(losses) / len(losses)
            log.append({"step": step + 1, "tokens": (step + 1) * ROWS * LENGTH, "loss": mean})
            speed = len(losses) * ROWS * LENGTH / (time.monotonic() - shown_at)
            print(f"step {step + 1}/{steps}  loss {mean:.3f}  {speed:,.0f} tokens/s  last {loss:.3f}", flush=True)
            losses, shown_at = [], time.monotonic()
        if time.monotonic() - saved_at > 300:
            rest = [part.state_dict() for part in [*optimizers, *schedules]]
            torch.save({"model": model.state_dict(), "rest": rest, "log": log, "step": step + 1}, checkpoint)
            saved_at = time.monotonic()
    (out / "log.json").write_text(json.dumps(log))


def train_step(model: nn.Module, optimizers, schedules, ids: Tensor, labels: Tensor) -> float:
    """One step on ids and labels [B, T]; returns the mean loss of the scored tokens."""
    targets = causal_targets(labels)
    wanted = targets != IGNORE
    with torch.autocast("cpu", torch.bfloat16):
        logits = logits_at(model, {"input_ids": ids}, wanted)
    loss = F.cross_entropy(logits.float(), targets[wanted])
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer, schedule in zip(optimizers, schedules, strict=True):
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    return loss.item()


def make_optimizers(model: nn.Module) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the blocks (Jordan, 2024, https://kellerjordan.github.io/posts/muon), AdamW for the rest."""
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and ".h." in name]
    rest = [p for name, p in model.named_parameters() if not (p.ndim == 2 and ".h." in name)]
    return [
        torch.optim.Muon(matrices, lr=LR, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=LR, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def trapezoid(step: int, steps: int) -> float:
    """The learning rate at `step` as a share of its peak: up, level, and down to zero at the end."""
    rise, fall = max(1, math.ceil(WARMUP * steps)), max(1, math.ceil(COOLDOWN * steps))
    return min(1.0, (step + 1) / rise, (steps - step) / fall)


def write(model: nn.Module, tokenizer, out: Path) -> None:
    """The model in fp16 as safetensors; the checkpoint is not needed any more."""
    model.half().save_pretrained(out)
    tokenizer.save_pretrained(out)
    (out / "checkpoint.pt").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
