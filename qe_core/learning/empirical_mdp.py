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

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from qe_core.errors import LearningError
from qe_core.learning.arrays import BoolArray, Float64Array, Int64Array, require_discount, require_shape
from qe_core.learning.experience import Transitions
from qe_core.learning.finite_mdp import (
    DEFAULT_TOLERANCE,
    FiniteMdp,
    Solution,
    offsets_of,
    solve_finite_mdp,
    with_reward,
)
from qe_core.learning.mdp_kernels import fold_rows, rows_by_pair_and_successor
from qe_core.learning.q_table import (
    DEFAULT_CONFIDENCE,
    ConfidenceSettings,
    QTable,
    eligible_pairs,
    noise_variance,
)
from qe_core.learning.target_statistics import TargetStatistics


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

        The same rows in the same order give the same bits.

        Raises:
            LearningError: a row does not fit; see ``Transitions.validate``.
        """
        transitions.validate(state_count, action_count)
        none, no_points = np.empty(0, dtype=np.int64), np.empty(0)
        empty = cls(
            state_count,
            action_count,
            none,
            none,
            none,
            np.empty(0, dtype=np.bool_),
            none,
            no_points,
            no_points,
        )
        return empty._fold(
            transitions.state, transitions.action.astype(np.int64), transitions.next_state,
            transitions.terminated, np.ones(len(transitions), dtype=np.int64), transitions.reward,
            np.zeros(len(transitions)),
        )  # fmt: skip

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
        names = ("state", "action", "next_state", "terminated", "count", "reward_mean", "reward_m2")
        return self._fold(*(np.concatenate([getattr(self, name), getattr(other, name)]) for name in names))

    def _fold(
        self,
        state: Int64Array,
        action: Int64Array,
        next_state: Int64Array,
        terminated: BoolArray,
        count: Int64Array,
        mean: Float64Array,
        m2: Float64Array,
    ) -> Self:
        """Return an MDP of the same size with these rows folded per distinct (s, a, s′, terminated)."""
        pair = state * self.action_count + action
        successor = 2 * next_state + terminated
        order = rows_by_pair_and_successor(
            pair, successor, self.state_count * self.action_count, 2 * self.state_count
        )
        first, _, total, reward_mean, reward_m2 = fold_rows(order, pair, successor, count, mean, m2)
        return replace(
            self, state=state[first], action=action[first], next_state=next_state[first],
            terminated=terminated[first], count=total, reward_mean=reward_mean, reward_m2=reward_m2,
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
