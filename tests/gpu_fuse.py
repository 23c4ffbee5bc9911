"""Several seeds in one process on a GPU: whether each ends as it does alone, and what their steps cost.

`make fuse` runs it; without a GPU, `python -m tests.gpu_fuse --size small --seeds 2 --steps 7 --methods pt` shows
that it works.
"""

import argparse
import time
from functools import partial
from itertools import pairwise
from statistics import median

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config

from peft_cli.backbone import Backbone
from peft_cli.backbone.loading import EMBEDDED
from peft_cli.backbone.places import IMPLEMENTATION
from peft_cli.data import few_shot
from peft_cli.data.mini import load
from peft_cli.fuse import Alone, Company
from peft_cli.run import build
from peft_cli.train import Recipe, train
from tests.bench.models import composed

SIZES = {"medium": (24, 1024, 16), "gpt2": (12, 768, 12), "small": (2, 64, 2)}  # blocks, d_model, heads
METHODS = {
    "pt": ["method.length=100"],
    "spt": ["method.length=100"],
    "dept": ["method.budget=null", "method.length=60", "method.rank=30", "method.positions=256"],
    "prefix": ["method.length=10"],
    "lora": [],
    "adapter": [],
    "ia3": [],
}
WARM_UP = 5  # steps that are not timed
TOLERANCE = 1e-5  # of tensors and losses, in fp32
RECIPE = partial(
    Recipe, cache_gb=0.0, checkpointing=False, compile=False, cuda_graphs=False, batch_size=8, accumulation=1,
    schedule="linear", warmup_steps=2, weight_decay=0.0, clip=1.0, loss="token_mean", dropout=False,
    validate_every=None, select="loss", patience=None, checkpoint_seconds=1e9,
)  # fmt: skip


def backbone(size: str, dtype: torch.dtype, device: str) -> Backbone:
    """A GPT-2 with random weights."""
    blocks, d_model, heads = SIZES[size]
    torch.manual_seed(0)
    config = GPT2Config(n_layer=blocks, n_embd=d_model, n_head=heads)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, attn_implementation=IMPLEMENTATION, dtype=dtype)
    return Backbone(model, AutoTokenizer.from_pretrained(EMBEDDED / "tiny-gpt2"))


def member(place: Alone, loaded: Backbone, section: dict, seed: int, recipe: Recipe, kept: dict) -> None:
    """Trains one seed, and keeps its tensors, losses and the time of each step's end."""
    data = few_shot(load(), shots=50, data_seed=0, test_limit=8, draw="any", validation="share")
    torch.manual_seed(seed)
    method = build(section, backbone=place.backbone(loaded))
    rows, ends = [], []

    def log(row: dict) -> None:
        rows.append(row["loss"])
        ends.append(time.perf_counter())

    train(method.backbone, method, data.train, (), recipe, None, log, compute=place.compute)
    kept[seed] = {name: tensor.detach().cpu() for name, tensor in method.state_dict().items()}, rows, ends


def side_by_side(loaded: Backbone, section: dict, seeds: range, recipe: Recipe) -> dict:
    """What the seeds keep when they train in one process."""
    kept: dict = {}
    acts = [partial(member, loaded=loaded, section=section, seed=s, recipe=recipe, kept=kept) for s in seeds]
    for error in Company([(act, lambda: None) for act in acts]).work():
        if error is not None:
            raise error
    return kept


def by_itself(loaded: Backbone, section: dict, seed: int, recipe: Recipe) -> dict:
    """What one seed keeps when it trains alone, on a backbone that other methods may stand beside."""
    kept: dict = {}
    place = Alone()
    place.backbone = lambda loaded: loaded.beside()
    member(place, loaded, section, seed, recipe, kept)
    return kept


def distance(one: tuple, other: tuple) -> tuple[float, float]:
    """The largest relative difference of tensors (by norm) and of losses."""
    tensors = max(float((one[0][n] - other[0][n]).norm() / one[0][n].norm().clamp(min=1e-12)) for n in one[0])
    return tensors, max(abs(a - b) / abs(a) for a, b in zip(one[1], other[1], strict=True))


def milliseconds(ends: list[float]) -> float:
    """The median time of a step, without the first ones."""
    ends = ends[min(WARM_UP, len(ends) - 2) :]
    return 1000 * median(b - a for a, b in pairwise(ends))


def section_of(method: str) -> dict:
    """The configuration's section of a method, with the sizes that are timed."""
    return composed(f"method={method}", *METHODS[method])["method"]


def differences(loaded: Backbone, section: dict, seeds: range) -> list[float]:
    """The largest distances of tensors and of losses between runs side by side and alone, after 6 steps."""
    fused = side_by_side(loaded, section, seeds, RECIPE(steps=6))
    alone = [by_itself(loaded, section, seed, RECIPE(steps=6))[seed] for seed in seeds]
    return [max(pair) for pair in zip(*(distance(alone[s], fused[s]) for s in seeds), strict=True)]


def times(loaded: Backbone, section: dict, seeds: range, steps: int) -> tuple[float, float, float]:
    """The milliseconds of a step of one seed alone, of all side by side, and of one alone again."""
    recipe = RECIPE(steps=steps)
    one = milliseconds(by_itself(loaded, section, seeds[0], recipe)[seeds[0]][2])
    many = milliseconds(side_by_side(loaded, section, seeds, recipe)[seeds[0]][2])
    return one, many, milliseconds(by_itself(loaded, section, seeds[0], recipe)[seeds[0]][2])


def main() -> None:
    """Prints a line for each method: differences from separate runs in fp32, and times of a step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="medium")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    print(f"{name}, GPT-2 {options.size} with random weights, B=8, {options.seeds} seeds, torch {torch.__version__}")
    failed, dtypes = [], (torch.float32, torch.bfloat16)
    backbones = {dtype: backbone(options.size, dtype, device) for dtype in dtypes}
    for method in options.methods:
        section, seeds = section_of(method), range(options.seeds)
        apart = differences(backbones[torch.float32], section, seeds)
        failed += [method] if max(apart) > TOLERANCE else []
        print(f"{method:8} fp32 after 6 steps: tensors differ by {apart[0]:.1e}, losses by {apart[1]:.1e}", flush=True)
        for dtype, loaded in backbones.items():
            one, many, again = times(loaded, section, seeds, options.steps)
            kind = str(dtype).removeprefix("torch.")
            print(
                f"{method:8} {kind}: one alone {one:.1f} ms (again {again:.1f}), {options.seeds} side by side "
                f"{many:.1f} ms, {many / min(one, again):.2f} times one",
                flush=True,
            )
    if failed:
        raise SystemExit(f"differ by more than {TOLERANCE:.0e}: {', '.join(failed)}")


if __name__ == "__main__":
    main()
