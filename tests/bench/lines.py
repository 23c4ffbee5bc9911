"""A line of the table: what was measured, the target, and whether it is reached."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from statistics import median

from tests.bench.timing import spread

TOLERANCE = 1e-5  # relative difference of losses and of gradients, in fp32


@dataclass(frozen=True)
class Settings:
    """How rows are measured."""

    device: str = "cpu"
    rounds: int | None = None  # of pairs; None: as many as each row has
    tiny: bool = False  # models of two narrow blocks, to see that it works

    def times(self, rounds: int) -> int:
        """How many rounds a row takes that would take `rounds`."""
        return self.rounds or rounds


@dataclass
class Line:
    """One piece of work. Lists have an entry for each round; seconds, unless `unit` says otherwise."""

    row: int
    work: str
    at_least: float | None = None  # what the ratio has to be, or what ours may be at most
    at_most: float | None = None
    of_operations: float | None = None  # which share of the ratio of operations the ratio has to be
    ratio: str = "theirs / ours"  # theirs / ours | ours / theirs | ours, where nothing is compared
    unit: str = "s"
    theirs: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)
    again: list[float] = field(default_factory=list)  # A/A: ours over ours
    operations: list[float] | None = None  # of theirs and ours
    rate: float | None = None  # operations a second of a matrix product
    failure: str | None = None  # why it was not timed
    note: str = ""
    machine: dict = field(default_factory=dict)

    @property
    def ratios(self) -> list[float]:
        """Pair by pair."""
        if self.ratio == "ours":
            return self.ours
        pairs = zip(self.theirs, self.ours, strict=True)
        return [theirs / ours if self.ratio == "theirs / ours" else ours / theirs for theirs, ours in pairs]

    @property
    def value(self) -> float | None:
        """What the target is for; None where nothing was measured."""
        return median(self.ratios) if self.ratios else None

    @property
    def ratio_of_operations(self) -> float | None:
        """Theirs over ours, or the other way round, as `ratio` is."""
        if self.operations is None:
            return None
        theirs, ours = self.operations
        return theirs / ours if self.ratio == "theirs / ours" else ours / theirs

    @property
    def wanted(self) -> float | None:
        """The least ratio that is enough."""
        shares = [self.at_least] if self.at_least is not None else []
        if self.of_operations is not None and self.operations is not None:
            shares.append(self.of_operations * self.ratio_of_operations)
        return max(shares, default=None)

    @property
    def is_reached(self) -> bool:
        """Whether it was measured and is good enough."""
        if self.failure or self.value is None:
            return False
        return (self.wanted is None or self.value >= self.wanted) and (
            self.at_most is None or self.value <= self.at_most
        )

    @property
    def is_missed(self) -> bool:
        """Whether it was measured and is not good enough."""
        return not self.failure and self.value is not None and not self.is_reached

    @property
    def floor(self) -> float | None:
        """The seconds that ours would take at the rate of a matrix product."""
        return self.operations[1] / self.rate if self.operations and self.rate else None

    @property
    def noise(self) -> tuple[float, float] | None:
        """The 10th and 90th percentile of A/A."""
        return spread(self.again) if self.again else None

    def as_json(self) -> dict:
        """All that was measured."""
        return asdict(self)
