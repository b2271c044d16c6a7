"""A known finite MDP as sparse arrays, its exact solution and the exact value of any policy.

What belongs here: the sparse form, solving it, evaluating policies and Bellman residuals on it.
What does not: estimating an MDP from experiences (empirical_mdp) and the compiled loops (mdp_kernels).
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from qe_core.errors import LearningError
from qe_core.learning.arrays import (
    BoolArray,
    Float64Array,
    Int64Array,
    name_rows,
    require_discount,
    require_finite,
    require_range,
    require_shape,
)
from qe_core.learning.mdp_kernels import back_up, evaluate_weights, modified_policy_iteration

DEFAULT_TOLERANCE = 1e-10
"""Bellman residual at which a solution is exact enough, points. Two digits below what is promised."""

MAXIMUM_SWEEPS = 1_000_000
PROBABILITY_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class FiniteMdp:
    """A finite MDP: per state its available pairs, per pair the expected reward and successors.

    Pairs are ordered by (state, action). A state without pairs is terminal, or was never seen as a source;
    its value is 0. Probabilities of a pair may sum to less than 1; the rest terminates.

    Attributes:
        state_count: S.
        action_count: A.
        pair_offsets: where each state's pairs begin, int64[S + 1].
        pair_action: action of each pair, int64[P].
        reward: expected reward of each pair in points, float64[P].
        entry_offsets: where each pair's successors begin, int64[P + 1].
        next_state: successors, int64[E].
        probability: of going on from that successor, in [0, 1], float64[E].
    """

    state_count: int
    action_count: int
    pair_offsets: Int64Array
    pair_action: Int64Array
    reward: Float64Array
    entry_offsets: Int64Array
    next_state: Int64Array
    probability: Float64Array

    @property
    def pair_state(self) -> Int64Array:
        """State of each pair, int64[P]."""
        return np.repeat(np.arange(self.state_count, dtype=np.int64), np.diff(self.pair_offsets))

    @classmethod
    def from_outcomes(
        cls,
        state_count: int,
        action_count: int,
        state: npt.ArrayLike,
        action: npt.ArrayLike,
        probability: npt.ArrayLike,
        next_state: npt.ArrayLike,
        reward: npt.ArrayLike,
        terminated: npt.ArrayLike,
    ) -> Self:
        """Return the MDP of these outcomes, one row per possible outcome of a pair, in any order.

        Args:
            state_count: S.
            action_count: A.
            state: in 0 … S − 1.
            action: in 0 … A − 1.
            probability: of this outcome given the pair, in [0, 1]; sums to 1 over the outcomes of a pair.
            next_state: in 0 … S − 1.
            reward: of this outcome, points.
            terminated: whether this outcome ends the episode.

        Raises:
            LearningError: lengths differ, an index is out of range, a reward is not finite, or the
                probabilities of a pair do not sum to 1.
        """
        states, actions, successors = (
            np.asarray(column, dtype=np.int64) for column in (state, action, next_state)
        )
        chances, rewards = (np.asarray(column, dtype=np.float64) for column in (probability, reward))
        is_end = np.asarray(terminated, dtype=np.bool_)
        for name, column in (("action", actions), ("probability", chances), ("next_state", successors),
                             ("reward", rewards), ("terminated", is_end)):  # fmt: skip
            require_shape(name, column, states.shape)
        require_range("state", states, state_count)
        require_range("action", actions, action_count)
        require_range("next_state", successors, state_count)
        require_finite("reward", rewards)
        _require_probabilities(chances)
        pair, pair_of_row = np.unique(states * action_count + actions, return_inverse=True)
        total = np.bincount(pair_of_row, weights=chances, minlength=len(pair))
        is_bad = np.abs(total - 1.0) > PROBABILITY_TOLERANCE
        if is_bad.any():
            where = [(int(code) // action_count, int(code) % action_count) for code in pair[is_bad][:5]]
            raise LearningError(
                f"outcome probabilities must sum to 1 per (state, action), but not at {where}: "
                f"{total[is_bad][:5]}; add the missing outcomes"
            )
        order = np.argsort(pair_of_row, kind="stable")
        kept = order[~is_end[order] & (chances[order] > 0)]
        return cls(
            state_count=state_count,
            action_count=action_count,
            pair_offsets=offsets_of(pair // action_count, state_count),
            pair_action=pair % action_count,
            reward=np.bincount(pair_of_row, weights=chances * rewards, minlength=len(pair)).astype(
                np.float64
            ),
            entry_offsets=offsets_of(pair_of_row[kept], len(pair)),
            next_state=successors[kept],
            probability=chances[kept],
        )

    @classmethod
    def from_dense(
        cls,
        transition: Float64Array,
        reward: Float64Array,
        is_terminal: BoolArray | None = None,
        is_available: BoolArray | None = None,
    ) -> Self:
        """Return the MDP of dense arrays.

        Args:
            transition: probability of each successor, float64[S, A, S].
            reward: points, float64[S, A], or float64[S, A, S] where it depends on the successor.
            is_terminal: states that end the episode when entered, bool[S]; none where left out.
            is_available: which actions exist in which state, bool[S, A]; all where left out.

        Raises:
            LearningError: shapes do not fit, or as in ``from_outcomes``.
        """
        if transition.ndim != 3 or transition.shape[0] != transition.shape[2]:
            raise LearningError(
                f"transition must have shape (states, actions, states), got {transition.shape}; transpose it"
            )
        state_count, action_count = transition.shape[:2]
        ends = np.zeros(state_count, dtype=np.bool_) if is_terminal is None else is_terminal
        exists = (
            np.ones((state_count, action_count), dtype=np.bool_) if is_available is None else is_available
        )
        require_shape("is_terminal", ends, (state_count,))
        require_shape("is_available", exists, (state_count, action_count))
        per_successor = reward[:, :, np.newaxis] if reward.ndim == 2 else reward
        is_source = (exists & ~ends[:, np.newaxis])[:, :, np.newaxis]
        # A pair whose probabilities are all 0 must reach the check of the sums instead of vanishing.
        is_row = is_source & ((transition != 0) | (transition.sum(axis=2, keepdims=True) == 0))
        state, action, successor = np.nonzero(is_row)
        rows = (state, action, successor)
        return cls.from_outcomes(
            state_count, action_count, state, action, transition[rows], successor,
            np.broadcast_to(per_successor, transition.shape)[rows], ends[successor],
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Solution:
    """The exact solution of a finite MDP.

    Attributes:
        q: values per pair in points, float64[S, A]; 0 where a pair does not exist.
        value: max q over eligible pairs, float64[S]; 0 for states without pairs.
        policy: best eligible action, lowest index among equals, int64[S]; −1 for states without pairs.
        residual: largest |q − backup of q| over all pairs, points.
        rounds: improvement rounds it took.
    """

    q: Float64Array
    value: Float64Array
    policy: Int64Array
    residual: float
    rounds: int


def solve_finite_mdp(
    mdp: FiniteMdp,
    discount: float,
    is_eligible: BoolArray | None = None,
    tolerance: float = DEFAULT_TOLERANCE,
) -> Solution:
    """Return the optimal values by modified policy iteration (Puterman & Shin 1978; S&B 4.6).

    The same input gives the same bits.

    Args:
        mdp: what to solve.
        discount: γ in [0, 1).
        is_eligible: pairs the policy may choose, bool[S, A]; all existing ones where left out. Values are
            computed for every pair, the maximum is taken over eligible ones.
        tolerance: largest allowed Bellman residual, points; never below what float64 can resolve.

    Raises:
        LearningError: the discount is out of range, a state has pairs but no eligible one, or the residual
            was not reached.
    """
    require_discount(discount)
    pair_state = mdp.pair_state
    chosen = np.ones(len(pair_state), dtype=np.bool_)
    if is_eligible is not None:
        require_shape("is_eligible", is_eligible, (mdp.state_count, mdp.action_count))
        chosen = is_eligible[pair_state, mdp.pair_action]
        is_stuck = np.bincount(pair_state, minlength=mdp.state_count) > 0
        is_stuck &= np.bincount(pair_state[chosen], minlength=mdp.state_count) == 0
        if is_stuck.any():
            raise LearningError(
                f"states without an eligible action: {np.flatnonzero(is_stuck)[:5].tolist()}; "
                "take eligible pairs from eligible_pairs"
            )
    pair_q, value, best, change, rounds = modified_policy_iteration(
        mdp.pair_offsets, chosen, mdp.reward, mdp.entry_offsets, mdp.next_state, mdp.probability,
        discount, tolerance, MAXIMUM_SWEEPS,
    )  # fmt: skip
    if rounds < 0:
        raise LearningError(
            f"the solution did not settle: residual {change:.3g} after {MAXIMUM_SWEEPS} sweeps at discount "
            f"{discount}; lower the discount or raise the tolerance above {tolerance:.3g}"
        )
    q = np.zeros((mdp.state_count, mdp.action_count))
    q[pair_state, mdp.pair_action] = pair_q
    policy = np.where(best >= 0, mdp.pair_action[best], -1) if len(pair_state) else best
    residual = float(np.abs(back_up_pairs(mdp, value, discount) - pair_q).max(initial=0.0))
    return Solution(q, value, policy, residual, rounds)


def evaluate_policy(
    mdp: FiniteMdp,
    policy: npt.NDArray[np.generic],
    discount: float,
    tolerance: float = DEFAULT_TOLERANCE,
) -> Float64Array:
    """Return the value of a fixed policy per state in points, float64[S].

    Args:
        mdp: where it acts.
        policy: an action per state, int[S], any number where a state has no pairs; or a probability per
            action, float64[S, A].
        discount: γ in [0, 1).
        tolerance: largest allowed residual of the evaluation, points.

    Raises:
        LearningError: the policy has the wrong shape, picks an action that does not exist, or its
            probabilities do not sum to 1 over the existing actions.
    """
    require_discount(discount)
    weights = _pair_weights(mdp, policy)
    value, change, sweeps = evaluate_weights(
        mdp.pair_offsets, weights, mdp.reward, mdp.entry_offsets, mdp.next_state, mdp.probability,
        discount, tolerance, MAXIMUM_SWEEPS,
    )  # fmt: skip
    if sweeps < 0:
        raise LearningError(
            f"the policy's value did not settle: residual {change:.3g} at discount {discount}; "
            "lower the discount or raise the tolerance"
        )
    return value


def start_value(value: Float64Array, start: npt.ArrayLike) -> float:
    """Return the expected value in points over a distribution of start states.

    Args:
        value: per state, float64[S].
        start: probabilities, float64[S].

    Raises:
        LearningError: the shapes differ or the probabilities do not sum to 1.
    """
    chances = np.asarray(start, dtype=np.float64)
    require_shape("start", chances, value.shape)
    _require_probabilities(chances)
    if abs(float(chances.sum()) - 1.0) > PROBABILITY_TOLERANCE:
        raise LearningError(f"start probabilities must sum to 1, got {chances.sum()}; normalise them")
    return float(chances @ value)


def bellman_residuals(
    mdp: FiniteMdp, q: Float64Array, is_eligible: BoolArray, discount: float
) -> Float64Array:
    """Return |q − backup of q| per pair in points, float64[S, A], 0 where a pair does not exist.

    Args:
        mdp: gives the backup.
        q: values, float64[S, A].
        is_eligible: pairs over which the backup takes its maximum, bool[S, A].
        discount: γ in [0, 1).
    """
    require_discount(discount)
    for name, array in (("q", q), ("is_eligible", is_eligible)):
        require_shape(name, array, (mdp.state_count, mdp.action_count))
    best = np.where(is_eligible, q, -np.inf).max(axis=1)
    value = np.where(is_eligible.any(axis=1), best, 0.0)
    residuals = np.zeros_like(q)
    rows = (mdp.pair_state, mdp.pair_action)
    residuals[rows] = np.abs(back_up_pairs(mdp, value, discount) - q[rows])
    return residuals


def with_reward(mdp: FiniteMdp, reward: Float64Array) -> FiniteMdp:
    """Return the same MDP with another expected reward per pair, float64[P]."""
    require_shape("reward", reward, mdp.reward.shape)
    require_finite("reward", reward)
    return replace(mdp, reward=reward)


def back_up_pairs(mdp: FiniteMdp, value: Float64Array, discount: float) -> Float64Array:
    """Return r + γ·Σ p·value per pair in points, float64[P], given a value per state, float64[S]."""
    return back_up(mdp.reward, mdp.entry_offsets, mdp.next_state, mdp.probability, value, discount)


def _pair_weights(mdp: FiniteMdp, policy: npt.NDArray[np.generic]) -> Float64Array:
    """Return the probability with which the policy picks each existing pair, float64[P]."""
    pair_state, per_pair_shape = mdp.pair_state, (mdp.state_count, mdp.action_count)
    if policy.shape == per_pair_shape:
        weights = policy[pair_state, mdp.pair_action].astype(np.float64)
        _require_probabilities(weights)
    elif policy.shape == (mdp.state_count,) and policy.dtype.kind in "iu":
        weights = (policy[pair_state] == mdp.pair_action).astype(np.float64)
    else:
        raise LearningError(
            f"a policy is a whole-number action per state [{mdp.state_count}] or a probability per action "
            f"{list(per_pair_shape)}, got {policy.dtype}{list(policy.shape)}; reshape it"
        )
    total = np.bincount(pair_state, weights=weights, minlength=mdp.state_count)
    is_bad = (np.abs(total - 1.0) > PROBABILITY_TOLERANCE) & (np.diff(mdp.pair_offsets) > 0)
    if is_bad.any():
        raise LearningError(
            "the policy must choose among the existing actions of each state with total probability 1, but "
            f"{name_rows(is_bad, total)}; give it a fallback there"
        )
    return weights


def _require_probabilities(values: Float64Array) -> None:
    """Raise ``LearningError`` naming the first entries outside [0, 1]."""
    is_bad = ~((values >= 0) & (values <= 1 + PROBABILITY_TOLERANCE))
    if is_bad.any():
        raise LearningError(
            f"probabilities must lie in [0, 1], but {name_rows(is_bad, values)}; normalise them"
        )


def offsets_of(owner: Int64Array, count: int) -> Int64Array:
    """Return where each owner's rows begin, given rows sorted by owner, int64[count + 1]."""
    return np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=count))]).astype(np.int64)
