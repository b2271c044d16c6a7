"""How much likelier logged episodes are under another policy.

What belongs here: importance weights and what they are worth. What does not: support (`off_policy_support`)
and estimates (`off_policy`).
"""

import numpy as np

from qe_core.learning.arrays import Float64Array
from qe_core.rollout.off_policy_log import LoggedEpisodes


def importance_weights(log: LoggedEpisodes, policy: Float64Array) -> Float64Array:
    """Return w_it, float64[E, horizon]: how much likelier each episode's steps 0 … t are under the policy.

    The product of π/b up to step t (Precup, Sutton & Singh 2000); after its end an episode keeps its last
    weight.
    """
    chances = policy[log.transitions.state, log.transitions.action]
    return np.asarray(np.cumprod(log.by_step(chances / log.propensity, 1.0), axis=1), dtype=np.float64)


def effective_sample_size(weights: Float64Array) -> float:
    """Return (Σw)² / Σw², the least over steps, 0 where no episode has any weight; of float64[E, horizon]."""
    total, squares = weights.sum(axis=0), (weights**2).sum(axis=0)
    return float(np.where(squares > 0.0, total**2 / np.where(squares > 0.0, squares, 1.0), 0.0).min())
