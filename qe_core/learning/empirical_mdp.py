"""The MDP that the experiences show, and the Q-table that solves it exactly.

What belongs here: counting transitions, merging counts, solving with or without caution, the resulting table.
What does not: the solver itself (finite_mdp) and anything that learns step by step (replay).

Three rules, and why (ADR 0031):

- Only visited pairs are ever compared. The value of an action nobody tried is unknown, and an initial 0
  would beat every measured loss, so the policy would chase exactly what the log says nothing about.
- A state that was reached but never acted in bootstraps 0, like the end of an episode: there is no evidence
  to say otherwise, and the next experiences from it settle the matter.
- Truncated transitions bootstrap, terminated ones do not.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from qe_core.errors import LearningError
from qe_core.learning.arrays import (
    BoolArray,
    Float64Array,
    Int64Array,
    as_column,
    name_rows,
    require_discount,
    require_finite,
    require_range,
    require_shape,
)
from qe_core.learning.experience import Transitions
from qe_core.learning.finite_mdp import (
    DEFAULT_TOLERANCE,
    FiniteMdp,
    Solution,
    offsets_of,
    solve_finite_mdp,
    with_reward,
)
from qe_core.learning.q_table import (
    DEFAULT_CONFIDENCE,
    ConfidenceSettings,
    QTable,
    eligible_pairs,
    noise_variance,
)
from qe_core.learning.target_statistics import TargetStatistics
from qe_core.learning.transition_counter import Counts, TransitionCounter


@dataclass(frozen=True, slots=True)
class EmpiricalMdp:
    """What was observed per (state, action, next state, terminated), ordered by these four.

    Attributes:
        state_count: S.
        action_count: A.
        state: int64[E].
        action: int64[E].
        next_state: int64[E].
        terminated: bool[E].
        count: transitions, int64[E], ≥ 1.
        reward_mean: mean reward in points, float64[E].
        reward_m2: sum of squared deviations of the rewards, float64[E].
    """

    state_count: int
    action_count: int
    state: Int64Array
    action: Int64Array
    next_state: Int64Array
    terminated: BoolArray
    count: Int64Array
    reward_mean: Float64Array
    reward_m2: Float64Array

    @classmethod
    def from_transitions(cls, transitions: Transitions, state_count: int, action_count: int) -> Self:
        """Return the counts and reward statistics of these transitions.

        The same rows in the same order give the same bits, here or batch by batch through a
        ``TransitionCounter``.

        Raises:
            LearningError: a row does not fit; see ``Transitions.validate``.
        """
        counter = TransitionCounter(state_count, action_count)
        counter.add(transitions)
        return cls.from_counter(counter)

    @classmethod
    def from_counter(cls, counter: TransitionCounter) -> Self:
        """Return what was counted so far; later batches do not change it."""
        return cls(counter.state_count, counter.action_count, *counter.counts())

    @classmethod
    def from_summaries(
        cls,
        state_count: int,
        action_count: int,
        *,
        state: npt.ArrayLike,
        action: npt.ArrayLike,
        next_state: npt.ArrayLike,
        terminated: npt.ArrayLike,
        count: npt.ArrayLike,
        reward_mean: npt.ArrayLike,
        reward_m2: npt.ArrayLike,
    ) -> Self:
        """Return the MDP of summarised transitions, as if each had been counted.

        The inverse are the attributes of the same names. Rows of the same (state, action, next state,
        terminated) are merged in the order given.

        Args:
            state_count: S.
            action_count: A.
            state: M encoded states.
            action: M action indices.
            next_state: M encoded successor states.
            terminated: M flags.
            count: transitions each row stands for, ≥ 1.
            reward_mean: their mean reward, points.
            reward_m2: sum of squared deviations of their rewards, points², ≥ 0.

        Raises:
            LearningError: lengths differ or a value is out of its range; the message names the first rows.
        """
        columns = (
            as_column("state", state, np.int64), as_column("action", action, np.int64),
            as_column("next_state", next_state, np.int64), as_column("terminated", terminated, np.bool_),
            as_column("count", count, np.int64), as_column("reward_mean", reward_mean, np.float64),
            as_column("reward_m2", reward_m2, np.float64),
        )  # fmt: skip
        _check_summaries(columns, state_count, action_count)
        counter = TransitionCounter(state_count, action_count)
        counter.add_counts(columns)
        return cls.from_counter(counter)

    def merge(self, other: "EmpiricalMdp") -> Self:
        """Return the counts and statistics of both together, as if all were counted at once.

        Counts are exact; reward statistics merge by Chan, Golub & LeVeque (1983).

        Raises:
            LearningError: the tables have different sizes.
        """
        if (self.state_count, self.action_count) != (other.state_count, other.action_count):
            raise LearningError(
                f"empirical MDPs of {self.state_count} × {self.action_count} and {other.state_count} × "
                f"{other.action_count} pairs cannot be merged; count both under one agent contract"
            )
        counter = TransitionCounter(self.state_count, self.action_count)
        for mdp in (self, other):
            counter.add_counts(mdp.counts)
        return type(self).from_counter(counter)

    @property
    def counts(self) -> Counts:
        """The columns in the order in which a ``TransitionCounter`` takes them."""
        return (
            self.state, self.action, self.next_state, self.terminated,
            self.count, self.reward_mean, self.reward_m2,
        )  # fmt: skip

    @property
    def pair(self) -> Int64Array:
        """Pair codes state · A + action, ascending, int64[E]."""
        return self.state * self.action_count + self.action

    @property
    def visits(self) -> Int64Array:
        """Transitions per pair, int64[S, A]."""
        return self._sum_by_pair(self.count).astype(np.int64)

    def _sum_by_pair(self, values: npt.NDArray[np.generic]) -> Float64Array:
        """Return the sum of one number per entry over each pair, float64[S, A]; whole numbers stay exact."""
        cells = self.state_count * self.action_count
        total = np.bincount(self.pair, weights=values, minlength=cells).astype(np.float64)
        return total.reshape(self.state_count, self.action_count)

    def target_statistics(self, value: Float64Array, discount: float) -> TargetStatistics:
        """Return count, mean and squared deviations of the TD targets r + γ·value(s′) per pair, shape [S, A].

        Args:
            value: per state in points, float64[S].
            discount: γ in [0, 1).
        """
        require_discount(discount)
        require_shape("value", value, (self.state_count,))
        visits = self.visits
        target = self.reward_mean + np.where(self.terminated, 0.0, discount * value[self.next_state])
        mean = self._sum_by_pair(self.count * target) / np.maximum(visits, 1)
        deviation = target - mean[self.state, self.action]
        m2 = self._sum_by_pair(self.reward_m2 + self.count * deviation**2)
        return TargetStatistics(visits, mean, m2)

    def to_finite_mdp(self) -> FiniteMdp:
        """Return the MDP whose probabilities and rewards are the observed frequencies and means.

        Its pairs are the visited ones, and only those.
        """
        pair, visits = self.pair, self.visits.reshape(-1)
        visited = np.flatnonzero(visits)
        goes_on = ~self.terminated
        reward = self._sum_by_pair(self.count * self.reward_mean).reshape(-1)
        return FiniteMdp(
            state_count=self.state_count,
            action_count=self.action_count,
            pair_offsets=offsets_of(visited // self.action_count, self.state_count),
            pair_action=visited % self.action_count,
            reward=reward[visited] / visits[visited],
            entry_offsets=offsets_of(np.searchsorted(visited, pair[goes_on]), len(visited)),
            next_state=self.next_state[goes_on],
            probability=self.count[goes_on] / visits[pair[goes_on]],
        )


def _check_summaries(columns: Counts, state_count: int, action_count: int) -> None:
    """Raise ``LearningError`` naming the column and the first rows that cannot be a summary."""
    state, action, next_state, _, count, mean, m2 = columns
    if len({len(column) for column in columns}) > 1:
        raise LearningError(
            f"summary columns must have one length, got {[len(column) for column in columns]}; align them"
        )
    require_range("state", state, state_count)
    require_range("action", action, action_count)
    require_range("next_state", next_state, state_count)
    require_finite("reward_mean", mean)
    require_finite("reward_m2", m2)
    for name, is_bad, values in (("count", count < 1, count), ("reward_m2", m2 < 0, m2)):
        if is_bad.any():
            raise LearningError(
                f"{name} is too small in {name_rows(is_bad, values)}; a summary stands for at least one "
                "transition, with squared deviations of 0 or more"
            )


@dataclass(frozen=True, slots=True)
class Caution:
    """How a solution treats pairs with little evidence.

    Attributes:
        minimum_visits: visits from which the policy may choose a pair; below that it copies the log
            (``eligible_pairs``). 1 trusts any evidence.
        pessimism: standard errors of the TD target subtracted from every value, ≥ 0 (a lower confidence
            bound; Jin, Yang & Wang 2021, "Is pessimism provably efficient for offline RL?"). 0 trusts the
            mean. 1 is a good choice for a few visits per pair.
        confidence: what is assumed about noise before it is measured.
    """

    minimum_visits: int = 1
    pessimism: float = 0.0
    confidence: ConfidenceSettings = DEFAULT_CONFIDENCE

    def __post_init__(self) -> None:
        if self.minimum_visits < 1:
            raise LearningError(
                f"minimum_visits must be at least 1, got {self.minimum_visits}; use 1 for none"
            )
        if not 0.0 <= self.pessimism < np.inf:
            raise LearningError(f"pessimism must not be negative, got {self.pessimism}; use 0 for none")


NO_CAUTION = Caution()


def solve_empirical_mdp(
    mdp: EmpiricalMdp, discount: float, caution: Caution = NO_CAUTION, tolerance: float = DEFAULT_TOLERANCE
) -> Solution:
    """Return the exact solution of what was observed, by the rules above.

    With pessimism p > 0 it is solved twice: the first solution gives each pair's TD targets and their
    standard error e = √(noise variance / visits); the second has p·e less reward on each pair. Its values
    are lower bounds to act on, not estimates to report.

    Args:
        mdp: the observations.
        discount: γ in [0, 1).
        caution: minimum visits and pessimism.
        tolerance: largest allowed Bellman residual, points.

    Raises:
        LearningError: the discount is out of range or the residual was not reached.
    """
    finite = mdp.to_finite_mdp()
    is_eligible = eligible_pairs(mdp.visits, caution.minimum_visits)
    solution = solve_finite_mdp(finite, discount, is_eligible, tolerance)
    if caution.pessimism == 0.0:
        return solution
    statistics = mdp.target_statistics(solution.value, discount)
    error = np.sqrt(noise_variance(statistics, caution.confidence) / np.maximum(statistics.count, 1))
    penalty = caution.pessimism * error[finite.pair_state, finite.pair_action]
    return solve_finite_mdp(with_reward(finite, finite.reward - penalty), discount, is_eligible, tolerance)


def q_table_from_mdp(mdp: EmpiricalMdp, solution: Solution, discount: float) -> QTable:
    """Return the solution as a table, with visits and the statistics of TD targets relative to it.

    Unvisited pairs hold 0 with zero visits.

    Raises:
        LearningError: solution and observations have different sizes.
    """
    require_shape("solution", solution.q, (mdp.state_count, mdp.action_count))
    statistics = mdp.target_statistics(solution.value, discount)
    return QTable(solution.q, statistics.count, statistics.mean, statistics.m2)


def q_table_from_transitions(
    transitions: Transitions,
    state_count: int,
    action_count: int,
    discount: float,
    caution: Caution = NO_CAUTION,
) -> QTable:
    """Return the exact table of a log: count, solve, tabulate. The same log gives the same bits.

    Raises:
        LearningError: a row or the discount does not fit.
    """
    mdp = EmpiricalMdp.from_transitions(transitions, state_count, action_count)
    return q_table_from_mdp(mdp, solve_empirical_mdp(mdp, discount, caution), discount)
