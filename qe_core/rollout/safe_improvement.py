"""A policy that improves on its baseline only where the log knows enough (SPIBB).

What belongs here: the safe improvement step over an observed MDP. What does not: judging a candidate
wherever it comes from (`safe_improvement_check`).

Π_b-SPIBB (Laroche, Trichelair & Tachet des Combes 2019): where a pair has too few visits the policy gives it
the probability the baseline gives it, so what is little known is neither sought nor avoided. Among the other
actions of a state the original gives all to the best. Here probability moves from an action to the best one
only where that leads by several standard errors: among noisy means the best is often only the luckiest (ADR
0086).
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, stdtrit

from qe_core.errors import LearningError
from qe_core.learning.arrays import Float64Array, require_discount, require_shape
from qe_core.learning.empirical_mdp import EmpiricalMdp
from qe_core.learning.q_table import DEFAULT_CONFIDENCE, ConfidenceSettings, noise_variance
from qe_core.rollout.off_policy_model import on_visited, values_on
from qe_core.rollout.off_policy_policies import require_policy

GAIN_TOLERANCE = 1e-6
"""Points by which another action must be better to become the best: above what evaluation leaves open."""

MOST_FREEDOM = 200
"""Degrees of freedom from which Student's t is taken as normal."""

MAXIMUM_ROUNDS = 1_000


@dataclass(frozen=True, slots=True)
class SafeImprovementSettings:
    """When the log knows enough of a pair.

    Attributes:
        minimum_visits: visits from which the policy may depart from the baseline on a pair, at least 1.
        standard_errors: of the difference by which the best action must lead another to take its probability,
            ≥ 0, if its noise were known; after few visits more, as Student's t asks. 0 trusts the means.
        confidence: what is assumed about noise before it is measured.
    """

    minimum_visits: int = 5
    standard_errors: float = 3.0
    confidence: ConfidenceSettings = DEFAULT_CONFIDENCE

    def __post_init__(self) -> None:
        if self.minimum_visits < 1:
            raise LearningError(f"minimum_visits must be at least 1, got {self.minimum_visits}; use 5")
        if not 0.0 <= self.standard_errors < np.inf:
            raise LearningError(f"standard_errors must not be negative, got {self.standard_errors}; use 3")


DEFAULT_IMPROVEMENT = SafeImprovementSettings()


def safe_improvement(
    mdp: EmpiricalMdp,
    baseline: Float64Array,
    discount: float,
    settings: SafeImprovementSettings = DEFAULT_IMPROVEMENT,
) -> Float64Array:
    """Return the policy that improves on the baseline where the log knows enough, float64[S, A].

    An action that was led once does not come back in later rounds, so the rounds end.

    Args:
        mdp: what was observed.
        baseline: probability per action of the policy that serves, float64[S, A].
        discount: γ in [0, 1).
        settings: when the log knows enough.

    Raises:
        LearningError: sizes differ, the baseline is not a policy, or the improvement does not settle.
    """
    require_discount(discount)
    require_policy("the baseline", baseline)
    require_shape("the baseline", baseline, (mdp.state_count, mdp.action_count))
    finite = mdp.to_finite_mdp()
    q = values_on(finite, on_visited(finite, baseline), discount)
    statistics = mdp.target_statistics((baseline * q).sum(axis=1), discount)
    variance = noise_variance(statistics, settings.confidence) / np.maximum(statistics.count, 1)
    is_free = mdp.visits >= settings.minimum_visits
    leads = stdtrit(np.arange(1, MOST_FREEDOM + 1), ndtr(settings.standard_errors))
    rows, best, policy = np.arange(mdp.state_count), np.zeros(mdp.state_count, dtype=np.int64), baseline
    is_led = np.zeros(is_free.shape, dtype=np.bool_)
    for _ in range(MAXIMUM_ROUNDS):
        open_q = np.where(is_free & ~is_led, q, -np.inf)
        highest = open_q.argmax(axis=1)
        best = np.where(open_q[rows, best] >= open_q[rows, highest] - GAIN_TOLERANCE, best, highest)
        error = np.sqrt(variance + variance[rows, best][:, np.newaxis])
        freedom = np.minimum(mdp.visits, mdp.visits[rows, best][:, np.newaxis]).clip(1, MOST_FREEDOM)
        is_behind = q[rows, best][:, np.newaxis] - q > leads[freedom - 1] * error
        is_led |= is_free & is_behind & is_free[rows, best][:, np.newaxis]
        improved = np.where(is_led, 0.0, baseline)
        improved[rows, best] += np.where(is_led, baseline, 0.0).sum(axis=1)
        if np.array_equal(improved, policy):
            return policy
        policy = improved
        q = values_on(finite, on_visited(finite, policy), discount)
    raise LearningError(
        f"the safe improvement did not settle in {MAXIMUM_ROUNDS} rounds; lower the discount, {discount}"
    )
