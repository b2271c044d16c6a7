"""The unit of assignment is the unit of analysis, counted once, at the stage where it came in."""

import pytest

from qe_core.errors import RolloutError
from qe_core.rollout.assignment import Arm, Stage
from qe_core.rollout.evidence import ArmSample, Measure, Outcome, StageEvidence, evidence_of
from qe_core.rollout.moments import Moments


def outcome(unit: str, reward: float, arm: Arm = Arm.TREATMENT, stage: Stage = Stage.TENTH) -> Outcome:
    return Outcome(stage, arm, unit, reward, reward > 0, 0.5, None)


def test_a_developer_is_the_mean_of_their_tasks() -> None:
    [stage] = evidence_of([outcome("ada", 10.0), outcome("ada", 20.0), outcome("bob", -5.0)])
    assert stage.treatment.reward == Moments.of([15.0, -5.0])
    assert stage.treatment.success == Moments.of([1.0, 0.0])
    assert stage.treatment.cost == Moments.of([0.5, 0.5])
    assert stage.treatment.duration_seconds == Moments()
    assert stage.control == ArmSample()


def test_a_developer_counts_at_the_stage_of_entry_only() -> None:
    tenth, half = evidence_of(
        [
            outcome("ada", 10.0),
            outcome("ada", 90.0, stage=Stage.HALF),
            outcome("eve", 30.0, Arm.CONTROL, Stage.HALF),
            outcome("eve", 70.0, Arm.TREATMENT, Stage.FULL),
        ]
    )
    assert tenth.treatment.reward == Moments.of([10.0])
    assert half.treatment.count == 0
    assert half.control.reward == Moments.of([30.0])


def test_units_outside_the_test_are_left_out() -> None:
    assert evidence_of([outcome("ada", 1.0, Arm.OUTSIDE)]) == ()


def test_a_unit_in_both_arms_is_refused_by_name() -> None:
    with pytest.raises(RolloutError, match="'ada' is in both arms"):
        evidence_of([outcome("ada", 1.0), outcome("ada", 2.0, Arm.CONTROL)])


def test_parts_of_a_stage_add_up() -> None:
    part = StageEvidence(Stage.HALF, ArmSample.of([1.0], lost=2), ArmSample.of([2.0], repeated=1))
    whole = part + part
    assert (whole.control.count, whole.control.lost, whole.treatment.repeated) == (2, 4, 2)
    assert whole.treatment.of_measure(Measure.REWARD).mean == 2.0


def test_different_stages_do_not_add_up() -> None:
    with pytest.raises(RolloutError, match="not parts of one stage"):
        StageEvidence(Stage.HALF) + StageEvidence(Stage.TENTH)


def test_negative_counts_are_refused() -> None:
    with pytest.raises(RolloutError, match="cannot be negative"):
        ArmSample(lost=-1)
