"""What an A/B test is judged by, with the ordered figures as defaults.

What belongs here: thresholds, their ranges and why they are what they are. What does not: judging
(`verdicts`) and the ramp (`ramp`).
"""

from dataclasses import dataclass
from datetime import timedelta

from qe_core.errors import RolloutError
from qe_core.rollout.evidence import Measure

GUARDED = (Measure.SUCCESS, Measure.COST, Measure.DURATION)


@dataclass(frozen=True, slots=True)
class ABTestSettings:
    """Thresholds of a test; the defaults are the ordered ones where there is an order.

    Attributes:
        significance: chance of shipping a policy that is no better, over all looks together; also of each end
            of the intervals missing the truth. In [1e-9, 0.5).
        minimum_effect: effect size (standardised difference of reward) below which shipping is not worth it,
            in [0.01, 10).
        minimum_per_arm: recorded units an arm needs before it can be promoted or given up; at least 10.
        minimum_for_harm: recorded units an arm needs before the test can stop for harm; at least 10.
        maximum_per_arm: recorded units in the smaller arm at which an undecided test is given up.
        prior_scale: effect size the sequential test is tuned for, in [0.01, 10); ADR 0081 has the
            measurement.
        sample_ratio_significance: chance, per stage and over all looks, of calling sound counts unsound.
        guardrails: measures that may not get worse; each must be recorded and shown to hold before a
            promotion.
        success_margin: tolerated loss of success rate, in (0, 1): the drop at which a rollback is ordered.
        cost_margin: tolerated extra cost, as a share of the control's, > 0.
        duration_margin: tolerated extra duration, as a share of the control's, > 0.
        target_power: power the sample size is computed for, in [0.5, 1).
        dwell_at_tenth: shortest time at 10 %.
        dwell_at_half: shortest time at 50 %.
        dwell_at_full: shortest time at 100 % with the hold-out, before the candidate becomes stable.
        longest_in_stage: time after which a test still undecided is given up; with developers as units there
            may never be more of them.
        minimum_to_advance: recorded units an arm needs at 10 % before the rollout goes on to 50 %; at least
            2.
    """

    significance: float = 0.05
    minimum_effect: float = 0.2
    minimum_per_arm: int = 100
    minimum_for_harm: int = 20
    maximum_per_arm: int = 1500
    prior_scale: float = 0.3
    sample_ratio_significance: float = 0.001
    guardrails: tuple[Measure, ...] = GUARDED
    success_margin: float = 0.1
    cost_margin: float = 0.25
    duration_margin: float = 0.25
    target_power: float = 0.8
    dwell_at_tenth: timedelta = timedelta(hours=24)
    dwell_at_half: timedelta = timedelta(hours=48)
    dwell_at_full: timedelta = timedelta(hours=24)
    longest_in_stage: timedelta = timedelta(days=28)
    minimum_to_advance: int = 20

    def __post_init__(self) -> None:
        for name, lowest, highest in (
            ("significance", 1e-9, 0.5), ("sample_ratio_significance", 1e-9, 0.5), ("target_power", 0.5, 1.0),
            ("minimum_effect", 0.01, 10.0), ("prior_scale", 0.01, 10.0), ("success_margin", 1e-9, 1.0),
            ("cost_margin", 1e-9, 10.0), ("duration_margin", 1e-9, 10.0),
        ):  # fmt: skip
            if not lowest <= getattr(self, name) < highest:
                raise RolloutError(
                    f"{name} must lie in [{lowest:g}, {highest:g}), got {getattr(self, name)}: change it"
                )
        for name, least in (
            ("minimum_for_harm", 10), ("minimum_to_advance", 2), ("minimum_per_arm", 10),
            ("maximum_per_arm", self.minimum_per_arm),
        ):  # fmt: skip
            if getattr(self, name) < least:
                raise RolloutError(f"{name} must be at least {least}, got {getattr(self, name)}: raise it")
        for name in ("dwell_at_tenth", "dwell_at_half", "dwell_at_full"):
            if not timedelta(0) <= getattr(self, name) <= self.longest_in_stage:
                raise RolloutError(
                    f"{name} must lie between 0 and longest_in_stage, {self.longest_in_stage}, "
                    f"got {getattr(self, name)}: change it"
                )


DEFAULT_SETTINGS = ABTestSettings()
