"""A policy as a table of probabilities, made from the values that an agent decides by.

What belongs here: the policy that follows from looked-up values, and the check of a table of probabilities.
What does not: looking values up (`qe_core.hierarchy.lookup`) and loading a policy version's rows (the store).
"""

import numpy as np

from qe_core.errors import LearningError
from qe_core.learning.arrays import (
    BoolArray,
    Float64Array,
    name_rows,
    require_finite,
    require_fraction,
    require_shape,
)

SUM_TOLERANCE = 1e-9


def tabular_policy(values: Float64Array, is_known: BoolArray, exploration_rate: float = 0.0) -> Float64Array:
    """Return the probability of each action, float64[S, A], as an agent chooses by these values.

    It takes the best known action, one of them at random where several are equally good, and any action
    at random where nothing is known; with probability ``exploration_rate`` any action in any case. For a
    policy version look up all states (``blended_lookup``) and give the result's ``value`` and ``is_known``.

    Args:
        values: points, float64[S, A].
        is_known: where any level has evidence, bool[S, A].
        exploration_rate: in [0, 1].

    Raises:
        LearningError: shapes differ, a known value is not finite, or the rate is out of range.
    """
    require_fraction("exploration rate", exploration_rate)
    require_shape("is_known", is_known, values.shape)
    require_finite("values", values[is_known])
    worth = np.where(is_known, values, -np.inf)
    is_best = (worth == worth.max(axis=1, keepdims=True)) & is_known
    is_best |= ~is_known.any(axis=1, keepdims=True)
    greedy = is_best / is_best.sum(axis=1, keepdims=True)
    return np.asarray(exploration_rate / values.shape[1] + (1.0 - exploration_rate) * greedy)


def require_policy(name: str, policy: Float64Array) -> None:
    """Raise ``LearningError`` unless every row of ``policy``, float64[S, A], is a distribution."""
    if policy.ndim != 2:
        raise LearningError(f"{name} must have shape (states, actions), got {policy.shape}; reshape it")
    is_bad = ~((policy >= 0.0).all(axis=1) & (np.abs(policy.sum(axis=1) - 1.0) <= SUM_TOLERANCE))
    if is_bad.any():
        raise LearningError(
            f"{name} must give each state's actions probabilities that sum to 1, but (sums in brackets) "
            f"{name_rows(is_bad, policy.sum(axis=1))}; build it with tabular_policy"
        )
