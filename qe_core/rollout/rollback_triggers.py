"""When recent tasks have become worse than the baseline's: the ordered triggers and a sequential test.

What belongs here: the comparison of windows, exact where a threshold was ordered, and the evidence of harm
that may be looked at as often as one likes. What does not: windows and counts (`rollback_windows`), the
verdict and what holds it back (`rollback`).

The sequential test is an e-process. For tasks since a start it mixes the likelihood ratio of "worse by θ
standard deviations" against "no worse" over θ ~ half-normal of scale τ; with g = τ²·n·m/(n + m) for n
baseline and m recent tasks,

    E = 2 · (1 + g)^(−1/2) · exp(½ Z² g/(1 + g)) · Φ(Z · (g/(1 + g))^½)

(Robbins 1970; Howard et al. 2021, one-sided normal mixture). Z is the signed root of the likelihood ratio
statistic, which for few or rare failures is far closer to normal than a Wald statistic: the binomial
deviance for success, (ν + 1)·log(1 + t²/ν) of Welch's t for returns. The baseline may be small: for n fixed
and m growing, the difference at information nm/(n + m) has independent increments, as a Brownian motion has.
Evidence of success and of returns is averaged, and harm may begin at any time: with E_j counted from the
j-th possible start,

    M = Σ_j E_j / ((j + 1)(j + 2))

has mean at most 1 as long as nothing is worse, so it ever passes 1/α with probability at most α (Ville 1939).
That is exact for normal data of known spread, and holds for others as the normal approximation does; the
operating curve measures how well.
"""

import numpy as np
from scipy.special import log_ndtr, logsumexp, xlogy

from qe_core.learning.arrays import BoolArray, Float64Array, Int64Array
from qe_core.rollout.rollback_windows import MICROPOINTS, TaskCounts

PARTS = 1_000_000
"""Units of 1 in which a success rate's threshold is compared."""


def success_drop_reached(baseline: TaskCounts, recent: TaskCounts, drop_points: float) -> BoolArray:
    """Return where the success rate fell by this many percentage points or more, exactly; shape of both.

    s₀/n₀ − s₁/n₁ ≥ d is compared as s₀·n₁ − s₁·n₀ ≥ d·n₀·n₁ in whole numbers.
    """
    fallen = baseline.successes * recent.known - recent.successes * baseline.known
    threshold = round(drop_points / 100 * PARTS)
    return np.asarray(fallen * PARTS >= threshold * baseline.known * recent.known)


def return_drop_reached(baseline: TaskCounts, recent: TaskCounts, drop_points: float) -> BoolArray:
    """Return where the mean return fell by this many points or more, exactly; shape of both."""
    fallen = baseline.return_total * recent.tasks - recent.return_total * baseline.tasks
    return np.asarray(fallen >= round(drop_points * MICROPOINTS) * baseline.tasks * recent.tasks)


def success_error(baseline: TaskCounts, recent: TaskCounts, drop_points: float) -> Float64Array:
    """Return the standard error of a drop of this many percentage points, in [0, 1]; shape of both.

    With the baseline's rate, one success and one failure added so that 100 of 100 is not certainty, and for
    recent tasks the larger spread of that and of the dropped rate: near 100 % failures are rare and come in
    bunches. Infinite where success is known nowhere.
    """
    rate = (baseline.successes + 1) / (baseline.known + 2)
    dropped = np.maximum(rate - drop_points / 100, 0.0)
    spread, spread_then = rate * (1.0 - rate), dropped * (1.0 - dropped)
    return np.sqrt(
        spread * _inverse(baseline.known) + np.maximum(spread, spread_then) * _inverse(recent.known)
    )


def return_error(baseline: TaskCounts, recent: TaskCounts) -> Float64Array:
    """Return the standard error of a drop of the mean return (Welch), points; infinite below two tasks."""
    return np.sqrt(_variance_of_mean(baseline) + _variance_of_mean(recent))


def log_harm(baseline: TaskCounts, recent: TaskCounts, effect_scale: float) -> Float64Array:
    """Return the log evidence that tasks since a start are worse than the baseline's; shape of both.

    Args:
        baseline: its window.
        recent: tasks since the start.
        effect_scale: τ, standard deviations by which harm is expected to lower success or return.
    """
    evidence = [
        _log_mixture(
            _success_root(baseline, recent), effect_scale**2 * _information(baseline.known, recent.known)
        ),
        _log_mixture(
            _return_root(baseline, recent), effect_scale**2 * _information(baseline.tasks, recent.tasks)
        ),
    ]
    return np.asarray(np.logaddexp(*evidence) - np.log(2.0))


def log_harm_since_any(log_harms: Float64Array, start: Int64Array) -> Float64Array:
    """Return log M over the starts on the last axis.

    Args:
        log_harms: from each start, float64[..., K]; −inf for a start that is not looked at.
        start: number j of each start, int64[..., K].
    """
    return np.asarray(logsumexp(log_harms - np.log((start + 1.0) * (start + 2.0)), axis=-1))


def _log_mixture(root: Float64Array, gain: Float64Array) -> Float64Array:
    """Return log E of the module's formula, given Z and g."""
    share = gain / (1.0 + gain)
    return np.asarray(
        np.log(2.0) - 0.5 * np.log1p(gain) + 0.5 * root**2 * share + log_ndtr(root * np.sqrt(share))
    )


def _success_root(baseline: TaskCounts, recent: TaskCounts) -> Float64Array:
    """Return the signed root of the binomial deviance, above 0 where recent tasks succeed less."""
    known, successes = baseline.known + recent.known, baseline.successes + recent.successes
    likelihood = (
        _binomial(baseline.successes, baseline.known) + _binomial(recent.successes, recent.known)
        - _binomial(successes, known)
    )  # fmt: skip
    fallen = baseline.successes * recent.known - recent.successes * baseline.known
    return np.asarray(np.sign(fallen) * np.sqrt(np.maximum(2.0 * likelihood, 0.0)))


def _return_root(baseline: TaskCounts, recent: TaskCounts) -> Float64Array:
    """Return the signed root of (ν + 1)·log(1 + t²/ν) of Welch's t, above 0 where returns are lower."""
    parts = _variance_of_mean(baseline), _variance_of_mean(recent)
    variance = parts[0] + parts[1]
    is_measured = np.isfinite(variance) & (variance > 0.0)
    spread = np.where(is_measured, variance, 1.0)
    weight = parts[0] ** 2 / np.maximum(baseline.tasks - 1, 1)
    weight = weight + parts[1] ** 2 / np.maximum(recent.tasks - 1, 1)
    freedom = np.where(is_measured, spread**2 / np.where(weight > 0.0, weight, 1.0), 1.0)
    fallen = np.where(is_measured, baseline.mean_return - recent.mean_return, 0.0)
    square = (freedom + 1.0) * np.log1p(fallen**2 / spread / freedom)
    return np.asarray(np.sign(fallen) * np.sqrt(square))


def _variance_of_mean(counts: TaskCounts) -> Float64Array:
    """Return the squared standard error of the mean return, points²; infinite below two tasks."""
    return np.where(counts.tasks > 1, counts.return_variance / np.maximum(counts.tasks, 1), np.inf)


def _binomial(successes: Int64Array, tasks: Int64Array) -> Float64Array:
    """Return the largest log-likelihood of these successes."""
    rate = successes / np.maximum(tasks, 1)
    return np.asarray(xlogy(successes, rate) + xlogy(tasks - successes, 1.0 - rate))


def _information(baseline: Int64Array, recent: Int64Array) -> Float64Array:
    """Return n·m/(n + m), 0 where either is 0."""
    return np.asarray(baseline * recent / np.maximum(baseline + recent, 1))


def _inverse(count: Int64Array) -> Float64Array:
    """Return 1/n, infinite for 0."""
    return np.where(count > 0, 1.0 / np.maximum(count, 1), np.inf)
