"""The columns of costs: how each takes its value from the fields of a run, and how it is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

Fields = Mapping[str, Any]  # of a run, by dotted name: "cost.params_stored"
Take = Callable[[Fields], float | None]


class Machine(NamedTuple):
    """What times depend on beside the method."""

    device: str
    threads: int
    runs_at_once: int  # on the same GPU

    def __str__(self) -> str:
        """Returns the machine as captions name it."""
        shared = f", {self.runs_at_once} runs at once" if self.runs_at_once > 1 else ""
        return f"{self.device} (threads: {self.threads}{shared})"


class Measure(NamedTuple):
    """A column: its title, the function that takes its value from a run's fields, the one that writes it."""

    title: str
    take: Take
    write: Callable[[float], str]
    condition: Callable[[Fields], object] = lambda fields: None  # equal in runs whose values may be compared
    has_ratio: bool = True  # whether the ratio to another method's value means something


def machine(fields: Fields) -> Machine:
    """Returns the machine that a run was on."""
    at_once = fields.get("config.jobs_per_gpu")
    return Machine(
        fields["environment.device"], fields["environment.threads"], at_once if isinstance(at_once, int) else 1
    )


def memory_kind(fields: Fields) -> str:
    """Returns which memory was measured."""
    return fields["cost.memory_kind"]


def whole(value: float) -> str:
    """Returns `value` as a whole number."""
    return f"{value:,.0f}"


def short(value: float) -> str:
    """Returns `value` with three digits, or with all digits before the point."""
    return whole(value) if abs(value) >= 100 else f"{value:.3g}"


def yes_or_no(value: float) -> str:
    """Returns the word for a median of truth values."""
    return "no" if value == 0 else "yes" if value == 1 else "some"


def cost(name: str, factor: float = 1) -> Take:
    """Returns the function that takes the field cost.<name> in another unit."""

    def take(fields: Fields) -> float | None:
        value = fields.get(f"cost.{name}")
        return None if value is None else factor * value

    return take


def stored_percent(fields: Fields) -> float | None:
    """Returns what is stored for a task in percent of the backbone's weights."""
    stored = fields.get("cost.params_stored")
    return None if stored is None else 100 * stored / fields["cost.params_backbone"]


STORED = Measure("stored", cost("params_stored"), whole)
TRAINED = Measure("trained", cost("params_trained"), whole)
POSITIONS = Measure("positions", cost("positions_added"), whole)
STEP = Measure("step ms", cost("step_seconds.median", 1e3), short, machine)
MEMORY = Measure("memory MiB", cost("peak_memory_bytes", 2**-20), whole, memory_kind)
SIZES = (TRAINED, STORED, Measure("%", stored_percent, short))
PERFORMANCE = (
    *SIZES,
    STEP,
    MEMORY,
    POSITIONS,
    Measure("bytes", cost("bytes_stored"), whole),
    Measure("s/example", cost("generation_seconds_per_example"), short, machine),
)
EXACT = (
    TRAINED,
    STORED,
    Measure("tensors", cost("tensors_stored"), whole),
    Measure("stored %", stored_percent, short, has_ratio=False),
    Measure("one batch", cost("shares_batches"), yes_or_no, has_ratio=False),
    POSITIONS,
    Measure("KiB on disk", cost("bytes_stored", 2**-10), short),
    Measure("GFLOP/step", cost("flops_per_step", 1e-9), short),
    Measure("saved MiB", cost("saved_for_backward_bytes", 2**-20), short),
)
MEASURED = (
    STEP,
    MEMORY,
    Measure("ms/example", cost("generation_seconds_per_example", 1e3), short),
    Measure("total s", cost("total_seconds"), short),
    Measure("energy J", cost("energy_joules"), short),
)
