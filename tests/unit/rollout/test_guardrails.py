"""A guardrail is held only when shown, open while unknown, broken when worse by more than its margin."""

from dataclasses import replace

import pytest

from qe_core.errors import RolloutError
from qe_core.rollout.assignment import Stage
from qe_core.rollout.evidence import ArmSample, Measure, StageEvidence
from qe_core.rollout.guardrails import GuardrailState, check_guardrail
from qe_core.rollout.moments import Moments
from qe_core.rollout.settings import DEFAULT_SETTINGS
from tests.unit.rollout.samples import arm, spread_out


def state(measure: Measure, treatment: ArmSample, control: ArmSample) -> GuardrailState:
    return check_guardrail([StageEvidence(Stage.HALF, control, treatment)], measure, DEFAULT_SETTINGS).state


def successes(count: int, share: float) -> ArmSample:
    good = round(count * share)
    return replace(arm(count), success=Moments.of([1.0] * good + [0.0] * (count - good)))


@pytest.mark.parametrize(
    ("share", "count", "expected"),
    [
        (0.9, 400, GuardrailState.HELD),
        (0.9, 30, GuardrailState.OPEN),
        (0.8, 400, GuardrailState.OPEN),
        (0.6, 400, GuardrailState.BROKEN),
        (0.0, 15, GuardrailState.OPEN),
    ],
)
def test_success_rate_may_fall_by_less_than_its_margin(
    share: float, count: int, expected: GuardrailState
) -> None:
    assert state(Measure.SUCCESS, successes(count, share), successes(count, 0.9)) is expected


@pytest.mark.parametrize("measure", [Measure.COST, Measure.DURATION])
@pytest.mark.parametrize(
    ("mean", "expected"),
    [(1.0, GuardrailState.HELD), (1.25, GuardrailState.OPEN), (1.5, GuardrailState.BROKEN)],
)
def test_cost_and_duration_may_grow_by_less_than_their_share(
    measure: Measure, mean: float, expected: GuardrailState
) -> None:
    values = Moments.of(spread_out(200, mean, 0.2))
    treatment = replace(arm(200), cost=values, duration_seconds=values)
    control = Moments.of(spread_out(200, 1.0, 0.2))
    assert state(measure, treatment, replace(arm(200), cost=control, duration_seconds=control)) is expected


def test_what_nobody_pays_for_is_held() -> None:
    free = replace(arm(100), cost=Moments.of([0.0] * 100))
    assert state(Measure.COST, free, free) is GuardrailState.HELD


def test_what_is_not_recorded_is_not_held() -> None:
    silent = replace(arm(500), duration_seconds=Moments())
    guardrail = check_guardrail(
        [StageEvidence(Stage.HALF, silent, silent)], Measure.DURATION, DEFAULT_SETTINGS
    )
    assert guardrail.state is GuardrailState.UNMEASURED
    assert guardrail.sentence == "duration is not recorded: record it, or take it out of `guardrails`"


def test_a_guardrail_says_what_it_saw() -> None:
    both = arm(200)
    guardrail = check_guardrail([StageEvidence(Stage.HALF, both, both)], Measure.COST, DEFAULT_SETTINGS)
    assert guardrail.sentence.startswith("cost held: +0 (-0.0")
    assert guardrail.sentence.endswith("tolerated 0.25 worse")


def test_reward_is_no_guardrail() -> None:
    with pytest.raises(RolloutError, match="guard success rate, cost or duration"):
        check_guardrail([], Measure.REWARD, DEFAULT_SETTINGS)
