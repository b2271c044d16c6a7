"""What a candidate policy would earn, estimated from episodes that another policy played.

What belongs here: importance weights, the two estimators and their intervals. What does not: the log
(`off_policy_log`), the model behind the doubly robust estimator (`off_policy_model`), whether the log can say
anything at all (`off_policy_support`) and what is decided on it (`safe_improvement_check`).

Both estimators are one formula (Thomas & Brunskill 2016, weighted doubly robust):

    Σ_t γ^t Σ_i [ w̄_it (r_it − q(s_it, a_it)) + w̄_i,t−1 v(s_it) ],   v(s) = Σ_a π(a|s) q(s, a)

where w_it is the product of π/b over the steps 0 … t of episode i, and w̄_it its share of Σ_i w_it. With q =
0 it is per-decision weighted importance sampling; with a model's q, weighted doubly robust: the model
explains what it can, the weights correct what it gets wrong. After its end an episode keeps its last weight
and earns nothing.

What is estimated is the expected discounted return of an episode as the log's are cut: truncation is an end.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

import numpy as np
from scipy.stats import t as student

from qe_core.errors import LearningError
from qe_core.learning.arrays import Float64Array, require_discount
from qe_core.learning.empirical_mdp import EmpiricalMdp
from qe_core.rollout.off_policy_log import LoggedEpisodes
from qe_core.rollout.off_policy_model import model_values
from qe_core.rollout.off_policy_policies import require_policy

FOLDS = 5
"""Parts of the log: each is evaluated with a model of the others, so that no episode vouches for itself."""


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
        influence: how much each episode moved the value, mean 0, points, float64[E].
        effective_sample_size: as in `Estimate`.
    """

    estimator: Estimator
    value: float
    influence: Float64Array
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
            min(self.effective_sample_size, other.effective_sample_size),
        )  # fmt: skip

    def estimate(self, confidence_level: float) -> Estimate:
        """Return the value with its two-sided interval.

        Student's t with as many degrees of freedom as effective episodes, less one: an interval from few
        heavy episodes is as wide as one from that few.
        """
        error, size = self.standard_error, self.effective_sample_size
        reach = float(student.ppf(0.5 + confidence_level / 2.0, size - 1.0)) * error
        return Estimate(
            self.estimator, self.value, self.value - reach, self.value + reach, error, confidence_level, size
        )


def importance_weights(log: LoggedEpisodes, policy: Float64Array) -> Float64Array:
    """Return w_it, float64[E, horizon]: how much likelier each episode's steps 0 … t are under the policy."""
    chances = policy[log.transitions.state, log.transitions.action]
    return np.asarray(np.cumprod(log.by_step(chances / log.propensity, 1.0), axis=1), dtype=np.float64)


def effective_sample_size(weights: Float64Array) -> float:
    """Return (Σw)² / Σw², the least over steps, 0 where no episode has any weight; float64[E, T]."""
    squares = (weights**2).sum(axis=0)
    return float(np.where(squares > 0.0, weights.sum(axis=0) ** 2 / np.maximum(squares, 1e-300), 0.0).min())


def evaluate(
    log: LoggedEpisodes, policy: Float64Array, discount: float, estimator: Estimator = Estimator.DOUBLY_ROBUST
) -> Evaluation:
    """Return what the log says an episode of this policy is worth.

    Args:
        log: at least two episodes in which the policy's actions occur; ask `off_policy_support` first.
        policy: probability per action, float64[S, A].
        discount: γ in [0, 1).
        estimator: which.

    Raises:
        LearningError: the discount or the policy is malformed, or hardly an episode has any weight.
    """
    require_discount(discount)
    require_policy("the policy", policy)
    weights = importance_weights(log, policy)
    size = effective_sample_size(weights) if len(log) > 1 else 0.0
    if size <= 1.0:
        raise LearningError(
            f"{len(log)} episodes are worth {size:.2g} of the policy's own: no interval follows from that; "
            "log more, or with more exploration"
        )
    match estimator:
        case Estimator.IMPORTANCE_SAMPLING:
            explained, expected = np.zeros(len(log.propensity)), np.zeros(len(log.propensity))
        case Estimator.DOUBLY_ROBUST:
            explained, expected = _cross_fitted(log, policy, discount)
        case _:
            assert_never(estimator)
    value, influence = _weighted(log, weights, explained, expected, discount)
    return Evaluation(estimator, value, influence, size)


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
    """Return the estimate and each episode's influence on it (its linear part, mean 0), float64[E]."""
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
        influence += (share * (numbers - mean)) @ factor
    return value, influence
