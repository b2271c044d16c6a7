"""Always-valid evidence: e-values and bounds that hold at every look, however often one looks.

What belongs here: the mixture t-test and its inversion. What does not: where the estimate and its standard
error come from (`differences`) and what follows from an e-value (`verdicts`).

The test of "no better" mixes the likelihood ratio of the standardised effect over a half-normal prior of
scale τ, with the right Haar prior on the unknown spread. For normal data it is a test martingale in the
scale-invariant filtration, so the chance of ever passing 1/α without an effect is at most α (Ville 1939), at
any sample size: H. Wang and A. Ramdas, "Anytime-valid t-tests and confidence sequences for Gaussian means
with unknown variance", arXiv:2310.03722 (there with the whole normal as prior). For other data it
holds as the central limit theorem does, as in I. Waudby-Smith, D. Arbour, R. Sinha, E. Kennedy and A. Ramdas,
"Time-uniform central limit theory and asymptotic confidence sequences", Annals of Statistics 52(6), 2024; the
gates measure how well.

With t the t-statistic on ν degrees of freedom and g = τ² × information, the information being the estimate's
in units of the spread:

    e = 2 · (1 + g)^(−1/2) · ((1 + t²/ν) / (1 + t²/(ν (1 + g))))^((ν + 1)/2) · T_{ν+1}(posterior t)

where the last factor is the posterior probability of a positive effect, which makes the prior one-sided.
"""

from math import exp, inf, isfinite, log, log1p, sqrt

from scipy.special import stdtr

from qe_core.rollout.differences import Difference

LARGEST_LOG = 700.0
"""Above it an e-value is cut, so that it stays a finite number."""

NEWTON_STEPS = 8
NEWTON_PRECISION = 1e-9
"""The start, exact for the two-sided test at twice the level, is so close that two or three steps do."""


def e_value(
    difference: Difference, prior_scale: float, *, null: float = 0.0, is_benefit: bool = True
) -> float:
    """Return the evidence that the effect lies above ``null``: its mean is at most 1 where it does not.

    Args:
        difference: estimate with standard error, degrees of freedom and information.
        prior_scale: scale τ of the standardised effects expected, > 0.
        null: the effect tested against, in the estimate's unit.
        is_benefit: whether to look for effects above ``null``; else below.
    """
    distance = difference.estimate - null if is_benefit else null - difference.estimate
    if difference.standard_error > 0.0:
        t = distance / difference.standard_error
    else:
        t = 0.0 if distance == 0.0 else inf if distance > 0.0 else -inf
    return exp(min(LARGEST_LOG, log_e_value(t, difference.freedom, prior_scale**2 * difference.information)))


def log_e_value(t: float, freedom: float, gain: float) -> float:
    """Return the logarithm of the one-sided e-value; the module states the formula.

    Args:
        t: t-statistic; may be infinite.
        freedom: its degrees of freedom ν; 0 or less for no evidence.
        gain: g = τ² × information, 0 for no evidence.
    """
    if freedom <= 0.0 or gain <= 0.0:
        return 0.0
    if isfinite(t):
        shrunk = 1.0 + t * t / (freedom * (1.0 + gain))
        growth = log1p(t * t / freedom) - log(shrunk)
        posterior = t * sqrt(gain / (1.0 + gain) * (freedom + 1.0) / (freedom * shrunk))
    else:
        growth = log1p(gain)
        posterior = sqrt(gain * (freedom + 1.0)) * (1.0 if t > 0 else -1.0)
    probability = float(stdtr(freedom + 1.0, posterior))
    if probability <= 0.0:
        return -LARGEST_LOG
    return log(2.0) - 0.5 * log1p(gain) + 0.5 * (freedom + 1.0) * growth + log(probability)


def critical_t(freedom: float, gain: float, significance: float) -> float:
    """Return the t-statistic at which the e-value reaches 1/significance; infinite where none does.

    Args:
        freedom: degrees of freedom ν.
        gain: g = τ² × information.
        significance: α, in (0, 0.5).
    """
    wanted = -log(significance)
    if log_e_value(inf, freedom, gain) <= wanted:
        return inf
    ratio = exp(2.0 / (freedom + 1.0) * (0.5 * log1p(gain) - log(2.0 * significance)))
    t = sqrt(freedom * (ratio - 1.0) / (1.0 - ratio / (1.0 + gain)))
    for _ in range(NEWTON_STEPS):
        square = t * t / freedom
        slope = (freedom + 1.0) * t / freedom * (1.0 / (1.0 + square) - 1.0 / (1.0 + gain + square))
        step = (wanted - log_e_value(t, freedom, gain)) / slope
        t += step
        if abs(step) < NEWTON_PRECISION * t:
            break
    return t


def bounds(
    difference: Difference, prior_scale: float, significance: float
) -> tuple[float | None, float | None]:
    """Return the always-valid lower and upper bound of the effect; None where there is none yet.

    Each holds at all looks together with probability 1 − significance. The lower one lies above a number
    exactly where the e-value against that number reaches 1/significance.

    Args:
        difference: the estimate.
        prior_scale: scale τ of the standardised effects expected.
        significance: chance of each bound ever missing the truth, in (0, 0.5).
    """
    reach = critical_t(difference.freedom, prior_scale**2 * difference.information, significance)
    if not isfinite(reach):
        return None, None
    width = reach * difference.standard_error
    return difference.estimate - width, difference.estimate + width
