"""Two ways of one piece of work: whether they are equal, and how long each takes in turn with the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median, quantiles

import torch
from torch import Tensor

NEXT_TO_NOTHING = 1e-5
SIDE = 2048  # of the square matrices whose product tells the rate of a machine


def in_turn(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """The seconds of each way in each round; the order turns from round to round, so that none is always first."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    names = list(ways)
    for i in range(rounds):
        first = i % len(names)
        for name in names[first:] + names[:first]:
            seconds[name].append(timed(ways[name]))
    return seconds


def timed(act: Callable[[], object]) -> float:
    """The seconds that `act` takes, with what it left to the GPU."""
    start = time.perf_counter()
    act()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def shares(above: list[float], below: list[float]) -> list[float]:
    """The ratio of each pair."""
    return [a / b for a, b in zip(above, below, strict=True)]


def spread(values: list[float]) -> tuple[float, float]:
    """The 10th and the 90th percentile."""
    if len(values) == 1:
        return values[0], values[0]
    tenths = quantiles(values, n=10, method="inclusive")
    return tenths[0], tenths[-1]


def difference(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> tuple[float, str]:
    """The largest relative difference (by norm) from what is expected, and where; ids are equal or infinitely far.

    A tensor smaller than NEXT_TO_NOTHING of the largest is measured by that: a key's bias has no gradient but rounding.
    """
    floats = [tensor.float().norm() for tensor in expected.values() if tensor.is_floating_point()]
    least = max(floats, default=torch.zeros(())) * NEXT_TO_NOTHING
    apart = {}
    for name, tensor in expected.items():
        other = found[name]
        if tensor.is_floating_point():
            apart[name] = float((tensor.float() - other.float()).norm() / tensor.float().norm().clamp(min=least))
        else:
            apart[name] = 0.0 if torch.equal(tensor.cpu(), other.cpu()) else float("inf")
    name = max(apart, key=apart.get)
    return apart[name], name


def rate(device: str, dtype: torch.dtype = torch.float32) -> float:
    """Operations a second of a product of two square matrices; the median of five."""
    a, b = (torch.randn(SIDE, SIDE, device=device).to(dtype) for _ in range(2))
    seconds = in_turn({"product": lambda: a @ b}, rounds=7)["product"][2:]
    return 2 * SIDE**3 / median(seconds)
