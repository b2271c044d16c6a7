"""Welch's t and the effect size are those of the libraries; stages are combined without their levels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.meta_analysis import effectsize_smd

from qe_core.rollout.assignment import Stage
from qe_core.rollout.differences import Difference, effect_size, stratified_difference
from qe_core.rollout.evidence import ArmSample, Measure, StageEvidence
from tests.unit.rollout.samples import stage_of

rewards = st.lists(st.floats(-100.0, 100.0), min_size=2, max_size=30)


def test_one_stage_is_welchs_t_test() -> None:
    random = np.random.default_rng(1)
    treatment, control = random.normal(3.0, 20.0, 37), random.normal(0.0, 5.0, 61)
    difference = stratified_difference([stage_of(treatment.tolist(), control.tolist())])
    expected = stats.ttest_ind(treatment, control, equal_var=False)
    assert difference.t_statistic == pytest.approx(expected.statistic, rel=1e-6)
    assert difference.freedom == pytest.approx(expected.df, rel=1e-6)
    assert difference.p_value == pytest.approx(expected.pvalue, rel=1e-6)


def test_two_stages_by_hand() -> None:
    """Weights 2·2/4 = 1 and 4·4/8 = 2; differences 2 and 5; (1·2 + 2·5) / 3 = 4. Variances are 2 and 4/3."""
    difference = stratified_difference(
        [
            stage_of([3.0, 5.0], [1.0, 3.0], Stage.TENTH),
            stage_of([14.0, 16.0, 14.0, 16.0], [9.0, 11.0, 9.0, 11.0]),
        ]
    )
    assert difference.estimate == pytest.approx(4.0)
    assert difference.standard_error == pytest.approx(np.sqrt((2.0 * 1 / 1 + 4 * 2 * (4 / 3) / 4) / 9))
    assert difference.control_mean == pytest.approx((1 * 2.0 + 2 * 10.0) / 3)
    assert (difference.treated, difference.untreated) == (6, 6)


@settings(deadline=None)
@given(rewards, rewards, rewards, rewards, st.floats(-500.0, 500.0))
def test_a_level_that_moves_between_stages_changes_nothing(
    first: list[float], second: list[float], third: list[float], fourth: list[float], shift: float
) -> None:
    moved = stage_of([value + shift for value in third], [value + shift for value in fourth])
    steady = stratified_difference([stage_of(first, second, Stage.TENTH), stage_of(third, fourth)])
    drifted = stratified_difference([stage_of(first, second, Stage.TENTH), moved])
    assert drifted.estimate == pytest.approx(steady.estimate, abs=1e-4)
    assert drifted.standard_error == pytest.approx(steady.standard_error, abs=1e-4)


def test_a_stage_with_a_single_unit_in_an_arm_has_no_weight() -> None:
    whole = [stage_of([1.0, 2.0], [0.0, 1.0])]
    assert stratified_difference([*whole, stage_of([99.0], [0.0, 1.0], Stage.FULL)]) == stratified_difference(
        whole
    )


def test_without_evidence_there_is_no_p_value() -> None:
    assert stratified_difference([]) == Difference()
    assert Difference().p_value is None
    assert effect_size(Difference(), 0.05) is None


def test_arms_without_spread_differ_for_certain_or_not_at_all() -> None:
    assert stratified_difference([stage_of([2.0] * 5, [1.0] * 5)]).t_statistic == np.inf
    assert stratified_difference([stage_of([1.0] * 5, [2.0] * 5)]).t_statistic == -np.inf
    assert stratified_difference([stage_of([1.0] * 5, [1.0] * 5)]).t_statistic == 0.0


def test_a_full_score_is_not_certainty() -> None:
    arm = ArmSample.of([0.0] * 100, [1.0] * 100)
    difference = stratified_difference([StageEvidence(Stage.HALF, arm, arm)], Measure.SUCCESS, is_share=True)
    assert difference.standard_error == pytest.approx(np.sqrt(2 * 101 / 102**2 / 100))


def test_a_factor_asks_whether_the_treatment_exceeds_the_control_by_a_share() -> None:
    difference = stratified_difference([stage_of([11.0, 13.0], [9.0, 11.0])], control_factor=1.2)
    assert difference.estimate == pytest.approx(0.0)
    assert difference.standard_error == pytest.approx(np.sqrt(2 / 2 + 1.44 * 2 / 2))


def test_effect_size_is_hedges() -> None:
    random = np.random.default_rng(2)
    treatment, control = random.normal(0.4, 1.0, 30), random.normal(0.0, 1.0, 30)
    effect = effect_size(stratified_difference([stage_of(treatment.tolist(), control.tolist())]), 0.05)
    assert effect is not None
    g, _ = effectsize_smd(
        treatment.mean(), treatment.std(ddof=1), 30, control.mean(), control.std(ddof=1), 30
    )
    assert effect.hedges_g == pytest.approx(g, rel=1e-3)
    assert effect.cohens_d == pytest.approx(effect.hedges_g / (1.0 - 3.0 / (4.0 * 58 - 1.0)), rel=1e-3)


def test_interval_of_the_effect_size_covers_the_truth() -> None:
    """Nominally 95 %; the chance of fewer than 92 % or more than 98 % of 1,000 is below 1e-4."""
    random = np.random.default_rng(3)
    covered = 0
    for _ in range(1_000):
        treatment, control = random.normal(0.5, 1.0, 40).tolist(), random.normal(0.0, 1.0, 40).tolist()
        effect = effect_size(stratified_difference([stage_of(treatment, control)]), 0.05)
        assert effect is not None
        covered += effect.lower <= 0.5 <= effect.upper
    assert 920 <= covered <= 980
