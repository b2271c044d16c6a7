"""The e-value is the stated mixture, its mean is one without an effect, and the bounds are its inversion."""

from math import exp, inf, isfinite, sqrt

import numpy as np
import pytest
import ville
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from qe_core.rollout.differences import Difference, stratified_difference
from qe_core.rollout.sequential import bounds, critical_t, e_value, log_e_value
from tests.unit.rollout.samples import stage_of

SCALE = 0.3


def evidence(estimate: float, count: int = 100) -> Difference:
    """Return a difference of two arms of ``count`` units with standard deviation 1."""
    return Difference(estimate, sqrt(2 / count), 2 * count - 2, count / 2, 1.0, 0.0, count, count)


@pytest.mark.parametrize(
    ("t", "freedom", "information"), [(2.5, 18.0, 5.0), (-1.0, 38.0, 10.0), (4.0, 58.0, 15.0)]
)
def test_e_value_is_the_mixture_of_likelihood_ratios(t: float, freedom: float, information: float) -> None:
    """Under effect δ the t-statistic has the noncentral shift δ√information; δ is half-normal."""
    effects = np.linspace(0.0, 8.0 * SCALE, 4_001)
    ratios = stats.nct.pdf(t, freedom, effects * sqrt(information)) / stats.t.pdf(t, freedom)
    expected = integrate.simpson(2.0 * stats.norm.pdf(effects, 0.0, SCALE) * ratios, x=effects)
    assert exp(log_e_value(t, freedom, SCALE**2 * information)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("freedom", "gain"), [(8.0, 1.0), (38.0, 5.0), (398.0, 20.0)])
def test_mean_of_the_e_value_without_an_effect_is_one(freedom: float, gain: float) -> None:
    t = np.linspace(-80.0, 80.0, 160_001)
    values = np.exp([log_e_value(value, freedom, gain) for value in t.tolist()])
    assert np.trapezoid(values * stats.t.pdf(t, freedom), t) == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("information", [5.0, 50.0, 500.0])
@pytest.mark.parametrize("significance", [0.05, 0.001])
def test_large_samples_meet_the_half_normal_mixture_of_ville(information: float, significance: float) -> None:
    """The peer's boundary is on the sum in intrinsic time; ours is on t, so it is divided by √time."""
    peer = ville.normal_mixture(information, significance, 1.0 / SCALE**2, one_sided=True) / sqrt(information)
    assert critical_t(1e7, SCALE**2 * information, significance) == pytest.approx(float(peer), rel=1e-5)


def test_stream_is_bounded_as_by_ville() -> None:
    """Both are asymptotic sequences for the same effect at about the same tuning: widths within 5 %."""
    random = np.random.default_rng(4)
    is_treated = random.random(2_000) < 0.5
    rewards = random.normal(0.0, 1.0, 2_000) + 0.3 * is_treated
    peer = ville.AsymptoticABTest(alpha=0.1, t_opt=500).fit(rewards, is_treated.astype(float))
    scale = 2.0 / sqrt(peer._cs.rho_)
    for count in (200, 500, 2_000):
        seen, treated = rewards[:count], is_treated[:count]
        ours = stratified_difference([stage_of(seen[treated].tolist(), seen[~treated].tolist())])
        lower, upper = bounds(ours, scale, 0.05)
        assert lower is not None
        assert upper is not None
        width = float(peer.upper_[count - 1] - peer.lower_[count - 1])
        assert upper - lower == pytest.approx(width, rel=0.05)
        assert (lower + upper) / 2 == pytest.approx(float(peer.estimate_[count - 1]), abs=0.02)


@settings(deadline=None)
@given(st.floats(-2.0, 2.0), st.integers(5, 5_000), st.floats(-1.0, 1.0))
def test_lower_bound_lies_above_what_the_e_value_refutes(estimate: float, count: int, null: float) -> None:
    difference = evidence(estimate, count)
    lower, upper = bounds(difference, SCALE, 0.05)
    if lower is None or upper is None or min(abs(lower - null), abs(upper - null)) < 1e-9:
        return
    assert (lower > null) == (e_value(difference, SCALE, null=null) >= 20.0)
    assert (upper < null) == (e_value(difference, SCALE, null=null, is_benefit=False) >= 20.0)


def test_few_units_refute_nothing() -> None:
    assert critical_t(2.0, 0.05, 0.05) == inf
    assert bounds(evidence(100.0, 2), SCALE, 0.05) == (None, None)
    assert log_e_value(5.0, 0.0, 1.0) == 0.0
    assert e_value(Difference(), SCALE) == 1.0


@pytest.mark.parametrize(("freedom", "gain"), [(8.0, 2.0), (198.0, 9.0)])
def test_an_infinite_t_is_the_limit_of_large_ones(freedom: float, gain: float) -> None:
    assert log_e_value(inf, freedom, gain) == pytest.approx(log_e_value(1e9, freedom, gain), rel=1e-6)
    assert isfinite(log_e_value(-inf, freedom, gain))
    assert log_e_value(-inf, freedom, gain) < 0.0


def test_arms_without_spread_are_evidence_by_their_number() -> None:
    few, many = (stratified_difference([stage_of([1.0] * count, [0.0] * count)]) for count in (3, 30))
    assert 1.0 < e_value(few, SCALE) < 20.0 < e_value(many, SCALE)
    assert e_value(many, SCALE, null=1.0) == 1.0 / sqrt(1.0 + SCALE**2 * many.information)
