"""What may not get worse while reward gets better: success rate, cost, duration.

What belongs here: non-inferiority of one measure, at every look. What does not: the verdict (`verdicts`).

A guardrail asks whether the candidate is worse by more than a margin. *Held* is shown, not assumed: without
enough units it stays open, and nothing is promoted past an open guardrail.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from qe_core.errors import RolloutError
from qe_core.rollout.differences import Difference, stratified_difference
from qe_core.rollout.evidence import Measure, StageEvidence
from qe_core.rollout.sequential import bounds, e_value
from qe_core.rollout.settings import ABTestSettings


class GuardrailState(StrEnum):
    """What is known about a guardrail."""

    HELD = "held"
    OPEN = "open"
    BROKEN = "broken"
    UNMEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Guardrail:
    """One measure that may not get worse.

    Attributes:
        measure: what is measured.
        state: what is known.
        margin: tolerated worsening, in the measure's unit, at the control's mean.
        difference: treatment minus control.
        lower: always-valid lower bound of the difference; None where there is none yet.
        upper: upper bound.
    """

    measure: Measure
    state: GuardrailState
    margin: float
    difference: Difference
    lower: float | None
    upper: float | None

    @property
    def sentence(self) -> str:
        """What is known, for people."""
        if self.state is GuardrailState.UNMEASURED:
            return f"{self.measure.value} is not recorded: record it, or take it out of `guardrails`"
        interval = "no interval yet" if self.lower is None else f"{self.lower:+.4g} to {self.upper:+.4g}"
        return (
            f"{self.measure.value} {self.state.value}: {self.difference.estimate:+.4g} ({interval}), "
            f"tolerated {self.margin:.4g} worse"
        )


def check_guardrail(
    evidence: Sequence[StageEvidence], measure: Measure, settings: ABTestSettings
) -> Guardrail:
    """Return what is known about a measure that may not get worse.

    Args:
        evidence: of each stage.
        measure: success rate, cost or duration.
        settings: margins and significance.

    Raises:
        RolloutError: for reward, which is what the test is about.
    """
    match measure:
        case Measure.SUCCESS:
            difference = stratified_difference(evidence, measure, is_share=True)
            margin, contrast, null, is_more_better = (
                settings.success_margin,
                difference,
                -settings.success_margin,
                True,
            )
        case Measure.COST | Measure.DURATION:
            share = settings.cost_margin if measure is Measure.COST else settings.duration_margin
            difference = stratified_difference(evidence, measure)
            contrast = stratified_difference(evidence, measure, control_factor=1.0 + share)
            margin, null, is_more_better = share * difference.control_mean, 0.0, False
        case Measure.REWARD:
            raise RolloutError("reward is what the test is about: guard success rate, cost or duration")
        case _:
            assert_never(measure)
    state = _state(contrast, null, settings, is_more_better=is_more_better)
    lower, upper = bounds(difference, settings.prior_scale, settings.significance)
    return Guardrail(measure, state, margin, difference, lower, upper)


def _state(
    contrast: Difference, null: float, settings: ABTestSettings, *, is_more_better: bool
) -> GuardrailState:
    """Return what the contrast says about the margin."""
    limit = 1.0 / settings.significance
    smaller = min(contrast.treated, contrast.untreated)
    if smaller == 0:
        return GuardrailState.UNMEASURED
    if contrast.standard_error == 0.0 and contrast.estimate == null:
        return GuardrailState.HELD
    if e_value(contrast, settings.prior_scale, null=null, is_benefit=is_more_better) >= limit:
        return GuardrailState.HELD
    is_broken = e_value(contrast, settings.prior_scale, null=null, is_benefit=not is_more_better) >= limit
    return (
        GuardrailState.BROKEN if is_broken and smaller >= settings.minimum_for_harm else GuardrailState.OPEN
    )
