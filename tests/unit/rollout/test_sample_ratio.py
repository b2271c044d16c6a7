"""Loss and duplication in one arm void a test; what hits both arms alike does not."""

import numpy as np
import pytest
from scipy import stats

from qe_core.rollout.assignment import Stage
from qe_core.rollout.evidence import ArmSample, StageEvidence
from qe_core.rollout.moments import Moments
from qe_core.rollout.sample_ratio import Count, check_counts, chi_square_p, share_e_value

LIMIT = 0.001


def counted(recorded: int, lost: int = 0, repeated: int = 0) -> ArmSample:
    return ArmSample(Moments(recorded), lost=lost, repeated=repeated)


def unsound(control: ArmSample, treatment: ArmSample, stage: Stage = Stage.HALF) -> list[Count]:
    checks = check_counts([StageEvidence(stage, control, treatment)], LIMIT)
    return [check.count for check in checks if not check.is_sound]


@pytest.mark.parametrize("stage", [Stage.TENTH, Stage.HALF])
def test_equal_arms_are_sound(stage: Stage) -> None:
    assert unsound(counted(1_000, 10, 20), counted(1_010, 12, 18), stage) == []


def test_a_hold_out_of_a_tenth_is_sound_at_the_last_stage_and_only_there() -> None:
    assert unsound(counted(100), counted(900), Stage.FULL) == []
    assert unsound(counted(100), counted(900), Stage.HALF) == [Count.RECORDED]


def test_outcomes_missing_in_one_arm_are_called_lost() -> None:
    assert unsound(counted(300), counted(286, lost=14)) == [Count.LOST]
    assert unsound(counted(290, lost=13), counted(286, lost=14)) == []


def test_outcomes_delivered_again_in_one_arm_are_called_repeated() -> None:
    assert unsound(counted(300), counted(300, repeated=14)) == [Count.REPEATED]
    assert unsound(counted(300, repeated=15), counted(300, repeated=14)) == []


def test_a_tenth_of_an_arm_gone_without_a_trace_shows_in_the_ratio() -> None:
    assert unsound(counted(5_000), counted(4_500)) == [Count.RECORDED]


def test_an_assignment_that_is_broken_outright_shows_in_a_few_units() -> None:
    assert unsound(counted(60), counted(160), Stage.TENTH) == [Count.RECORDED]
    assert unsound(counted(60), counted(90), Stage.TENTH) == []


def test_a_check_says_what_it_saw() -> None:
    checks = check_counts([StageEvidence(Stage.HALF, counted(300), counted(286, lost=14))], LIMIT)
    assert "lost units at 50 %: 14 treated, 0 control, 7 treated expected" in checks[1].sentence


def test_stages_without_units_are_not_checked() -> None:
    assert check_counts([StageEvidence(Stage.HALF)], LIMIT) == ()


def test_chi_square_is_that_of_scipy() -> None:
    expected = stats.chisquare([60, 30], [90 * 0.6, 90 * 0.4]).pvalue
    assert chi_square_p(60, 30, 0.6) == pytest.approx(expected)
    assert chi_square_p(0, 0, 0.6) == 1.0


def test_mean_of_the_share_e_value_on_sound_counts_is_one() -> None:
    counts = np.arange(41)
    values = [share_e_value(int(first), 40 - int(first), 0.9, (1.0, 30.0)) for first in counts]
    assert np.dot(values, stats.binom.pmf(counts, 40, 0.9)) == pytest.approx(1.0)
