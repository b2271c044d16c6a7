"""The dense Q-table: values, visits and target statistics, and what follows from them alone.

What belongs here: the table, greedy choice over visited pairs, confidence, dyadic weights.
What does not: learning (updates, replay, empirical MDP) and combining tables (hierarchy).
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
    require_finite,
    require_positive,
    require_shape,
)
from qe_core.learning.target_statistics import TargetStatistics

WEIGHT_QUANTUM = 2.0**-20
"""Weights are whole multiples of this, so that their sums below 2^33 visits are exact in float64."""


@dataclass(frozen=True, slots=True)
class QTable:
    """Action values of one agent, category or the fleet; never changed in place.

    Attributes:
        q: values in points, float64[S, A].
        visits: own evidence per pair, int64[S, A]; a value with zero visits is a prior, not a fact.
        target_mean: mean TD target per pair, float64[S, A].
        target_m2: sum of squared deviations of the TD targets, float64[S, A].
    """

    q: Float64Array
    visits: Int64Array
    target_mean: Float64Array
    target_m2: Float64Array

    def __post_init__(self) -> None:
        if self.q.ndim != 2:
            raise LearningError(f"q must have shape (states, actions), got {self.q.shape}; reshape it first")
        for name in ("visits", "target_mean", "target_m2"):
            require_shape(name, getattr(self, name), self.q.shape)
        if self.visits.dtype != np.int64:
            raise LearningError(
                f"visits must be int64, got {self.visits.dtype}; convert with astype(np.int64)"
            )

    @classmethod
    def zeros(cls, state_count: int, action_count: int) -> Self:
        """Return a table without any evidence.

        Raises:
            LearningError: a count is below 1.
        """
        if state_count < 1 or action_count < 1:
            raise LearningError(
                f"a table needs at least one state and one action, got {state_count} × {action_count}; "
                "take the counts from the agent's contract"
            )
        shape = (state_count, action_count)
        return cls(np.zeros(shape), np.zeros(shape, dtype=np.int64), np.zeros(shape), np.zeros(shape))

    @property
    def state_count(self) -> int:
        """Number of rows."""
        return int(self.q.shape[0])

    @property
    def action_count(self) -> int:
        """Number of columns."""
        return int(self.q.shape[1])

    @property
    def statistics(self) -> TargetStatistics:
        """Visits, mean and squared deviations of the TD targets as mergeable statistics."""
        return TargetStatistics(self.visits, self.target_mean, self.target_m2)

    def validate(self) -> Self:
        """Return this table, checked.

        Raises:
            LearningError: a value is not finite, or visits or squared deviations are negative.
        """
        for name in ("q", "target_mean", "target_m2"):
            require_finite(name, getattr(self, name))
        for name in ("visits", "target_m2"):
            flat = getattr(self, name).reshape(-1)
            if (flat < 0).any():
                raise LearningError(
                    f"{name} must not be negative, but {name_rows(flat < 0, flat)}; "
                    "rebuild the table from its log"
                )
        return self

    def greedy(self, minimum_visits: int = 1, fallback: int = -1) -> npt.NDArray[np.int64]:
        """Return the best eligible action per state, int64[S]; the lowest index among equals.

        Args:
            minimum_visits: see ``eligible_pairs``.
            fallback: what to answer for states without any visit.
        """
        return greedy_actions(self.q, eligible_pairs(self.visits, minimum_visits), fallback)

    def state_values(self, minimum_visits: int = 1) -> Float64Array:
        """Return max q over eligible actions per state, float64[S]; 0 for states without any visit."""
        is_eligible = eligible_pairs(self.visits, minimum_visits)
        best = np.where(is_eligible, self.q, -np.inf).max(axis=1)
        return np.where(is_eligible.any(axis=1), best, 0.0)

    def with_statistics(self, statistics: TargetStatistics) -> Self:
        """Return this table with other visits and target statistics."""
        return replace(self, visits=statistics.count, target_mean=statistics.mean, target_m2=statistics.m2)


def eligible_pairs(visits: Int64Array, minimum_visits: int = 1) -> BoolArray:
    """Return which pairs a greedy choice may pick, bool[S, A].

    A pair is eligible from ``minimum_visits`` on. In a state that was visited but where no action reaches
    that, the most visited action alone is: there the policy copies what the log did, which is the idea of
    SPIBB (Laroche et al. 2019). Pairs never visited are never eligible, so an initial 0 cannot beat a
    measured loss.

    Args:
        visits: int64[S, A].
        minimum_visits: at least 1.

    Raises:
        LearningError: ``minimum_visits`` is below 1.
    """
    if minimum_visits < 1:
        raise LearningError(f"minimum_visits must be at least 1, got {minimum_visits}; 1 means any evidence")
    is_eligible = visits >= minimum_visits
    if minimum_visits > 1:
        is_thin = ~is_eligible.any(axis=1) & (visits > 0).any(axis=1)
        rows = np.flatnonzero(is_thin)
        is_eligible[rows, visits[rows].argmax(axis=1)] = True
    return is_eligible


def greedy_actions(values: Float64Array, is_eligible: BoolArray, fallback: int = -1) -> Int64Array:
    """Return the column of the highest eligible value per row, int64[S]; ``fallback`` where none is."""
    masked = np.where(is_eligible, values, -np.inf)
    return np.where(is_eligible.any(axis=1), masked.argmax(axis=1), fallback).astype(np.int64)


@dataclass(frozen=True, slots=True)
class ConfidenceSettings:
    """What is assumed about values and noise before any evidence.

    Attributes:
        prior_variance: spread of true action values around their prior, points².
        noise_variance: assumed variance of a TD target before it was measured, points².
        noise_weight: how many targets that assumption counts for.
    """

    prior_variance: float = 400.0
    noise_variance: float = 400.0
    noise_weight: float = 1.0

    def __post_init__(self) -> None:
        for name in ("prior_variance", "noise_variance", "noise_weight"):
            require_positive(name, getattr(self, name))


DEFAULT_CONFIDENCE = ConfidenceSettings()


def noise_variance(
    statistics: TargetStatistics, settings: ConfidenceSettings = DEFAULT_CONFIDENCE
) -> Float64Array:
    """Return (m2 + w·σ₀²) / (n + w) per pair in points², the assumed variance σ₀² counting for w targets."""
    total = statistics.m2 + settings.noise_weight * settings.noise_variance
    return np.asarray(total / (statistics.count + settings.noise_weight))


def confidence(
    statistics: TargetStatistics, settings: ConfidenceSettings = DEFAULT_CONFIDENCE
) -> Float64Array:
    """Return n / (n + κ) per pair, in [0, 1): the weight of own evidence against the prior.

    κ is noise variance over prior variance (the posterior mean of a normal value under normal noise; Gelman
    et al., Bayesian Data Analysis, 3rd ed., 2.5). At a given spread of targets the result rises with visits;
    at given visits it falls with the spread; it is 0 without visits.
    """
    noise = noise_variance(statistics, settings)
    return np.asarray(statistics.count / (statistics.count + noise / settings.prior_variance))


def quantised_weights(table: QTable, settings: ConfidenceSettings = DEFAULT_CONFIDENCE) -> Float64Array:
    """Return confidence × visits per pair, float64[S, A], in whole multiples of 2^-20.

    At least one quantum where there is a visit and 0 where there is none, so a sum of weights is 0 exactly
    where there is no evidence. Sums are exact, in any order, below 2^33 visits.
    """
    exact = confidence(table.statistics, settings) * table.visits
    quanta = np.maximum(np.rint(exact / WEIGHT_QUANTUM), (table.visits > 0).astype(np.float64))
    return np.asarray(quanta * WEIGHT_QUANTUM)
