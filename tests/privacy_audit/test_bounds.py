"""The audit's own formulas by hand, and that its bounds hold as often as they say."""

import math

import numpy as np
import pytest
from scipy import stats

from qe_core.privacy.accounting import NANO, epsilon_of
from tests.privacy_audit.bounds import (
    best_epsilon,
    epsilon_from_rates,
    gaussian_epsilon,
    rate_above,
    rate_below,
    separation_of,
)
from tests.privacy_audit.cases import DELTA
from tests.privacy_audit.judging import lower_bounds


def test_rates_that_never_or_always_happened_by_hand() -> None:
    # 0 of 100 with 5 %: 1 − 0.05^(1/100) = 0.0295; 100 of 100 the mirror image.
    none, every = np.array([0]), np.array([100])
    assert rate_above(none, 100, 0.05)[0] == pytest.approx(0.029513, abs=1e-6)
    assert rate_below(every, 100, 0.05)[0] == pytest.approx(1 - 0.029513, abs=1e-6)
    assert rate_below(none, 100, 0.05)[0] == 0.0
    assert rate_above(every, 100, 0.05)[0] == 1.0


@pytest.mark.parametrize("count", [1, 7, 50])
def test_rates_are_where_the_binomial_tail_is_the_error(count: int) -> None:
    low, high = (rate(np.array([count]), 100, 0.01)[0] for rate in (rate_below, rate_above))
    assert stats.binom.sf(count - 1, 100, low) == pytest.approx(0.01)
    assert stats.binom.cdf(count, 100, high) == pytest.approx(0.01)


def test_epsilon_from_rates_by_hand() -> None:
    found = epsilon_from_rates(np.array([0.3, 0.1, 0.0]), np.array([0.1, 0.3, 0.5]), 0.01)
    assert found.tolist() == pytest.approx([math.log(2.9), 0.0, 0.0])


@pytest.mark.parametrize(("separation", "delta"), [(1.0, 1e-5), (0.22, 1e-6), (3.0, 1e-9)])
def test_the_gaussian_epsilon_is_where_the_best_guess_reaches_delta(separation: float, delta: float) -> None:
    epsilon = gaussian_epsilon(separation, delta)
    # δ is the largest excess TPR − e^ε FPR over all thresholds, found here by search.
    threshold = np.linspace(-5, 12, 1_000_001)
    excess = stats.norm.sf(threshold - separation) - np.exp(epsilon) * stats.norm.sf(threshold)
    assert excess.max() == pytest.approx(delta, rel=1e-4)


@pytest.mark.parametrize("nano_rho", [24_355_970, NANO, 4 * NANO])
def test_the_claim_is_above_the_exact_epsilon_but_not_far(nano_rho: int) -> None:
    claimed, exact = epsilon_of(nano_rho, 1e-6), gaussian_epsilon(separation_of(nano_rho), 1e-6)
    assert exact < claimed < 1.1 * exact


def test_more_runs_can_prove_more() -> None:
    provable = [best_epsilon(1.0, runs, DELTA, 1e-3) for runs in (100, 10_000, 1_000_000, 100_000_000)]
    assert provable == sorted(provable)
    assert provable[-1] < gaussian_epsilon(1.0, DELTA)


def test_bounds_exceed_the_truth_no_oftener_than_they_say() -> None:
    # 400 audits of N(0, 1) against N(1, 1), each allowed to be wrong with chance 0.3: at most 120 expected,
    # 175 are 6 sd more. Seed 3. That bounds are of use: half of them reach two thirds of μ.
    generator = np.random.default_rng(3)
    truth = gaussian_epsilon(1.0, DELTA)
    found = [
        lower_bounds(generator.normal(1, 1, (800, 1)), generator.normal(0, 1, (800, 1)), 0.3)
        for _ in range(400)
    ]
    assert sum(epsilon > truth or separation > 1.0 for epsilon, _, separation in found) < 175
    assert np.median([separation for *_, separation in found]) > 0.67


def test_neighbours_that_are_the_same_prove_nothing() -> None:
    # Either bound is above 0 with chance 10^-9.
    generator = np.random.default_rng(4)
    epsilon, _, separation = lower_bounds(
        generator.normal(size=(800, 3)), generator.normal(size=(800, 3)), 1e-9
    )
    assert (epsilon, separation) == (0.0, 0.0)
