"""Noise: as much as the promise needs, on every cell, of the stated distribution, never the same twice."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from qe_core.errors import PrivacyError
from qe_core.privacy.accounting import NANO, epsilon_of, largest_nano_rho
from qe_core.privacy.mechanism import SHARES, NoiseScales, noised, plan_release, with_noise
from qe_core.privacy.space import PublicSpace
from qe_core.privacy.statistics import AgentStatistics
from qe_core.privacy.units import ContributionBound, ProtectedUnit

SPACE = PublicSpace("one", "0" * 16, 6, 2, 2, np.arange(6) % 2, np.arange(6) // 2)
TASKS = ContributionBound(ProtectedUnit.TASK, 5, 100.0)
SURE = 1e-9
"""Chance with which each test of a distribution fails although the noise is sound; OpenDP has no seed."""


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from(ProtectedUnit), st.integers(1, 1000), st.floats(0.01, 100.0), st.integers(1, 40),
    st.floats(1e-2, 50.0), st.sampled_from([1e-9, 1e-6, 1e-3]),
)  # fmt: skip
def test_a_plan_loses_no_more_than_it_promises(
    unit: ProtectedUnit, pairs: int, clip: float, agents: int, epsilon: float, delta: float
) -> None:
    bound = ContributionBound(unit, pairs, clip)
    plan = plan_release(bound, agents, epsilon, delta)
    moved = bound.sensitivities(agents)

    # Σ Δ²/2σ² in exact fractions of the very floats the noise is drawn with.
    lost = sum(
        Fraction(getattr(moved, kind)) / (2 * Fraction(getattr(plan.scales, kind)) ** 2)
        for kind in NoiseScales.__slots__
    )
    assert lost * NANO <= plan.nano_rho <= largest_nano_rho(epsilon, delta)
    assert epsilon_of(plan.nano_rho, delta) <= epsilon
    assert float(lost) * NANO > plan.nano_rho - 2


def test_the_plan_of_the_defaults_by_hand() -> None:
    plan = plan_release(TASKS, 17, 1.0, 1e-6)
    rho = plan.nano_rho / NANO

    assert plan.scales.visits == pytest.approx(math.sqrt(5 / (2 * 0.25 * rho)))
    assert plan.scales.units == pytest.approx(math.sqrt(1 / (2 * 0.05 * rho)))
    assert plan.scales.rewards == pytest.approx(10_000 * math.sqrt(5 / (2 * 0.45 * rho)))
    assert sum(getattr(SHARES, kind) for kind in NoiseScales.__slots__) == pytest.approx(1.0)


def test_a_developer_is_hidden_among_the_units_of_all_agents() -> None:
    bound = ContributionBound(ProtectedUnit.DEVELOPER, 50, 100.0)
    few, many = (plan_release(bound, agents, 1.0, 1e-6).scales.units for agents in (1, 17))
    assert many == pytest.approx(few * math.sqrt(17))


def test_a_promise_without_room_is_refused() -> None:
    with pytest.raises(PrivacyError, match="leaves nothing to release"):
        plan_release(TASKS, 1, 1e-6, 1e-9)
    with pytest.raises(PrivacyError, match="needs an agent"):
        plan_release(TASKS, 0, 1.0, 1e-6)


@pytest.mark.parametrize("scale", [0.7, 3.0, 20.26])
def test_the_noise_is_the_discrete_gaussian(scale: float) -> None:
    # Pearson's χ² against exp(−x²/2σ²), cells of fewer than 10 expected joined; fails with chance 1e-9.
    count = 20_000
    drawn = with_noise(np.full(count, 1000), scale) - 1000
    support = np.arange(-math.ceil(12 * scale), math.ceil(12 * scale) + 1)
    weight = np.exp(-(support**2) / (2 * scale**2))
    expected = count * weight / weight.sum()
    inner = expected >= 10
    observed = np.array([(drawn == value).sum() for value in support[inner]])
    rest_expected = count - expected[inner].sum()
    deviation = ((observed - expected[inner]) ** 2 / expected[inner]).sum()
    deviation += (count - observed.sum() - rest_expected) ** 2 / max(rest_expected, 10)
    assert stats.chi2.sf(deviation, inner.sum()) > SURE


def test_cells_are_independent_in_one_call_and_between_calls() -> None:
    # Correlations of 10,000 pairs are normal with sd 0.01; 0.07 is 7 of them.
    first, second = with_noise(np.zeros((2, 10_000), dtype=np.int64), 5.0)
    third = with_noise(np.zeros(10_000, dtype=np.int64), 5.0)
    for one, other in ((first, second), (first, third), (first[1:], first[:-1])):
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.07


def test_every_cell_has_noise_whether_visited_or_not() -> None:
    # With σ = 50 a cell stays 0 with chance 0.008, in all of 9 releases with 10^-19; there are 37 cells.
    scales = NoiseScales(50.0, 50.0, 50.0, 50.0)
    released = [noised(AgentStatistics.zeros(SPACE), scales) for _ in range(9)]
    for kind in ("visits", "rewards", "transitions"):
        assert (np.array([getattr(one, kind) for one in released]) != 0).any(axis=0).all()
    assert len({one.units for one in released}) > 1


def test_noise_is_on_each_kind_by_its_own_scale() -> None:
    # Standard deviations of 2,000 draws lie within 15 % with chance 1 − 10^-20, of 300 draws
    # within 30 % with chance 1 − 10^-12.
    scales = NoiseScales(3.0, 30.0, 300.0, 3_000.0)
    big = AgentStatistics(7, *(np.full((2_000, 1), 10**6) for _ in range(3)))
    found = noised(big, scales)
    for kind in ("visits", "rewards", "transitions"):
        assert np.std(getattr(found, kind)) == pytest.approx(getattr(scales, kind), rel=0.15)
    units = [noised(AgentStatistics.zeros(SPACE), scales).units for _ in range(300)]
    assert np.std(units) == pytest.approx(3.0, rel=0.3)


def test_noise_keeps_shape_type_and_input() -> None:
    exact = AgentStatistics.zeros(SPACE)
    found = noised(exact, NoiseScales(1.0, 1.0, 1.0, 1.0))
    assert (found.visits.shape, found.rewards.shape, found.transitions.shape) == ((6, 2), (6, 2), (4, 3))
    assert found.visits.dtype == found.rewards.dtype == found.transitions.dtype == np.int64
    assert not exact.visits.any()
