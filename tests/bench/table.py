"""The table of all rows, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from tests.bench.lines import Line
from tests.bench.timing import spread

INTRODUCTION = """# Speed

`make bench` makes this table, and `make bench ROWS=1,4` measures some of its rows again. Ours and theirs run in one
process by turns, on the same random weights of the real shape, with equal batches, dtype and threads. What is not
equal (loss and gradients to 1e-5, or the very tokens) is not timed. Theirs is HF peft with a plain loop around its
model, unless a row says otherwise. Times hold for the machine that they were taken on; ratios and counts compare.

- ratio: the median over pairs, with the 10th and 90th percentile; A/A is that of ours over ours, in the same turns
- operations: the ratio of the operations that were counted (matrix products and attention)
- floor: our operations at the rate of a product of two 2048-cube matrices, measured beside the row
- n: how many pairs, or how many times
"""
HEADER = ("#", "work", "theirs", "ours", "ratio", "A/A", "operations", "floor", "target", "reached", "n")
WHERE = {"cpu": "On a CPU", "cuda": "On a GPU"}


def document(lines: Sequence[Line], absent: dict[int, str]) -> str:
    """The whole page; `absent` says of rows that were not measured what they are, those of a GPU have no other."""
    parts = [INTRODUCTION]
    for device, title in WHERE.items():
        own = [line for line in lines if line.machine["device"] == device]
        missing = absent if device == "cuda" else {}
        parts.append(section(title, own, missing))
    return "\n".join(parts)


def section(title: str, lines: Sequence[Line], absent: dict[int, str]) -> str:
    """The table of one kind of machine, what it was measured on, and the notes."""
    cells = [HEADER, ["---:", ":---", *["---:"] * 6, ":---", ":---", "---:"]]
    cells += [row(line) for line in sorted(lines, key=lambda line: line.row)]
    cells += [[str(number), work, *["-"] * 7, "not measured", "-"] for number, work in absent.items()]
    table = "\n".join(f"| {' | '.join(one)} |" for one in cells)
    machines = sorted({told(line.machine) for line in lines})
    notes = [f"- {line.row}, {line.work}: {text}" for line in lines if (text := "; ".join(remarks(line)))]
    return "\n".join([f"## {title}\n", table, "", *(f"- measured on {machine}" for machine in machines), *notes, ""])


def row(line: Line) -> list[str]:
    """The cells of a line."""
    measured = line.value is not None and not line.failure
    ratio = "-" if not measured or line.ratio == "ours" else f"**{line.value:.2f}** ({between(line.ratios)})"
    return [
        str(line.row),
        line.work,
        amount(line.theirs, line.unit),
        amount(line.ours, line.unit),
        ratio,
        between(line.again) if line.again else "-",
        f"{line.ratio_of_operations:.2f}" if line.operations else "-",
        f"{line.floor:.2f} s" if line.floor else "-",
        target(line),
        "yes" if line.is_reached else "**no**",
        str(len(line.ours)) if measured else "-",
    ]


def amount(values: Sequence[float], unit: str) -> str:
    """The median of what was measured."""
    if not values:
        return "-"
    middle = median(values)
    return f"{middle:.3g} {unit}" if abs(middle) < 100 else f"{middle:,.0f} {unit}"


def between(values: Sequence[float]) -> str:
    """The 10th and 90th percentile; of one value the value."""
    low, high = spread(list(values))
    return f"{low:.2f}" if len(values) == 1 else f"{low:.2f} - {high:.2f}"


def target(line: Line) -> str:
    """What has to be reached, in words."""
    unit = f" {line.unit}" if line.ratio == "ours" else ""
    parts = [f"≥ {line.at_least:g}"] if line.at_least is not None else []
    parts += [f"≥ {line.of_operations:.0%} of operations"] if line.of_operations is not None else []
    parts += [f"≤ {line.at_most:.3g}{unit}"] if line.at_most is not None else []
    return ", ".join(parts)


def remarks(line: Line) -> list[str]:
    """What is to be said of a line: why it was not timed, why it missed its target, and its note."""
    parts = [line.failure] if line.failure else []
    if line.is_missed and line.operations and line.wanted is not None and line.ratio_of_operations < line.wanted:
        parts.append(
            f"the operations' ratio of {line.ratio_of_operations:.2f} forbids {line.wanted:.2f} in equal arithmetic"
        )
    return parts + ([line.note] if line.note else [])


def told(machine: dict) -> str:
    """A machine in words."""
    return f"{machine['name']}, {machine['threads']} threads, torch {machine['torch']}, " + ", ".join(
        f"{package} {machine[package]}" for package in ("transformers", "peft")
    )
