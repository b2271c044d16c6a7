"""Choosing each action as often as it may be the best one, with exact propensities.

What belongs here: the probability that an action is the best, given values and their errors, and the policy
that follows. What does not: where values and errors come from (`value_beliefs`, or any table with target
statistics) and how much to explore besides (`exploration`).

Thompson (1933) chooses an action with the probability that it is the best. Drawing a value for each action
and taking the highest does that without ever knowing the probability. Here it is computed and then drawn
from, so that what the log states as propensity is what the action was chosen with.
"""

from math import erf, sqrt

import numpy as np

from qe_core.errors import LearningError
from qe_core.learning.arrays import Float64Array, Int64Array, require_finite, require_fraction, require_shape
from qe_core.learning.compiled import compiled

_NODES = np.array([-4.0, -2.5, -1.5, -0.75, 0.0, 0.75, 1.5, 2.5, 4.0])
"""Where each action's distribution is cut, in its standard errors: fine where anything changes."""


def matching_policy(
    values: Float64Array, errors: Float64Array, visits: Int64Array, exploration_rate: float = 0.0
) -> Float64Array:
    """Return the probability of each action in each state, float64[S, A]; every row sums to 1.

    An action that was never tried goes before those that were: there is nothing to match yet. A share
    ``exploration_rate`` is spread over all actions alike, so that no propensity is below it over A.

    Args:
        values: expected values, points, float64[S, A].
        errors: their standard errors, points, above 0 where there are visits, float64[S, A].
        visits: how often each pair was tried, int64[S, A].
        exploration_rate: in [0, 1].

    Raises:
        LearningError: shapes differ, a number is not finite, an error is not above 0, or the rate is out of
            range.
    """
    require_fraction("exploration rate", exploration_rate)
    require_shape("visits", visits, values.shape)
    for name, array in (("values", values), ("errors", errors)):
        require_shape(name, array, values.shape)
        require_finite(name, array)
    if values.ndim != 2 or values.shape[1] == 0:
        raise LearningError(f"values must have shape (states, actions), got {values.shape}; reshape them")
    if (errors[visits > 0] <= 0).any():
        raise LearningError(
            "an action that was tried needs a standard error above 0; assume some noise until it is measured"
        )
    matched = match_rows(values, errors, visits, _NODES)
    return np.asarray(exploration_rate / values.shape[1] + (1.0 - exploration_rate) * matched)


@compiled
def _below(limit: float, value: float, error: float) -> float:
    """Return the chance that a normal variable is below a limit."""
    return 0.5 * (1.0 + erf((limit - value) / (error * sqrt(2.0))))


@compiled
def _match(values: Float64Array, errors: Float64Array, nodes: Float64Array) -> Float64Array:
    """Return the probability that each of independent normal variables is the highest, float64[A].

    ∫ φ_a ∏ Φ_b, summed between cuts: the mass of a in an interval times the mean chance that the others lie
    below it; normalised, so that what the sum leaves out does not matter.
    """
    count = len(values)
    chance = np.zeros(count)
    floor = (values + nodes[0] * errors).max()
    cuts = np.empty(count * len(nodes))
    for action in range(count):
        for place in range(len(nodes)):
            cuts[action * len(nodes) + place] = max(floor, values[action] + nodes[place] * errors[action])
    cuts.sort()
    before, after = np.zeros(count), np.zeros(count)
    for action in range(count):
        before[action] = _below(cuts[0], values[action], errors[action])
    for cut in cuts[1:]:
        for action in range(count):
            after[action] = _below(cut, values[action], errors[action])
        for action in range(count):
            mass = after[action] - before[action]
            for other in range(count):
                if other != action:
                    mass *= 0.5 * (before[other] + after[other])
            chance[action] += mass
        before[:] = after
    chance /= chance.sum()
    return chance


@compiled
def match_rows(
    values: Float64Array, errors: Float64Array, visits: Int64Array, nodes: Float64Array
) -> Float64Array:
    """Return the matching probabilities per state, those never tried first, float64[S, A]."""
    policy = np.empty(values.shape)
    for state in range(len(values)):
        is_untried = visits[state] == 0
        if is_untried.any():
            policy[state] = is_untried / is_untried.sum()
        else:
            policy[state] = _match(values[state], errors[state], nodes)
    return policy
