"""The verdict on an A/B test: one of six, none of which can be taken for another.

What belongs here: bringing effect, intervals, power, counts and guardrails together into one judgement. What
does
not: how each is computed, several tests at once (`discoveries`), how far the rollout goes (`ramp`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from qe_core.errors import RolloutError
from qe_core.rollout.differences import Difference, EffectSize, effect_size, stratified_difference
from qe_core.rollout.evidence import StageEvidence
from qe_core.rollout.guardrails import Guardrail, GuardrailState, check_guardrail
from qe_core.rollout.power import fixed_sample_size, power_at, sequential_sample_size
from qe_core.rollout.sample_ratio import CountCheck, check_counts
from qe_core.rollout.sequential import bounds, e_value
from qe_core.rollout.settings import DEFAULT_SETTINGS, ABTestSettings


class Verdict(StrEnum):
    """What an A/B test says."""

    NOT_ENOUGH_DATA = "not enough data"
    CONTINUE = "continue"
    PROMOTE = "promote"
    STOP_FOR_HARM = "stop for harm"
    STOP_FOR_FUTILITY = "stop for futility"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and every figure behind it.

    An invalid test has no effect, interval or p-value here: what its counts spoil must not be read as a
    result.

    Attributes:
        verdict: the verdict.
        reasons: what decided it, and what is still missing, for people.
        difference: reward of treatment minus control, points, with Welch's t-test; None when invalid.
        lower: always-valid lower bound of the difference, points; None where there is none.
        upper: upper bound.
        effect: Cohen's d and Hedges' g with an interval for one look; None where there is no spread.
        e_benefit: evidence that the candidate is better; 1 / ``e_benefit`` is an always-valid p-value.
        e_harm: evidence that it is worse.
        is_ordered_rule_met: p < 0.05, d > 0.2, enough units a variant. Shown; not enough by itself.
        power: of a t-test looked at once, for the minimum effect, with the units there are, in [0, 1].
        fixed_units_per_arm: units a t-test looked at once needs for the minimum effect.
        needed_units_per_arm: units this test needs for it.
        units_to_go: units still to come, over both arms at the shares of the newest stage.
        days_to_go: the same in days; None where the rate of units is unknown.
        stages: reward difference of each stage by itself, in the order of the evidence.
        counts: sample-ratio, loss and duplication checks.
        guardrails: success rate, cost, duration.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    difference: Difference | None
    lower: float | None
    upper: float | None
    effect: EffectSize | None
    e_benefit: float
    e_harm: float
    is_ordered_rule_met: bool
    power: float
    fixed_units_per_arm: int
    needed_units_per_arm: int
    units_to_go: int
    days_to_go: float | None
    stages: tuple[Difference, ...]
    counts: tuple[CountCheck, ...]
    guardrails: tuple[Guardrail, ...]

    @property
    def always_valid_p(self) -> float:
        """p-value of "no better" that holds at every look, in (0, 1]."""
        return min(1.0, 1.0 / self.e_benefit)


def judge(
    evidence: Sequence[StageEvidence],
    settings: ABTestSettings = DEFAULT_SETTINGS,
    *,
    units_per_day: float | None = None,
) -> Judgement:
    """Return the verdict on a test, as often as one likes.

    Args:
        evidence: one entry for each stage reached, the newest last.
        settings: thresholds.
        units_per_day: observed rate of recorded units over both arms; None where unknown.

    Raises:
        RolloutError: for a stage given twice, or a rate that is not positive.
    """
    if len({stage.stage for stage in evidence}) < len(evidence):
        raise RolloutError("a stage is given twice: add its parts up before judging")
    if units_per_day is not None and not units_per_day > 0.0:
        raise RolloutError(
            f"units_per_day must be positive, got {units_per_day}: give None while nothing arrives"
        )
    counts = check_counts(evidence, settings.sample_ratio_significance)
    unsound = tuple(check.sentence for check in counts if not check.is_sound)
    if unsound:
        return invalid(unsound, settings, counts)
    difference = stratified_difference(evidence)
    effect = effect_size(difference, settings.significance)
    guardrails = tuple(check_guardrail(evidence, measure, settings) for measure in settings.guardrails)
    e_benefit = e_value(difference, settings.prior_scale)
    e_harm = e_value(difference, settings.prior_scale, is_benefit=False)
    lower, upper = bounds(difference, settings.prior_scale, settings.significance)
    is_ordered_rule_met = _meets_ordered_rule(difference, effect, settings)
    verdict, reasons = _decide(
        difference, (e_benefit, e_harm), upper, guardrails, settings, is_ordered_rule_met
    )
    units_to_go = _units_to_go(evidence, difference, settings)
    return Judgement(
        verdict=verdict,
        reasons=reasons,
        difference=difference,
        lower=lower,
        upper=upper,
        effect=effect,
        e_benefit=e_benefit,
        e_harm=e_harm,
        is_ordered_rule_met=is_ordered_rule_met,
        power=power_at(difference, settings.minimum_effect, settings.significance),
        fixed_units_per_arm=_fixed_size(settings),
        needed_units_per_arm=_sequential_size(settings),
        units_to_go=units_to_go,
        days_to_go=None if units_per_day is None else units_to_go / units_per_day,
        stages=tuple(stratified_difference([stage]) for stage in evidence),
        counts=counts,
        guardrails=guardrails,
    )


def _decide(
    difference: Difference,
    e_values: tuple[float, float],
    upper: float | None,
    guardrails: Sequence[Guardrail],
    settings: ABTestSettings,
    is_ordered_rule_met: bool,
) -> tuple[Verdict, tuple[str, ...]]:
    """Return the verdict on sound counts, and why."""
    e_benefit, e_harm = e_values
    smaller = min(difference.treated, difference.untreated)
    limit = 1.0 / settings.significance
    broken = tuple(guardrail.sentence for guardrail in guardrails if guardrail.state is GuardrailState.BROKEN)
    if smaller >= settings.minimum_for_harm and e_harm >= limit:
        return Verdict.STOP_FOR_HARM, (f"reward is lower: evidence {e_harm:.3g}, limit {limit:g}", *broken)
    if broken:
        return Verdict.STOP_FOR_HARM, broken
    if smaller < settings.minimum_per_arm:
        return Verdict.NOT_ENOUGH_DATA, (f"{smaller} of {settings.minimum_per_arm} units in the smaller arm",)
    missing = _missing(e_benefit, limit, guardrails, is_ordered_rule_met)
    if not missing:
        return Verdict.PROMOTE, (f"reward is higher: evidence {e_benefit:.3g}, limit {limit:g}",)
    if upper is not None and upper < settings.minimum_effect * difference.spread:
        worth = settings.minimum_effect * difference.spread
        return Verdict.STOP_FOR_FUTILITY, (f"at most {upper:.4g} points better; worth it from {worth:.4g}",)
    if smaller >= settings.maximum_per_arm:
        return Verdict.STOP_FOR_FUTILITY, (f"undecided after {smaller} units in the smaller arm", *missing)
    return Verdict.CONTINUE, missing


def _missing(
    e_benefit: float, limit: float, guardrails: Sequence[Guardrail], is_ordered_rule_met: bool
) -> tuple[str, ...]:
    """Return what still stands against a promotion."""
    reasons = []
    if e_benefit < limit:
        reasons.append(f"not shown to be better: evidence {e_benefit:.3g}, limit {limit:g}")
    if not is_ordered_rule_met:
        reasons.append("the ordered figures (p, effect size, units a variant) are not all reached")
    reasons += [guardrail.sentence for guardrail in guardrails if guardrail.state is not GuardrailState.HELD]
    return tuple(reasons)


def _meets_ordered_rule(difference: Difference, effect: EffectSize | None, settings: ABTestSettings) -> bool:
    """Say whether p, d and the units a variant reach what was ordered."""
    p_value = difference.p_value
    if p_value is None or min(difference.treated, difference.untreated) < settings.minimum_per_arm:
        return False
    if effect is None:
        return difference.estimate > 0.0
    return p_value < settings.significance and effect.cohens_d > settings.minimum_effect


def _fixed_size(settings: ABTestSettings) -> int:
    """Return the units an arm needs when looked at once."""
    return fixed_sample_size(settings.minimum_effect, settings.significance, settings.target_power)


def _sequential_size(settings: ABTestSettings) -> int:
    """Return the units an arm needs here."""
    return sequential_sample_size(
        settings.minimum_effect, settings.significance, settings.target_power, settings.prior_scale
    )


def _units_to_go(evidence: Sequence[StageEvidence], difference: Difference, settings: ABTestSettings) -> int:
    """Return the units still to come until the information suffices, at the shares of the newest stage."""
    needed = max(_sequential_size(settings), settings.minimum_per_arm) / 2
    share = evidence[-1].plan.treatment_share if evidence else 0.5
    return round(max(0.0, needed - difference.information) / (share * (1.0 - share)))


def invalid(
    reasons: tuple[str, ...], settings: ABTestSettings = DEFAULT_SETTINGS, counts: tuple[CountCheck, ...] = ()
) -> Judgement:
    """Return the judgement on a test whose counts are unsound, or whose records cannot be.

    Args:
        reasons: what is wrong, for people.
        settings: thresholds.
        counts: the checks, where they could be made.
    """
    return Judgement(
        verdict=Verdict.INVALID,
        reasons=("the arms are not what the assignment made them; find out why and start again", *reasons),
        difference=None,
        lower=None,
        upper=None,
        effect=None,
        e_benefit=1.0,
        e_harm=1.0,
        is_ordered_rule_met=False,
        power=0.0,
        fixed_units_per_arm=_fixed_size(settings),
        needed_units_per_arm=_sequential_size(settings),
        units_to_go=0,
        days_to_go=None,
        stages=(),
        counts=counts,
        guardrails=(),
    )
