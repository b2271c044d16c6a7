"""One world: an explicit finite MDP of one agent, with exact values of any policy.

What belongs here: the arrays, their checks and what follows from them exactly. What does not: how a world
is drawn (`drawing`), stepping through it as a Gymnasium environment (`simulated`) and fast play
(`rollouts`).
"""

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import numpy.typing as npt

from qe_core.errors import LearningError
from qe_core.fleet.contract import AgentContract
from qe_core.learning.arrays import BoolArray, Float64Array, Int64Array, require_finite, require_shape
from qe_core.learning.finite_mdp import FiniteMdp, evaluate_policy, solve_finite_mdp, start_value

DISCOUNT = 0.95
"""The discount values are quoted at where an agent declares none of its own."""

NOISE_SPAN = 6.0**0.5
"""Half the width of the triangular reward noise, in standard deviations: bounded, with an exact mean."""


@dataclass(frozen=True)
class World:
    """An agent's finite MDP; states and actions are numbered as in its contract.

    The transition array is sparse: one row per possible outcome of a (state, action) pair, ordered by
    pair. States that no task reaches have no rows. A reward is its pair's mean plus triangular noise.
    The arrays are made read-only.

    Attributes:
        contract: whose world it is.
        world_seed: which member of the family.
        outcome_offsets: where the outcomes of pair state · A + action begin, int64[S · A + 1].
        next_state: of each outcome, int64[E].
        probability: of each outcome given its pair, float64[E]; sums to 1 over a pair.
        terminated: whether the outcome ends the episode, bool[E].
        reward_mean: points in [-100, 100], float64[S, A].
        reward_sd: standard deviation of a reward, points, float64[S, A].
        start: distribution of first states, float64[S].
    """

    contract: AgentContract
    world_seed: int
    outcome_offsets: Int64Array
    next_state: Int64Array
    probability: Float64Array
    terminated: BoolArray
    reward_mean: Float64Array
    reward_sd: Float64Array
    start: Float64Array

    def __post_init__(self) -> None:
        shape = (self.state_count, self.action_count)
        require_shape("outcome_offsets", self.outcome_offsets, (shape[0] * shape[1] + 1,))
        require_shape("reward_mean", self.reward_mean, shape)
        require_shape("reward_sd", self.reward_sd, shape)
        require_shape("start", self.start, shape[:1])
        require_finite("reward_mean", self.reward_mean)
        require_finite("reward_sd", self.reward_sd)
        if abs(self.start.sum() - 1.0) > 1e-9 or (self.start < 0).any():
            raise LearningError("start probabilities must be 0 or more and sum to 1; normalise them")
        if (self.start[~self.is_reachable] > 0).any():
            raise LearningError(
                "an episode starts in a state without outcomes; add the outcomes of its actions"
            )
        for item in fields(self):
            if isinstance(array := getattr(self, item.name), np.ndarray):
                array.flags.writeable = False

    @property
    def state_count(self) -> int:
        """S, the contract's states, reachable or not."""
        return self.contract.state_count

    @property
    def action_count(self) -> int:
        """A."""
        return self.contract.action_count

    @property
    def is_reachable(self) -> BoolArray:
        """Which states have outcomes, bool[S]."""
        counts = np.diff(self.outcome_offsets).reshape(self.state_count, self.action_count)
        return np.asarray(counts.min(axis=1) > 0)

    def outcomes(self, state: int, action: int) -> slice:
        """Return where the outcomes of a pair stand in the outcome arrays; empty if the state has none."""
        pair = state * self.action_count + action
        return slice(int(self.outcome_offsets[pair]), int(self.outcome_offsets[pair + 1]))

    def dense_transition(self) -> Float64Array:
        """Return P of going on, float64[R, A, R], over the R reachable states in ascending order.

        A row's probabilities sum to 1 less the chance that the episode ends there.
        """
        reachable = np.flatnonzero(self.is_reachable)
        place = np.full(self.state_count, -1)
        place[reachable] = np.arange(len(reachable))
        dense = np.zeros((len(reachable), self.action_count, len(reachable)))
        goes_on = ~self.terminated
        pair = np.repeat(np.arange(len(self.outcome_offsets) - 1), np.diff(self.outcome_offsets))[goes_on]
        state, action = np.divmod(pair, self.action_count)
        dense[place[state], action, place[self.next_state[goes_on]]] = self.probability[goes_on]
        return dense

    @cached_property
    def mdp(self) -> FiniteMdp:
        """The same world as the learning core's finite MDP.

        Raises:
            LearningError: a pair's probabilities do not sum to 1, or an index is out of range.
        """
        pair = np.repeat(np.arange(len(self.outcome_offsets) - 1), np.diff(self.outcome_offsets))
        state, action = np.divmod(pair, self.action_count)
        return FiniteMdp.from_outcomes(
            self.state_count, self.action_count, state, action, self.probability, self.next_state,
            self.reward_mean[state, action], self.terminated,
        )  # fmt: skip

    def discount_or_own(self, discount: float | None) -> float:
        """Return ``discount``, or the agent's own, or `DISCOUNT` where it declares none."""
        return self.contract.discount_or(DISCOUNT) if discount is None else discount

    def optimal_policy(self, discount: float | None = None) -> Int64Array:
        """Return a best action per state, int64[S], -1 where a state is never reached."""
        return solve_finite_mdp(self.mdp, self.discount_or_own(discount)).policy

    def optimal_value(self, discount: float | None = None) -> float:
        """Return the exact value of the best policy from the start distribution, points, no time limit."""
        return start_value(solve_finite_mdp(self.mdp, self.discount_or_own(discount)).value, self.start)

    def value_of(self, policy: npt.NDArray[np.generic], discount: float | None = None) -> float:
        """Return the exact value of a policy from the start distribution, points, no time limit.

        Args:
            policy: an action per state, int[S], where -1 stands for the agent's baseline action; or a
                probability per action, float[S, A].
            discount: γ in [0, 1); the agent's own where left out, as everywhere here.

        Raises:
            LearningError: the policy has the wrong shape or is not a distribution over actions.
        """
        if policy.ndim == 1 and policy.dtype.kind in "iu":
            policy = np.where(policy == -1, self.baseline_action, policy)
        return start_value(evaluate_policy(self.mdp, policy, self.discount_or_own(discount)), self.start)

    @property
    def baseline_action(self) -> int:
        """The column of the agent's baseline action."""
        return list(self.contract.actions).index(self.contract.baseline_action)

    def random_value(self, discount: float | None = None) -> float:
        """Return the exact value of choosing uniformly at random, points."""
        shape = (self.state_count, self.action_count)
        return self.value_of(np.full(shape, 1.0 / self.action_count), discount)

    def fixed_values(self, discount: float | None = None) -> Float64Array:
        """Return the exact value of always taking each action, points, float64[A]."""
        return np.array(
            [
                self.value_of(np.full(self.state_count, action, dtype=np.int64), discount)
                for action in range(self.action_count)
            ]
        )

    def advantage_share(self, value: float, discount: float | None = None) -> float:
        """Return where a value lies between random (0) and the optimum (1)."""
        floor = self.random_value(discount)
        return (value - floor) / (self.optimal_value(discount) - floor)
