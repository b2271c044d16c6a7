"""How much is simulated, and what a gate says: rows of figures beside a limit.

What belongs here: sizes of the long and the short form, rows. What does not: counting (`rates`, `checks`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from statsmodels.stats.proportion import proportion_confint

FAULT_CASES = 18
"""Kinds, sizes and backgrounds of loss and duplication."""

Tick = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is simulated.

    Attributes:
        nulls: tests without effect in each of the five worlds of tasks.
        teams: tests without effect in each of the two worlds of developers.
        powers: tests for each true effect.
        families: families of eighteen agents.
        faults: runs for each fault and size.
        ramps: sound ramps.
        naive: tests for each naive rule.
        tuning: streams for each effect.
    """

    nulls: int
    teams: int
    powers: int
    families: int
    faults: int
    ramps: int
    naive: int
    tuning: int

    @property
    def total(self) -> int:
        """Ticks of the progress bar."""
        faults = self.faults * FAULT_CASES
        played = 5 * self.nulls + 2 * self.teams + 7 * self.powers + 4 * self.families
        return played + faults + self.ramps + 3 + 4 * self.tuning


LONG = Sizes(
    nulls=2_000, teams=1_000, powers=600, families=200, faults=300, ramps=1_500, naive=20_000, tuning=400
)
SHORT = Sizes(nulls=25, teams=10, powers=15, families=6, faults=10, ramps=30, naive=500, tuning=5)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a gate's table.

    Attributes:
        gate: which promise.
        case: in which world.
        figures: what was counted, by column.
        is_met: whether the promise is kept; None where nothing is promised.
    """

    gate: str
    case: str
    figures: dict[str, Any]
    is_met: bool | None = None


def interval(hits: int, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a rate (Clopper and Pearson)."""
    low, high = proportion_confint(hits, count, method="beta")
    return float(low), float(high)
