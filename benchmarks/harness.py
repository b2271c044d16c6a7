"""The small vocabulary in which every benchmark is written.

What belongs here: contestants, rows, bounds, measurements, verdicts. What does not: any single benchmark, the
loop that runs one (`running`), where it works (`place`), the table (`report`).

A benchmark names its contestants and its rows. Its ``prepare`` yields one function for each contestant and
one ``check``. In every round each contestant runs once, in the order given; then ``check`` compares what
they returned; then the times count. The first round warms up: it is checked and its times are dropped.
"""

import math
import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import Enum
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, assert_never

from qe_core.errors import QEError

if TYPE_CHECKING:
    from benchmarks.place import Place

FULL_REPEATS = 5


class BenchmarkError(QEError):
    """A benchmark is declared or measured wrongly."""


class ResultsDifferError(BenchmarkError):
    """Contestants did not compute the same: their times mean nothing."""


class Direction(Enum):
    """Which side of its limit a figure must be on; the limit itself is allowed except with ``BELOW``."""

    AT_LEAST = "≥"
    AT_MOST = "≤"
    BELOW = "<"


class Verdict(Enum):
    """What became of a row."""

    MET = "met"
    NOT_MET = "not met"
    SHOWN = "shown"
    NOT_JUDGED = "not judged"
    NOT_MEASURED = "not measured"
    RESULTS_DIFFER = "results differ"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Bound:
    """What is owed.

    Attributes:
        direction: which side of the limit.
        limit: in the row's unit.
    """

    direction: Direction
    limit: float

    def is_met_by(self, figure: float) -> bool:
        """Whether the figure is on the right side; NaN never is."""
        match self.direction:
            case Direction.AT_LEAST:
                return figure >= self.limit
            case Direction.AT_MOST:
                return figure <= self.limit
            case Direction.BELOW:
                return figure < self.limit
            case _:
                assert_never(self.direction)

    def margin(self, figure: float) -> float:
        """Return how many times better than owed the figure is; NaN where that has no meaning."""
        better, worse = (figure, self.limit) if self.direction is Direction.AT_LEAST else (self.limit, figure)
        if worse == 0.0:
            return math.nan if better == 0.0 else math.inf
        return better / worse

    def __str__(self) -> str:
        return f"{self.direction.value} {self.limit:,g}"


def at_least(limit: float) -> Bound:
    """Return the bound of a figure that must reach ``limit``."""
    return Bound(Direction.AT_LEAST, limit)


def at_most(limit: float) -> Bound:
    """Return the bound of a figure that must not exceed ``limit``."""
    return Bound(Direction.AT_MOST, limit)


def below(limit: float) -> Bound:
    """Return the bound of a figure that must stay under ``limit``."""
    return Bound(Direction.BELOW, limit)


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one run of one contestant gave.

    Attributes:
        values: named figures: seconds, rates, percentiles, counts.
        result: what the run computed, for ``check``; not kept after the round.
    """

    values: Mapping[str, float]
    result: Any = None


@dataclass(frozen=True, slots=True)
class Contestant:
    """One side of a comparison.

    Attributes:
        name: for example ``ours`` or ``pgbench``.
        description: what it does, in one sentence, for the table.
        packages: importable names it needs besides the product's own; those of `benchmarks/requirements.txt`.
    """

    name: str
    description: str
    packages: tuple[str, ...] = ()

    def missing_packages(self) -> list[str]:
        """Return what it needs and is not installed."""
        return [package for package in self.packages if find_spec(package) is None]


@dataclass(frozen=True, slots=True)
class Of:
    """One named value of one contestant."""

    contestant: str
    value: str


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: a ratio of two values, or one value, against what is owed.

    Attributes:
        name: short and unique, for ``--only`` and the JSON.
        title: the figure in words.
        figure: the value, or the ratio's numerator.
        over: the ratio's denominator; None for a figure that stands alone.
        bound: what is owed; None where a figure is only shown.
        unit: of the figure; ``×`` for ratios.
    """

    name: str
    title: str
    figure: Of
    over: Of | None = None
    bound: Bound | None = None
    unit: str = "×"


@dataclass(frozen=True, slots=True)
class Running:
    """A prepared benchmark.

    Attributes:
        run: for each contestant that takes part, what runs it once.
        check: raises `ResultsDifferError` unless the results of one round, by contestant, are right.
    """

    run: Mapping[str, Callable[[], Measurement]]
    check: Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One experiment that fills one or more rows.

    Attributes:
        name: short and unique, for ``--only``.
        contestants: in the order in which they take turns.
        rows: what is reported.
        prepare: given a place to work in, yields what to run; cleans up on the way out.
        repeats: rounds that count in a full run.
        has_warm_up: whether a first round is run and dropped.
    """

    name: str
    contestants: tuple[Contestant, ...]
    rows: tuple[Row, ...]
    prepare: Callable[["Place"], AbstractContextManager[Running]]
    repeats: int = FULL_REPEATS
    has_warm_up: bool = True

    def __post_init__(self) -> None:
        names = {contestant.name for contestant in self.contestants}
        for row in self.rows:
            for side in (row.figure, *((row.over,) if row.over else ())):
                if side.contestant not in names:
                    raise BenchmarkError(
                        f"row {row.name} names the contestant {side.contestant!r}; there are {sorted(names)}"
                    )


@dataclass(frozen=True, slots=True)
class Spread:
    """Repeats of one figure.

    Attributes:
        median: of all rounds.
        low: the smallest.
        high: the largest.
    """

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        """Return the spread of at least one value."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True, slots=True)
class RowResult:
    """A row as it came out.

    Attributes:
        row: what was asked.
        verdict: what became of it.
        figure: ratio of the two medians or the median itself; low and high are of single rounds.
        ours: the numerator's values.
        over: the denominator's values.
        rounds: how many rounds counted.
        reason: why there is no figure; empty otherwise.
    """

    row: Row
    verdict: Verdict
    figure: Spread | None = None
    ours: Spread | None = None
    over: Spread | None = None
    rounds: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A benchmark as it came out.

    Attributes:
        benchmark: what was run.
        rows: in the order declared.
        values: for each contestant and value, the spread over rounds.
        seconds: what running it took in all.
    """

    benchmark: Benchmark
    rows: tuple[RowResult, ...]
    values: Mapping[str, Mapping[str, Spread]] = field(default_factory=dict)
    seconds: float = 0.0


def timed(function: Callable[[], Any]) -> Measurement:
    """Run a function; return its ``seconds`` and, as the result, what it returned."""
    began = time.perf_counter()
    result = function()
    return Measurement({"seconds": time.perf_counter() - began}, result)


def require_equal(what: str, ours: Any, theirs: Any) -> None:
    """Raise `ResultsDifferError` unless both are the same number, text or tuple of them."""
    if ours != theirs:
        raise ResultsDifferError(f"{what}: {ours!r} against {theirs!r}")
