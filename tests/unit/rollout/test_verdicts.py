"""Each verdict comes from what it is named after, and an invalid test shows no result."""

from dataclasses import replace

import pytest

from qe_core.errors import RolloutError
from qe_core.rollout.assignment import Stage
from qe_core.rollout.evidence import ArmSample, StageEvidence
from qe_core.rollout.moments import Moments
from qe_core.rollout.settings import DEFAULT_SETTINGS
from qe_core.rollout.verdicts import Judgement, Verdict, judge
from tests.unit.rollout.samples import arm, spread_out


def judged(treatment: ArmSample, control: ArmSample, stage: Stage = Stage.HALF) -> Judgement:
    return judge([StageEvidence(stage, control, treatment)])


@pytest.mark.parametrize(
    ("effect", "count", "verdict"),
    [
        (0.5, 99, Verdict.NOT_ENOUGH_DATA),
        (0.5, 200, Verdict.PROMOTE),
        (0.25, 120, Verdict.CONTINUE),
        (0.0, 500, Verdict.STOP_FOR_FUTILITY),
        (0.1, 300, Verdict.CONTINUE),
        (0.19, 1_500, Verdict.STOP_FOR_FUTILITY),
        (-0.5, 99, Verdict.STOP_FOR_HARM),
        (-3.0, 20, Verdict.STOP_FOR_HARM),
        (-3.0, 18, Verdict.NOT_ENOUGH_DATA),
    ],
)
def test_verdict_follows_effect_and_units(effect: float, count: int, verdict: Verdict) -> None:
    judgement = judged(arm(count, effect), arm(count))
    assert judgement.verdict is verdict
    assert judgement.reasons


def test_the_ordered_figures_alone_do_not_promote() -> None:
    """At 120 an arm d = 0.3 has p = 0.02: the order is met, the look-proof evidence is not there."""
    judgement = judged(arm(120, 0.3), arm(120))
    assert judgement.is_ordered_rule_met
    assert judgement.verdict is Verdict.CONTINUE
    assert judgement.reasons[0].startswith("not shown to be better")


def test_evidence_without_the_ordered_effect_does_not_promote() -> None:
    judgement = judged(arm(1_200, 0.19), arm(1_200))
    assert judgement.e_benefit > 20.0
    assert judgement.verdict is Verdict.CONTINUE
    assert "ordered figures" in judgement.reasons[0]


def test_an_open_guardrail_holds_a_promotion_back() -> None:
    silent = replace(arm(300, 0.5), cost=Moments())
    judgement = judged(silent, arm(300))
    assert judgement.verdict is Verdict.CONTINUE
    assert judgement.reasons == ("cost is not recorded: record it, or take it out of `guardrails`",)


def test_a_broken_guardrail_stops_a_better_reward() -> None:
    slow = replace(arm(300, 0.5), duration_seconds=Moments.of(spread_out(300, 120.0, 6.0)))
    judgement = judged(slow, arm(300))
    assert judgement.verdict is Verdict.STOP_FOR_HARM
    assert judgement.reasons[0].startswith("duration broken")


def test_an_invalid_test_shows_no_result() -> None:
    judgement = judged(arm(300, 0.5, lost=20), arm(300))
    assert judgement.verdict is Verdict.INVALID
    assert (judgement.difference, judgement.effect, judgement.lower, judgement.upper) == (
        None,
        None,
        None,
        None,
    )
    assert (judgement.always_valid_p, judgement.is_ordered_rule_met, judgement.power) == (1.0, False, 0.0)
    assert judgement.stages == judgement.guardrails == ()
    assert any("lost units at 50 %" in reason for reason in judgement.reasons)


def test_one_unsound_stage_voids_the_whole_test() -> None:
    sound = StageEvidence(Stage.HALF, arm(400), arm(400, 0.5))
    crooked = StageEvidence(Stage.TENTH, arm(30), arm(20, lost=20))
    assert judge([crooked, sound]).verdict is Verdict.INVALID


def test_stages_are_combined_and_shown_apart() -> None:
    stages = [
        StageEvidence(Stage.TENTH, arm(50, 0.0), arm(50, 0.5)),
        StageEvidence(Stage.HALF, arm(150, 9.0), arm(150, 9.5)),
    ]
    judgement = judge(stages)
    assert judgement.verdict is Verdict.PROMOTE
    assert judgement.difference is not None
    assert judgement.difference.estimate == pytest.approx(0.5)
    assert [stage.treated for stage in judgement.stages] == [50, 150]


@pytest.mark.parametrize(("reward", "verdict"), [(2.0, Verdict.PROMOTE), (1.0, Verdict.CONTINUE)])
def test_rewards_without_spread_are_judged_by_their_number(reward: float, verdict: Verdict) -> None:
    judgement = judged(arm(200, reward, 0.0), arm(200, 1.0, 0.0))
    assert judgement.verdict is verdict
    assert judgement.effect is None


def test_days_to_go_follow_the_rate_of_units() -> None:
    evidence = [StageEvidence(Stage.HALF, arm(100), arm(100, 0.25))]
    judgement = judge(evidence, units_per_day=50.0)
    assert judgement.needed_units_per_arm > judgement.fixed_units_per_arm == 394
    assert judgement.units_to_go == 2 * (judgement.needed_units_per_arm - 100)
    assert judgement.days_to_go == pytest.approx(judgement.units_to_go / 50.0)
    assert judge(evidence).days_to_go is None


def test_a_hold_out_of_a_tenth_takes_longer_than_equal_arms() -> None:
    small = ArmSample.of(spread_out(10))
    at_half = judge([StageEvidence(Stage.HALF, small, small)])
    at_full = judge([StageEvidence(Stage.FULL, small, small)])
    assert at_full.units_to_go == pytest.approx(at_half.units_to_go * 0.25 / 0.09, rel=0.01)


def test_nothing_recorded_is_not_enough_data() -> None:
    assert judge([]).verdict is Verdict.NOT_ENOUGH_DATA


def test_evidence_that_cannot_be_judged_is_refused_by_name() -> None:
    stage = StageEvidence(Stage.HALF, arm(10), arm(10))
    with pytest.raises(RolloutError, match="a stage is given twice"):
        judge([stage, stage])
    with pytest.raises(RolloutError, match="units_per_day must be positive"):
        judge([stage], DEFAULT_SETTINGS, units_per_day=0.0)
