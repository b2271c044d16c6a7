"""Estimating effects, and how far values spread around what they add up to, from noisy means.

What belongs here: the linear model with pair residuals, and its variances. What does not: which effects there
are (`effects`), and means that depend on values themselves (`pooling`).

The value of an action in a state is the sum of its effects and a residual of that pair alone:

    q(s, a) = Σ_k x_k(s)·(w_0k + w_ak) + r(s, a),   w ~ N(expected, effect variance),   r ~ N(0, residual)

and what is seen of it has an error of known variance. Both variances come from the same data (empirical
Bayes: Lindley & Smith 1972; by expectation and maximisation, Dempster, Laird & Rubin 1977). So nobody has to
say how far values are additive: where they are not, the residual variance grows, and a pair is judged by its
own data.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec, Self, TypeVar

import numpy as np
from scipy.linalg.lapack import dpotrf, dpotri
from threadpoolctl import ThreadpoolController

from qe_core.hierarchy.effects import EffectDesign, Level
from qe_core.learning.arrays import Float64Array
from qe_core.learning.q_table import DEFAULT_CONFIDENCE, ConfidenceSettings, QTable, noise_variance

ASSUMED_WEIGHT = 4.0
"""How many effects, or residuals, the variance that is assumed beforehand counts for."""

ROUNDS = 10
"""Rounds of estimating variances when there is nothing to start from."""

LIBRARIES = ThreadpoolController()
"""Of linear algebra, as loaded with this module."""

Given = ParamSpec("Given")
Returned = TypeVar("Returned")


def single_threaded(function: Callable[Given, Returned]) -> Callable[Given, Returned]:
    """Return the function with its linear algebra kept on the caller's thread.

    On matrices of a few hundred rows, threads that wait actively for each other gain nothing on an idle
    machine, cost many times the time on a busy one, and change last digits.
    """

    @wraps(function)
    def limited(*args: Given.args, **kwargs: Given.kwargs) -> Returned:
        with LIBRARIES.limit(limits=1, user_api="blas"):
            return function(*args, **kwargs)

    return limited


@dataclass(frozen=True, slots=True)
class Variances:
    """How far things spread around what is expected of them.

    Attributes:
        shared: of what all actions share, points².
        by_level: of what an action adds, by the ``Level`` of the column, points², float64[3].
        residual: of a pair around the sum of its effects, points².
    """

    shared: float
    by_level: Float64Array
    residual: float

    @classmethod
    def assumed(cls, confidence: ConfidenceSettings) -> Self:
        """Return what is assumed before any evidence: the spread of true values around a prior, for each."""
        variance = confidence.prior_variance
        return cls(variance, np.full(len(Level), variance), variance)

    def of_effects(self, design: EffectDesign, action_count: int) -> Float64Array:
        """Return the variance of each effect, points², float64[1 + A, K]."""
        spread = np.tile(self.by_level[design.levels], (1 + action_count, 1))
        spread[0] = self.shared
        return spread


@dataclass(frozen=True, slots=True)
class EffectModel:
    """The model with given variances: what it makes of means that were seen.

    Attributes:
        design: the effects in each state.
        expected: of the effects, points, float64[1 + A, K].
        variances: as believed.
        precision: 1 over the variance of what is seen around the effects, points⁻², float64[S, A]; 0 where
            nothing is seen.
        covariance: of the effects after what is seen, points², float64[(1 + A)·K, (1 + A)·K].
    """

    design: EffectDesign
    expected: Float64Array
    variances: Variances
    precision: Float64Array
    covariance: Float64Array

    @classmethod
    def of(
        cls, design: EffectDesign, expected: Float64Array, variances: Variances, noise: Float64Array
    ) -> Self:
        """Return the model of means seen with these error variances, points², infinite where nothing is."""
        precision = 1.0 / (variances.residual + noise)
        columns = design.columns
        blocks = (columns.T[np.newaxis] * precision.T[:, np.newaxis]) @ columns
        rows, width = expected.shape
        parts = np.zeros((rows, width, rows, width))
        parts[0, :, 0] = blocks.sum(axis=0)
        for row, block in enumerate(blocks, start=1):
            parts[0, :, row] = parts[row, :, 0] = parts[row, :, row] = block
        information = parts.reshape(expected.size, expected.size)
        spread = variances.of_effects(design, rows - 1)
        information[np.diag_indices_from(information)] += (1.0 / spread).ravel()
        return cls(design, expected, variances, precision, _inverse(information))

    @property
    def trust(self) -> Float64Array:
        """How far a pair's own mean counts against its effects, in [0, 1), float64[S, A]."""
        return self.variances.residual * self.precision

    def effects(self, seen: Float64Array) -> Float64Array:
        """Return the expected effects given means, points, float64[1 + A, K]; unseen means must be finite."""
        by_action = (self.design.columns.T @ (self.precision * seen)).T
        evidence = np.concatenate([by_action.sum(axis=0, keepdims=True), by_action])
        prior = self.expected / self.variances.of_effects(self.design, len(by_action))
        return np.asarray((self.covariance @ (evidence + prior).ravel()).reshape(self.expected.shape))

    def variance_of_sum(self) -> Float64Array:
        """Return the variance of what the effects add up to, points², float64[S, A]."""
        rows, width = self.expected.shape
        parts = self.covariance.reshape(rows, width, rows, width)
        columns = self.design.columns
        blocks = (
            parts[0, :, 0] + parts[0, :, row] + parts[row, :, 0] + parts[row, :, row]
            for row in range(1, rows)
        )
        return np.stack([((columns @ block) * columns).sum(axis=1) for block in blocks], axis=1)

    def next_variances(
        self, effects: Float64Array, seen: Float64Array, confidence: ConfidenceSettings
    ) -> Variances:
        """Return the variances that make what was seen more likely: one round of estimation.

        Args:
            effects: given what is seen.
            seen: means, points, float64[S, A].
            confidence: gives what is assumed beforehand.
        """
        is_seen, trust = self.precision > 0, self.trust
        off = effects - self.expected
        squares = off**2 + np.diag(self.covariance).reshape(off.shape)
        residual = trust * (seen - self.design.values(effects))
        unsure = self.variances.residual * (1.0 - trust) + trust**2 * self.variance_of_sum()
        assumed = confidence.prior_variance
        return Variances(
            shared=_mean(squares[0], assumed),
            by_level=np.array([_mean(squares[1:, self.design.levels == level], assumed) for level in Level]),
            residual=_mean((residual**2 + unsure)[is_seen], assumed),
        )


@single_threaded
def estimated_effects(
    table: QTable,
    design: EffectDesign,
    expected: Float64Array,
    confidence: ConfidenceSettings = DEFAULT_CONFIDENCE,
) -> Float64Array:
    """Return the effects that explain a table's values, points, float64[1 + A, K].

    Args:
        table: of the design's states, in their order.
        design: the effects in each of them.
        expected: of the effects, points, float64[1 + A, K].
        confidence: what is assumed about noise and spread before it is measured.
    """
    noise = np.where(
        table.visits > 0, noise_variance(table.statistics, confidence) / np.maximum(table.visits, 1), np.inf
    )
    effects, variances = expected, Variances.assumed(confidence)
    for _ in range(ROUNDS):
        model = EffectModel.of(design, expected, variances, noise)
        effects = model.effects(table.q)
        variances = model.next_variances(effects, table.q, confidence)
    return effects


def _inverse(matrix: Float64Array) -> Float64Array:
    """Return the inverse of a symmetric positive definite matrix, by its Cholesky factor."""
    factor, _ = dpotrf(matrix, lower=1, clean=1)
    lower, _ = dpotri(factor, lower=1)
    return np.asarray(lower + np.tril(lower, -1).T)


def _mean(squares: Float64Array, assumed: float) -> float:
    """Return the mean of squares, with the assumed variance among them."""
    return float((ASSUMED_WEIGHT * assumed + squares.sum()) / (ASSUMED_WEIGHT + squares.size))
