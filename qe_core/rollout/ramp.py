"""How far a rollout goes: 10 %, 50 %, 100 % with a hold-out, promoted, or stopped.

What belongs here: the step that follows from a judgement, the stage and the time in it, or from a person.
What does not: the clock (time in stage is an argument), carrying the step out, storing a person's decision.
"""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import assert_never

from qe_core.errors import RolloutError
from qe_core.rollout.assignment import Stage
from qe_core.rollout.settings import DEFAULT_SETTINGS, ABTestSettings
from qe_core.rollout.verdicts import Judgement, Verdict

NOTHING = timedelta(0)


class Move(StrEnum):
    """What happens to a rollout."""

    STAY = "stay"
    ADVANCE = "advance"
    PROMOTE = "promote"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Step:
    """What happens next.

    Attributes:
        move: the move.
        stage: the stage after it; None once promoted or stopped.
        why: the reason, for people and the history.
        wait: dwell still to be kept in this stage; 0 where time is not what is missing.
        is_by_person: whether a person decided.
    """

    move: Move
    stage: Stage | None
    why: str
    wait: timedelta = NOTHING
    is_by_person: bool = False


def dwell_of(stage: Stage, settings: ABTestSettings = DEFAULT_SETTINGS) -> timedelta:
    """Return the shortest time a rollout stays at a stage."""
    match stage:
        case Stage.TENTH:
            return settings.dwell_at_tenth
        case Stage.HALF:
            return settings.dwell_at_half
        case Stage.FULL:
            return settings.dwell_at_full
        case _:
            assert_never(stage)


def next_step(
    judgement: Judgement,
    stage: Stage,
    time_in_stage: timedelta,
    settings: ABTestSettings = DEFAULT_SETTINGS,
    *,
    override: Move | None = None,
) -> Step:
    """Return what happens next.

    From 10 % to 50 % it takes the dwell, some units in each arm and no sign of harm. To 100 %, and from there
    to stable, it takes the dwell and a verdict *promote*. Verdicts to stop and *invalid* stop at once, and so
    does a test that is still undecided after the longest time.

    Args:
        judgement: of everything recorded up to now.
        stage: where the rollout is.
        time_in_stage: for how long, not negative.
        settings: dwell and units.
        override: what a person wants instead; it goes before everything.

    Raises:
        RolloutError: for a negative time, or an advance past the last stage.
    """
    if time_in_stage < NOTHING:
        raise RolloutError(
            f"time in stage is {time_in_stage}: the stage began in the future, check the clocks"
        )
    if override is not None:
        return _by_person(override, judgement, stage)
    why = f"{judgement.verdict.value}: {'; '.join(judgement.reasons)}"
    match judgement.verdict:
        case Verdict.STOP_FOR_HARM | Verdict.STOP_FOR_FUTILITY | Verdict.INVALID:
            return Step(Move.STOP, None, why)
        case Verdict.NOT_ENOUGH_DATA | Verdict.CONTINUE:
            is_ready = stage is Stage.TENTH and _least_units(judgement) >= settings.minimum_to_advance
        case Verdict.PROMOTE:
            is_ready = True
        case _:
            assert_never(judgement.verdict)
    if not is_ready:
        if time_in_stage >= settings.longest_in_stage:
            return Step(Move.STOP, None, f"undecided after {time_in_stage} at {stage.value} %; {why}")
        return Step(Move.STAY, stage, why)
    wait = dwell_of(stage, settings) - time_in_stage
    if wait > NOTHING:
        return Step(Move.STAY, stage, f"{wait} of the dwell are left; {why}", wait)
    if stage.following is None:
        return Step(Move.PROMOTE, None, why)
    return Step(Move.ADVANCE, stage.following, why)


def _least_units(judgement: Judgement) -> int:
    """Return the units in the smaller arm."""
    difference = judgement.difference
    return 0 if difference is None else min(difference.treated, difference.untreated)


def _by_person(override: Move, judgement: Judgement, stage: Stage) -> Step:
    """Return the step a person wants, with the verdict it was taken against."""
    why = f"decided by a person at verdict {judgement.verdict.value}"
    match override:
        case Move.STAY:
            return Step(Move.STAY, stage, why, is_by_person=True)
        case Move.ADVANCE:
            if stage.following is None:
                raise RolloutError("there is no stage after 100 %: promote or stop instead")
            return Step(Move.ADVANCE, stage.following, why, is_by_person=True)
        case Move.PROMOTE | Move.STOP:
            return Step(override, None, why, is_by_person=True)
        case _:
            assert_never(override)
