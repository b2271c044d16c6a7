"""What error rates of a guess say about ε: lower bounds of a stated confidence, and how high they can be.

What belongs here: formulas of rates and counts. What does not: running a mechanism (`runs`), choosing how to
guess (`judging`).

Whoever guesses from one output whether a unit was there says so with rate TPR when it was and with rate FPR
when it was not. (ε, δ) promises TPR ≤ e^ε · FPR + δ for every way to guess (Kairouz, Oh & Viswanath 2015), so
ln((TPR − δ) / FPR) is a lower bound on ε. A mechanism that loses ρ by Gaussian noise promises more: guessing
is no easier than telling N(0, 1) from N(μ, 1) with μ² = 2ρ (Dong, Roth & Su 2022), so Φ⁻¹(TPR) − Φ⁻¹(FPR) is
a lower bound on μ. It needs far fewer runs to come close (Nasr et al. 2023).
"""

import math

import numpy as np
from scipy import optimize, stats

from qe_core.learning.arrays import Float64Array, Int64Array
from qe_core.privacy.accounting import NANO


def rate_below(count: Int64Array, trials: int, error: float) -> Float64Array:
    """Return rates that the true rate is above but with chance ``error`` (Clopper & Pearson 1934)."""
    return np.where(count > 0, stats.beta.ppf(error, np.maximum(count, 1), trials - count + 1), 0.0)


def rate_above(count: Int64Array, trials: int, error: float) -> Float64Array:
    """Return rates that the true rate is below but with chance ``error`` (Clopper & Pearson 1934)."""
    return np.where(count < trials, stats.beta.ppf(1 - error, count + 1, np.maximum(trials - count, 1)), 1.0)


def epsilon_from_rates(
    true_positive: Float64Array, false_positive: Float64Array, delta: float
) -> Float64Array:
    """Return ln((TPR − δ) / FPR), 0 where that says nothing."""
    return np.log(np.maximum(true_positive - delta, false_positive) / false_positive)


def separation_from_rates(true_positive: Float64Array, false_positive: Float64Array) -> Float64Array:
    """Return Φ⁻¹(TPR) − Φ⁻¹(FPR)."""
    return np.asarray(stats.norm.ppf(true_positive) - stats.norm.ppf(false_positive))


def separation_of(nano_rho: int) -> float:
    """Return μ of a Gaussian mechanism that loses ``nano_rho``: μ² = 2ρ."""
    return math.sqrt(2 * nano_rho / NANO)


def gaussian_epsilon(separation: float, delta: float) -> float:
    """Return the smallest ε that a Gaussian mechanism of μ = ``separation`` keeps with δ, exactly.

    δ(ε) = Φ(μ/2 − ε/μ) − e^ε Φ(−μ/2 − ε/μ) (Balle & Wang 2018, theorem 8).
    """

    def excess(epsilon: float) -> float:
        ratio, half = epsilon / separation, separation / 2
        return float(
            stats.norm.cdf(half - ratio) - math.exp(epsilon + stats.norm.logcdf(-half - ratio)) - delta
        )

    if separation <= 0 or excess(0.0) <= 0:
        return 0.0
    return float(optimize.brentq(excess, 0.0, separation**2 + 40 * separation))


def best_epsilon(separation: float, trials: int, delta: float, error: float) -> float:
    """Return about the highest lower bound that ``trials`` guesses can give of a Gaussian mechanism of μ.

    The best guess has a threshold t: TPR = Φ(μ − t), FPR = Φ(−t). Counts are put at what is expected.
    """
    threshold = np.linspace(-1.0, 6.0, 1_000)
    false_positive = np.rint(trials * stats.norm.sf(threshold)).astype(np.int64)
    true_positive = np.rint(trials * stats.norm.sf(threshold - separation)).astype(np.int64)
    found = epsilon_from_rates(
        rate_below(true_positive, trials, error), rate_above(false_positive, trials, error), delta
    )
    return float(found.max())
