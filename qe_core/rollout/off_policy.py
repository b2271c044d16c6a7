"""What a candidate policy would earn, estimated from episodes that another policy played.

What belongs here: the two estimators and their intervals. What does not: the log (`off_policy_log`), weights
(`off_policy_weights`), the model behind the doubly robust estimator (`off_policy_model`), whether the log can
say anything at all (`off_policy_support`) and what is decided on it (`safe_improvement_check`).

Both estimators are one formula (Thomas & Brunskill 2016, weighted doubly robust):

    Σ_t γ^t Σ_i [ w̄_it (r_it − q(s_it, a_it)) + w̄_i,t−1 v(s_it) ],   v(s) = Σ_a π(a|s) q(s, a)

where w_it is the product of π/b over the steps 0 … t of episode i, and w̄_it its share of Σ_i w_it. With
q = 0 it is per-decision weighted importance sampling; with a model's q, weighted doubly robust: the model
explains what it can, the weights correct what it gets wrong. After its end an episode keeps its last weight
and earns nothing.

What is estimated is the expected discounted return of an episode as the log's are cut: truncation is an end.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

import numpy as np
from scipy.stats import t as student

from qe_core.learning.arrays import Float64Array, require_discount
from qe_core.learning.empirical_mdp import EmpiricalMdp
from qe_core.rollout.off_policy_log import LoggedEpisodes
from qe_core.rollout.off_policy_model import model_values
from qe_core.rollout.off_policy_support import Support
from qe_core.rollout.off_policy_weights import importance_weights

FOLDS = 5
"""Parts of the log: each is evaluated with a model of the others, so that no episode vouches for itself."""

WIDENING = 1.3
"""By how much intervals are wider than normal theory says: heavy weights that did not occur are not in the
standard error. Chosen by measured coverage (ADR 0087)."""


class Estimator(StrEnum):
    """How a candidate's value is estimated."""

    IMPORTANCE_SAMPLING = "importance_sampling"
    DOUBLY_ROBUST = "doubly_robust"


@dataclass(frozen=True, slots=True)
class Estimate:
    """An estimated value, or difference of values, and how far it can be trusted.

    Attributes:
        estimator: how it was made.
        value: points.
        lower: end of the two-sided interval, points.
        upper: its other end, points.
        standard_error: points.
        confidence_level: of the interval, in (0, 1).
        effective_sample_size: (Σw)² / Σw², the least over steps: as many episodes of the candidate itself.
    """

    estimator: Estimator
    value: float
    lower: float
    upper: float
    standard_error: float
    confidence_level: float
    effective_sample_size: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a log says about a policy, before a confidence level is chosen.

    Attributes:
        estimator: how it was made.
        value: points.
        influence: how far each episode moves the value, points, float64[E].
        unknown: how far off it may be by episodes of which the log knows nothing, points: their share times
            half the span of what episodes earn.
        effective_sample_size: as in `Estimate`.
    """

    estimator: Estimator
    value: float
    influence: Float64Array
    unknown: float
    effective_sample_size: float

    @property
    def standard_error(self) -> float:
        """Of the value, points."""
        count = len(self.influence)
        return float(np.sqrt((self.influence**2).sum() / (count * (count - 1))))

    def minus(self, other: "Evaluation") -> "Evaluation":
        """Return the difference of two policies' values on the same episodes.

        What both share cancels: the difference is known far better than either value.
        """
        return Evaluation(
            self.estimator, self.value - other.value, self.influence - other.influence,
            self.unknown + other.unknown, min(self.effective_sample_size, other.effective_sample_size),
        )  # fmt: skip

    def estimate(self, confidence_level: float) -> Estimate:
        """Return the value with its two-sided interval.

        Student's t with as many degrees of freedom as effective episodes, less one: an interval from few
        heavy episodes is as wide as one from that few. What is unknown is added.
        """
        error, size = self.standard_error, self.effective_sample_size
        quantile = float(student.ppf(0.5 + confidence_level / 2.0, size - 1.0))
        reach = WIDENING * quantile * error + self.unknown
        return Estimate(
            self.estimator, self.value, self.value - reach, self.value + reach, error, confidence_level, size
        )


def evaluate(
    log: LoggedEpisodes,
    policy: Float64Array,
    discount: float,
    support: Support,
    estimator: Estimator = Estimator.DOUBLY_ROBUST,
) -> Evaluation:
    """Return what the log says an episode of this policy is worth.

    Args:
        log: complete episodes.
        policy: probability per action, float64[S, A].
        discount: γ in [0, 1).
        support: of this policy in this log, from ``support_of``.
        estimator: which.

    Raises:
        NoSupportError: the log cannot speak about this policy.
        LearningError: the discount is out of range.
    """
    require_discount(discount)
    support.require()
    weights = importance_weights(log, policy)
    match estimator:
        case Estimator.IMPORTANCE_SAMPLING:
            explained, expected = np.zeros(len(log.propensity)), np.zeros(len(log.propensity))
        case Estimator.DOUBLY_ROBUST:
            explained, expected = _cross_fitted(log, policy, discount)
        case _:
            assert_never(estimator)
    value, influence = _weighted(log, weights, explained, expected, discount)
    returns = log.by_step(log.transitions.reward, 0.0) @ discount ** np.arange(log.horizon)
    low, high = np.quantile(returns, (0.01, 0.99))
    unknown = 0.5 * support.unsupported_share * float(high - low)
    return Evaluation(estimator, value, influence, unknown, support.effective_sample_size)


def _cross_fitted(
    log: LoggedEpisodes, policy: Float64Array, discount: float
) -> tuple[Float64Array, Float64Array]:
    """Return q(s, a) and v(s) of each step by a model of the other folds' episodes, float64[N] each."""
    explained, expected = np.zeros(len(log.propensity)), np.zeros(len(log.propensity))
    fold = np.arange(len(log)) % FOLDS
    for number in range(FOLDS):
        others = log.select(fold != number)
        mdp = EmpiricalMdp.from_transitions(others.transitions, *policy.shape)
        q = model_values(mdp, policy, discount)
        rows = np.repeat(fold == number, log.length)
        state, action = log.transitions.state[rows], log.transitions.action[rows]
        explained[rows] = q[state, action]
        expected[rows] = (policy * q).sum(axis=1)[state]
    return explained, expected


def _weighted(
    log: LoggedEpisodes,
    weights: Float64Array,
    explained: Float64Array,
    expected: Float64Array,
    discount: float,
) -> tuple[float, Float64Array]:
    """Return the estimate and how far each episode moves it, float64[E]."""
    count = len(log)
    before = np.concatenate([np.ones((count, 1)), weights[:, :-1]], axis=1)
    factor = discount ** np.arange(log.horizon)
    value, influence = 0.0, np.zeros(count)
    for weight, numbers in (
        (weights, log.by_step(log.transitions.reward - explained, 0.0)),
        (before, log.by_step(expected, 0.0)),
    ):
        share = weight / weight.mean(axis=0)
        mean = (share * numbers).mean(axis=0)
        value += float(factor @ mean)
        # Without the episode, what it is compared to would lie further away (the jackknife's leverage).
        influence += (share * (numbers - mean) / np.maximum(1.0 - share / count, 1e-9)) @ factor
    return value, influence
