"""What is believed about action values after some experiences, and how uncertain that is.

What belongs here: values of the empirical MDP with their standard errors. What does not: the exact table that
is materialised (`empirical_mdp`), and what to do about the uncertainty (`probability_matching`).
"""

from dataclasses import dataclass

import numpy as np

from qe_core.learning.arrays import Float64Array, Int64Array
from qe_core.learning.empirical_mdp import EmpiricalMdp
from qe_core.learning.finite_mdp import back_up_pairs, evaluate_policy, solve_finite_mdp, with_reward
from qe_core.learning.q_table import DEFAULT_CONFIDENCE, ConfidenceSettings, noise_variance

TOLERANCE = 1e-6
"""Residual of the values to act on, points: far below their errors."""


@dataclass(frozen=True, slots=True)
class ValueBelief:
    """Values with errors; pairs nothing is known about hold 0 and 0.

    Attributes:
        q: expected values, points, float64[S, A].
        error: standard errors, points, float64[S, A].
        visits: own visits; 0 where nothing is known, so that it has to be tried first, int64[S, A].
    """

    q: Float64Array
    error: Float64Array
    visits: Int64Array


def believed_values(
    mdp: EmpiricalMdp, discount: float, confidence: ConfidenceSettings = DEFAULT_CONFIDENCE
) -> ValueBelief:
    """Return the values of the empirical MDP and how uncertain they are.

    A pair's own variance is that of its mean TD target. What is uncertain further on is uncertain here too:
    u = own + γ²·Σ p·u′ along the greedy policy (the uncertainty Bellman equation; O'Donoghue, Osband, Munos &
    Mnih 2018, eq. 7), so that an agent looks for what it does not know several steps ahead.

    Args:
        mdp: the observations.
        discount: γ in [0, 1).
        confidence: what is assumed about noise before it is measured.

    Raises:
        LearningError: the discount is out of range.
    """
    finite = mdp.to_finite_mdp()
    solution = solve_finite_mdp(finite, discount, tolerance=TOLERANCE)
    statistics = mdp.target_statistics(solution.value, discount)
    own = noise_variance(statistics, confidence) / np.maximum(statistics.count, 1)
    pairs = (finite.pair_state, finite.pair_action)
    doubt = with_reward(finite, own[pairs])
    ahead = evaluate_policy(doubt, solution.policy, discount**2, TOLERANCE)
    error = np.zeros_like(solution.q)
    error[pairs] = np.sqrt(back_up_pairs(doubt, ahead, discount**2))
    return ValueBelief(solution.q, error, statistics.count)
