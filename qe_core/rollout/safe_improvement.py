"""A policy that improves on its baseline only where the log knows enough (SPIBB).

What belongs here: the safe improvement step over an observed MDP. What does not: judging a candidate
wherever it comes from (`safe_improvement_check`).

Π_b-SPIBB (Laroche, Trichelair & Tachet des Combes 2019): where a pair has too few visits the policy gives it
the probability the baseline gives it; the rest of a state's probability goes to the best of the other
actions. So what is little known is neither sought nor avoided, and cannot hurt.
"""

from dataclasses import dataclass

import numpy as np

from qe_core.errors import LearningError
from qe_core.learning.arrays import Float64Array, require_discount, require_shape
from qe_core.learning.empirical_mdp import EmpiricalMdp
from qe_core.learning.finite_mdp import with_reward
from qe_core.learning.q_table import DEFAULT_CONFIDENCE, ConfidenceSettings, noise_variance
from qe_core.rollout.off_policy_model import on_visited, values_on
from qe_core.rollout.off_policy_policies import require_policy

GAIN_TOLERANCE = 1e-6
"""Points by which another action must be better before the policy changes: above what evaluation leaves
open."""

MAXIMUM_ROUNDS = 1_000


@dataclass(frozen=True, slots=True)
class SafeImprovementSettings:
    """When the log knows enough of a pair.

    Attributes:
        minimum_visits: visits from which the policy may depart from the baseline on a pair, at least 1.
        pessimism: standard errors of its mean target taken off each pair's reward, ≥ 0; what was seen less
            often has to look better by more.
        confidence: what is assumed about noise before it is measured.
    """

    minimum_visits: int = 20
    pessimism: float = 1.0
    confidence: ConfidenceSettings = DEFAULT_CONFIDENCE

    def __post_init__(self) -> None:
        if self.minimum_visits < 1:
            raise LearningError(f"minimum_visits must be at least 1, got {self.minimum_visits}; use 20")
        if not 0.0 <= self.pessimism < np.inf:
            raise LearningError(f"pessimism must not be negative, got {self.pessimism}; use 0 for none")


DEFAULT_IMPROVEMENT = SafeImprovementSettings()


def safe_improvement(
    mdp: EmpiricalMdp,
    baseline: Float64Array,
    discount: float,
    settings: SafeImprovementSettings = DEFAULT_IMPROVEMENT,
) -> Float64Array:
    """Return the best policy that copies the baseline wherever the log knows too little, float64[S, A].

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
    if settings.pessimism > 0.0:
        value = values_on(finite, on_visited(finite, baseline), discount).max(axis=1)
        statistics = mdp.target_statistics(value, discount)
        error = np.sqrt(noise_variance(statistics, settings.confidence) / np.maximum(statistics.count, 1))
        penalty = settings.pessimism * error[finite.pair_state, finite.pair_action]
        finite = with_reward(finite, finite.reward - penalty)
    is_free = mdp.visits >= settings.minimum_visits
    copied = np.where(is_free, 0.0, baseline)
    movable = np.where(is_free.any(axis=1), np.where(is_free, baseline, 0.0).sum(axis=1), 0.0)
    rows = np.flatnonzero(movable > 0.0)
    policy, best = baseline, np.full(len(rows), -1)
    for _ in range(MAXIMUM_ROUNDS):
        q = np.where(is_free, values_on(finite, on_visited(finite, policy), discount), -np.inf)[rows]
        gained = q.max(axis=1) - np.where(best >= 0, q[np.arange(len(rows)), best], -np.inf)
        if (gained <= GAIN_TOLERANCE).all():
            return policy
        best = np.where(gained > GAIN_TOLERANCE, q.argmax(axis=1), best)
        policy = copied.copy()
        policy[rows, best] += movable[rows]
    raise LearningError(
        f"the safe improvement did not settle in {MAXIMUM_ROUNDS} rounds; lower the discount, {discount}"
    )
