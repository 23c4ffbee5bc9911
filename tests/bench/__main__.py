"""Speed, side by side with HF peft: `make bench`, or python -m tests.bench --rows 1,4.

    timing.py   two ways in turn            compare.py     equal, then timed
    models.py   real shapes, random weights  peers.py      the other side
    steps.py, generation.py, runs.py, commands.py, gpu.py  the rows
    lines.py    a line and its target       table.py       experiments/speed.md

What was measured is kept in speed.json beside the table, so that a row can be measured again, or on another machine.
"""

import argparse
import gc
import json
import sys
import time
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import torch
from transformers.utils import logging

from peft_cli.run_folder.environment import environment
from tests.bench import commands, generation, gpu, runs, steps
from tests.bench.lines import Line, Settings
from tests.bench.table import document

OUT = Path(__file__).parents[2] / "experiments"
ROWS = {
    1: steps.row_1, 2: steps.row_2, 3: steps.row_3, 4: steps.row_4, 5: steps.row_5, 6: generation.row_6,
    7: steps.row_7, 8: steps.row_8, 9: steps.row_9, 10: runs.row_10, 11: runs.row_11, 12: commands.row_12,
    13: commands.row_13, 14: commands.row_14, 15: gpu.row_15, 16: gpu.row_16,
}  # fmt: skip
ON_GPU = {
    15: "training step, GPT-2 medium, prompt tuning, B = 8, bf16, against HF peft with the Trainer in eager mode",
    16: "a sweep of 8 seeds, prompt tuning, GPT-2 medium, bf16: jobs_per_gpu=8 against one after another",
}
ON_CPU = (10, 12, 13, 14)  # processes of their own


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures rows, writes the table, and returns 1 where something was not equal."""
    options = parse(arguments)
    warnings.simplefilter("ignore")
    logging.set_verbosity_error()
    failures = []
    for number in options.rows:
        fresh = measured(number, options)
        failures += [line for line in fresh if line.failure]
        keys = {(line.row, line.machine["device"]) for line in fresh}
        kept = [line for line in read(options.out) if (line.row, line.machine["device"]) not in keys]
        write(options.out, kept + fresh)
    for line in failures:
        print(f"row {line.row}, {line.work}: {line.failure}", file=sys.stderr)
    return 1 if failures else 0


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line's options."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=numbers, default=list(ROWS), help="such as 1,4 (default: all)")
    parser.add_argument("--repeats", type=int, help="rounds of every row (default: as many as each row has)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="of rows 1 to 9 and 11")
    parser.add_argument("--tiny", action="store_true", help="models of narrow blocks, to see that it works")
    parser.add_argument("--out", type=Path, default=OUT, help="the folder of speed.md and speed.json")
    options = parser.parse_args(arguments)
    if options.tiny and options.out == OUT:
        parser.error("--tiny says nothing about speed; give --out for its table")
    return options


def numbers(text: str) -> list[int]:
    """The rows that a text with commas names."""
    asked = [int(part) for part in text.split(",")]
    if unknown := [number for number in asked if number not in ROWS]:
        raise argparse.ArgumentTypeError(f"there is no row {unknown[0]}; there are 1 to {max(ROWS)}")
    return asked


def measured(number: int, options: argparse.Namespace) -> list[Line]:
    """The lines of a row; none where it needs a GPU and there is none."""
    device = "cpu" if number in ON_CPU else options.device
    if number in ON_GPU and not options.tiny:
        if not torch.cuda.is_available():
            return []
        device = "cuda"
    print(f"row {number} ...", file=sys.stderr, flush=True)
    start = time.perf_counter()
    lines = ROWS[number](Settings(device, options.repeats, options.tiny))
    gc.collect()
    told = environment(torch.device(device))
    machine = {"device": device, "name": told["device"], "threads": told["threads"], "peft": version("peft")}
    for line in lines:
        line.machine = machine | {name: told["versions"][name] for name in ("torch", "transformers")}
        value = "not timed" if line.failure or line.value is None else f"{line.value:.3g}"
        print(f"  {line.work}: {value}, reached: {line.is_reached}", file=sys.stderr)
    print(f"row {number} took {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    return lines


def read(folder: Path) -> list[Line]:
    """What was measured at an earlier time."""
    path = folder / "speed.json"
    return [Line(**one) for one in json.loads(path.read_text(encoding="utf-8"))] if path.exists() else []


def write(folder: Path, lines: list[Line]) -> None:
    """Writes what was measured, and the table of it."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = sorted(lines, key=lambda line: line.row)
    rows = ",\n".join(json.dumps(line.as_json(), ensure_ascii=False) for line in lines)
    (folder / "speed.json").write_text(f"[\n{rows}\n]\n", encoding="utf-8")
    there = {line.row for line in lines}
    absent = {number: work for number, work in ON_GPU.items() if number not in there}
    (folder / "speed.md").write_text(document(lines, absent), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
