"""A release nobody could learn from is refused before it spends privacy, with the figures that say why."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qe_core.errors import PrivacyError
from qe_core.privacy.aggregation import CombineSettings
from qe_core.privacy.mechanism import NoiseScales, ReleasePlan
from qe_core.privacy.units import ContributionBound, ProtectedUnit
from qe_core.privacy.worth import PAIRS_OF_A_DEVELOPER, check_worth, worth_of

SETTINGS = CombineSettings(minimum_cohort=3, minimum_group=10, sureness=3.0)


def plan(unit=ProtectedUnit.TASK, pairs=4, noise=20.0) -> ReleasePlan:
    """A plan with round noise."""
    scales = NoiseScales(noise, noise, 100 * noise, noise)
    return ReleasePlan(ContributionBound(unit, pairs, 100.0), 1.0, 1e-6, scales, 1)


def test_the_fewest_tasks_and_the_smallest_cohort_by_hand():
    # A tenth of tasks count a busy pair. Three databases: 3 · u / 10 ≥ 10 + 3 · 20 · √3, so u ≥ 379.7.
    found = worth_of(300, 3, plan(), 10, SETTINGS)
    assert found.unit_count == 380
    # 300 tasks: n · 30 ≥ 10 + 60 · √n holds from n = 4.64 on.
    assert found.cohort == 5


def test_figures_at_the_very_bound_agree_with_each_other():
    # 3 · 10 / 10 is exactly the minimum group of 3.
    exact = CombineSettings(minimum_cohort=3, minimum_group=3, sureness=0.0)
    found = worth_of(10, 3, plan(), 10, exact)
    assert (found.cohort, found.unit_count) == (3, 10)
    check_worth(10, 3, plan(), 10, exact)


def test_a_database_hidden_by_the_noise_on_its_number_of_units_helps_no_cohort():
    found = worth_of(60, 1_000_000, plan(), 10, SETTINGS)
    assert (found.cohort, found.unit_count) == (None, 61)


def test_developers_spread_their_pairs_over_all_agents():
    plan_of_developers = plan(ProtectedUnit.DEVELOPER, pairs=PAIRS_OF_A_DEVELOPER)
    alone, among_ten = (worth_of(500, 3, plan_of_developers, agents, SETTINGS) for agents in (1, 10))
    assert alone.unit_count == 61  # every developer counts every busy pair; the noise on their number decides
    assert among_ten.unit_count == math.ceil((10 + 60 * math.sqrt(3)) / 3 * 10)


@given(st.integers(62, 5_000), st.integers(3, 500), st.floats(1.0, 20.0))
def test_what_is_said_to_be_enough_passes_and_one_less_does_not(units, contributors, noise):
    asked = plan(noise=noise)
    found = worth_of(units, contributors, asked, 10, SETTINGS)
    check_worth(found.unit_count, contributors, asked, 10, SETTINGS)
    check_worth(units, found.cohort, asked, 10, SETTINGS)
    with pytest.raises(PrivacyError):
        check_worth(found.unit_count - 1, contributors, asked, 10, SETTINGS)
    if found.cohort > SETTINGS.minimum_cohort:
        with pytest.raises(PrivacyError):
            check_worth(units, found.cohort - 1, asked, 10, SETTINGS)


def test_refusals_say_the_number_and_the_reason():
    with pytest.raises(
        PrivacyError, match=r"noise of 20 on each count .* 5 would be needed; .* there are 380 tasks"
    ):
        check_worth(300, 3, plan(), 10, SETTINGS)
    with pytest.raises(PrivacyError, match=r"1 developer .* noise of 20 on the number of developers hides"):
        check_worth(1, 64, plan(ProtectedUnit.DEVELOPER), 10, SETTINGS)
