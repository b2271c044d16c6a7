"""What must hold before an agent counts as converged, one criterion at a time.

What belongs here: comparing the figures of the judged windows with their limits. What does not: the verdict
(`convergence`) and the figures themselves (`window_figures`).

Four criteria are ordered: values that rest, returns that rest, success, little exploration. All four hold as
well where nothing was learned: a rate that froze the values early makes them rest, a policy that never tries
anything rests. The sturdier ones ask whether what rests is right, and stand beside them.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from qe_core.learning.window_figures import DEFAULT_CONVERGENCE, ConvergenceSettings, WindowStatistics

NOISE_FACTOR = 1.76
"""√(χ²₉ at 99.9 % / 9): ten window means of pure noise spread by more than this in 1 of 1,000 cases."""


class CriterionName(StrEnum):
    """What is asked, in the order in which it is reported."""

    Q_CHANGE = "change of q"
    RETURN_SPREAD = "spread of the mean return"
    SUCCESS_RATE = "success rate"
    EXPLORATION_RATE = "exploration rate"
    BELLMAN_RESIDUAL = "Bellman residual"
    RECENT_BIAS = "bias against recent targets"
    GREEDY_CHURN = "greedy churn"
    PAIR_COVERAGE = "coverage of pairs that matter"
    STEP_SIZES = "step sizes"


ORDERED = frozenset(
    {
        CriterionName.Q_CHANGE,
        CriterionName.RETURN_SPREAD,
        CriterionName.SUCCESS_RATE,
        CriterionName.EXPLORATION_RATE,
    }
)
"""The four that were ordered."""

ALL = frozenset(CriterionName)
"""The ordered four and the sturdier ones beside them."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """One figure over the judged windows beside its limit.

    Attributes:
        name: what is asked.
        figure: what was found; None where the log does not tell.
        limit: what it is held against, in the figure's unit.
        is_at_most: whether the figure may not exceed the limit; else it may not fall below it.
    """

    name: CriterionName
    figure: float | None
    limit: float
    is_at_most: bool

    @property
    def is_ordered(self) -> bool:
        """Whether it is one of the ordered four."""
        return self.name in ORDERED

    @property
    def is_met(self) -> bool:
        """Whether it holds; what is unknown does not hold, a figure at its limit does."""
        if self.figure is None:
            return False
        return self.figure <= self.limit if self.is_at_most else self.figure >= self.limit

    @property
    def words(self) -> str:
        """The figure and what it needs, for people."""
        if self.figure is None:
            return f"{self.name} is unknown"
        if self.name is CriterionName.STEP_SIZES:
            return "step sizes settle" if self.is_met else _UNSETTLED
        return f"{self.name} {self.figure:.3g}, needs {'≤' if self.is_at_most else '≥'} {self.limit:.3g}"


_UNSETTLED = "step sizes do not settle (constant, too steep, or at their floor)"


def criteria(
    recent: Sequence[WindowStatistics],
    settings: ConvergenceSettings = DEFAULT_CONVERGENCE,
    considered: Collection[CriterionName] = ALL,
) -> list[Criterion]:
    """Return the criteria over the judged windows, in the order of `CriterionName`.

    Args:
        recent: the newest windows, oldest first, at least two.
        settings: the limits.
        considered: which criteria to ask.
    """
    spread, allowed = _return_spread(recent, settings)
    last, name = recent[-1], CriterionName
    asked = (
        Criterion(
            name.Q_CHANGE, _mean([w.mean_abs_q_change for w in recent]), settings.max_mean_abs_q_change, True
        ),
        Criterion(name.RETURN_SPREAD, spread, allowed, True),
        Criterion(
            name.SUCCESS_RATE, _mean([w.success_rate for w in recent]), settings.min_success_rate, False
        ),
        Criterion(
            name.EXPLORATION_RATE,
            _mean([w.exploration_rate for w in recent]),
            settings.max_exploration_rate,
            True,
        ),
        Criterion(name.BELLMAN_RESIDUAL, last.bellman_residual, settings.max_bellman_residual_points, True),
        Criterion(name.RECENT_BIAS, last.recent_bias, settings.max_recent_bias_points, True),
        Criterion(
            name.GREEDY_CHURN, _mean([w.greedy_churn for w in recent]), settings.max_greedy_churn, True
        ),
        Criterion(name.PAIR_COVERAGE, last.pair_coverage, settings.min_pair_coverage, False),
        Criterion(name.STEP_SIZES, float(last.is_settling), 1.0, False),
    )
    return [one for one in asked if one.name in considered]


def _mean(figures: Sequence[float | None]) -> float | None:
    """Return the mean, or None where any figure is unknown."""
    known = [figure for figure in figures if figure is not None]
    return float(np.mean(known)) if len(known) == len(figures) else None


def _return_spread(recent: Sequence[WindowStatistics], settings: ConvergenceSettings) -> tuple[float, float]:
    """Return the spread of the windows' mean returns and what noise alone, or the fixed limit, allows."""
    spread = float(np.std([window.mean_return for window in recent], ddof=1))
    floor = float(np.sqrt(np.mean([window.return_sd**2 / window.episodes for window in recent])))
    return spread, max(settings.max_reward_sd_points, NOISE_FACTOR * floor)
