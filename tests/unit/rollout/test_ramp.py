"""10 %, 50 %, 100 %, stable: by verdict and dwell, stopped at once by harm, and always open to a person."""

from dataclasses import replace
from datetime import timedelta

import pytest

from qe_core.errors import RolloutError
from qe_core.rollout.assignment import Stage
from qe_core.rollout.evidence import StageEvidence
from qe_core.rollout.ramp import Move, next_step
from qe_core.rollout.verdicts import Judgement, Verdict, judge
from tests.unit.rollout.samples import arm

HOUR = timedelta(hours=1)
LONG = timedelta(days=28)


def judgement(verdict: Verdict, count: int = 200) -> Judgement:
    return replace(judge([StageEvidence(Stage.HALF, arm(count), arm(count, 0.5))]), verdict=verdict)


@pytest.mark.parametrize(
    ("stage", "dwell", "move", "after"),
    [
        (Stage.TENTH, 24 * HOUR, Move.ADVANCE, Stage.HALF),
        (Stage.HALF, 48 * HOUR, Move.ADVANCE, Stage.FULL),
        (Stage.FULL, 24 * HOUR, Move.PROMOTE, None),
    ],
)
def test_a_promotion_goes_on_exactly_when_the_dwell_is_over(
    stage: Stage, dwell: timedelta, move: Move, after: Stage | None
) -> None:
    early = next_step(judgement(Verdict.PROMOTE), stage, dwell - HOUR)
    assert (early.move, early.stage, early.wait) == (Move.STAY, stage, HOUR)
    due = next_step(judgement(Verdict.PROMOTE), stage, dwell)
    assert (due.move, due.stage, due.is_by_person) == (move, after, False)


@pytest.mark.parametrize("verdict", [Verdict.NOT_ENOUGH_DATA, Verdict.CONTINUE])
def test_undecided_tests_widen_to_half_and_no_further(verdict: Verdict) -> None:
    assert next_step(judgement(verdict), Stage.TENTH, 24 * HOUR).move is Move.ADVANCE
    assert next_step(judgement(verdict, 19), Stage.TENTH, 24 * HOUR).move is Move.STAY
    assert next_step(judgement(verdict), Stage.HALF, LONG - HOUR).move is Move.STAY


def test_a_test_undecided_for_four_weeks_is_given_up() -> None:
    step = next_step(judgement(Verdict.CONTINUE), Stage.HALF, LONG)
    assert step.move is Move.STOP
    assert step.why.startswith("undecided after 28 days, 0:00:00 at 50 %")


@pytest.mark.parametrize("verdict", [Verdict.STOP_FOR_HARM, Verdict.STOP_FOR_FUTILITY, Verdict.INVALID])
@pytest.mark.parametrize("stage", list(Stage))
def test_verdicts_to_stop_do_not_wait(verdict: Verdict, stage: Stage) -> None:
    step = next_step(judgement(verdict), stage, timedelta(0))
    assert (step.move, step.stage) == (Move.STOP, None)
    assert verdict.value in step.why


@pytest.mark.parametrize(
    ("override", "after"),
    [(Move.STAY, Stage.HALF), (Move.ADVANCE, Stage.FULL), (Move.PROMOTE, None), (Move.STOP, None)],
)
@pytest.mark.parametrize("verdict", list(Verdict))
def test_a_person_goes_before_the_verdict_and_is_named(
    override: Move, after: Stage | None, verdict: Verdict
) -> None:
    step = next_step(judgement(verdict), Stage.HALF, timedelta(0), override=override)
    assert (step.move, step.stage, step.is_by_person) == (override, after, True)
    assert step.why == f"decided by a person at verdict {verdict.value}"


def test_there_is_no_stage_after_the_last() -> None:
    with pytest.raises(RolloutError, match="promote or stop instead"):
        next_step(judgement(Verdict.PROMOTE), Stage.FULL, HOUR, override=Move.ADVANCE)


def test_a_stage_that_begins_in_the_future_is_refused() -> None:
    with pytest.raises(RolloutError, match="check the clocks"):
        next_step(judgement(Verdict.PROMOTE), Stage.HALF, -HOUR)
