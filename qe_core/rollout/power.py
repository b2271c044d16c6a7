"""How many units a test needs, and what those it has could have shown.

What belongs here: power and sample sizes, fixed beforehand and sequential. What does not: what was found.
"""

from functools import lru_cache
from math import ceil, sqrt

from scipy.special import nctdtr, ndtri, stdtrit
from statsmodels.stats.power import TTestIndPower

from qe_core.errors import RolloutError
from qe_core.rollout.differences import Difference
from qe_core.rollout.sequential import critical_t

LARGEST_ARM = 1 << 24


def power_at(difference: Difference, effect: float, significance: float) -> float:
    """Return the power of the two-sided t-test with the units there are, looked at once, in [0, 1].

    Args:
        difference: what there is; only its degrees of freedom and information count.
        effect: true standardised effect.
        significance: of the test.
    """
    if difference.freedom <= 0.0:
        return 0.0
    critical = float(stdtrit(difference.freedom, 1.0 - significance / 2.0))
    shift = effect * sqrt(difference.information)
    above = 1.0 - float(nctdtr(difference.freedom, shift, critical))
    return min(1.0, above + float(nctdtr(difference.freedom, shift, -critical)))


@lru_cache(maxsize=256)
def fixed_sample_size(effect: float, significance: float, power: float) -> int:
    """Return the units each arm needs for a two-sided t-test that is looked at once.

    Args:
        effect: true standardised effect, > 0.
        significance: of the test.
        power: wanted, in (significance, 1).
    """
    needed = TTestIndPower().solve_power(effect_size=effect, alpha=significance, power=power)
    return ceil(float(needed))


@lru_cache(maxsize=256)
def sequential_sample_size(effect: float, significance: float, power: float, prior_scale: float) -> int:
    """Return the units each of two equal arms needs until the sequential test has passed with that power.

    At that size the expected t-statistic lies above the bound by the normal quantile of the power. That the
    test may have passed before is left out, so the figure is a little too large.

    Args:
        effect: true standardised effect, > 0.
        significance: of the test, one-sided.
        power: wanted, in (0, 1).
        prior_scale: scale the test is tuned for.

    Raises:
        RolloutError: for an effect too small to be found with 16 million units.
    """
    reserve = float(ndtri(power))
    low, high = 2, 4
    while not _is_enough(high, effect, significance, reserve, prior_scale):
        low, high = high, 2 * high
        if high > LARGEST_ARM:
            raise RolloutError(
                f"an effect of {effect} needs more than {LARGEST_ARM} units an arm: ask for a larger one"
            )
    while high - low > 1:
        middle = (low + high) // 2
        if _is_enough(middle, effect, significance, reserve, prior_scale):
            high = middle
        else:
            low = middle
    return high


def _is_enough(count: int, effect: float, significance: float, reserve: float, prior_scale: float) -> bool:
    """Say whether arms of ``count`` units pass with the reserve."""
    information = count / 2
    bound = critical_t(2.0 * count - 2.0, prior_scale**2 * information, significance)
    return effect * sqrt(information) >= bound + reserve
