"""How policies are tested, rolled out, watched and taken back.

What belongs here: the section ``rollout`` of ``learning.json``. What does not: what follows from the figures
(`qe_core.rollout`).
"""

from typing import Annotated, Self

from pydantic import Field, model_validator

from qe_core.config.section import Fraction, Section

_Error = Annotated[float, Field(gt=0.0, lt=0.5)]
_Margin = Annotated[float, Field(gt=0.0, lt=10.0)]
_Hours = Annotated[float, Field(ge=0.0, le=8_760.0)]
_Units = Annotated[int, Field(ge=10)]
_Days = Annotated[float, Field(gt=0.0, le=3_650.0)]
_Points = Annotated[float, Field(gt=0.0, le=100.0)]
_Tasks = Annotated[int, Field(ge=2, le=1_000_000)]


class RolloutSettings(Section):
    """Serving, A/B tests, stages, rollback and snapshots."""

    serving_exploration_rate: Fraction = Field(
        default=0.02,
        description="Share of random actions while a frozen version serves; keeps every propensity above 0.",
    )
    significance_level: _Error = Field(
        default=0.05, description="Chance of promoting a policy that is no better, over all looks together."
    )
    minimum_effect_size: _Margin = Field(
        default=0.2, description="Standardised gain below which promoting is not worth it (Cohen's d)."
    )
    minimum_units_per_arm: _Units = Field(
        default=100, description="Recorded units each arm needs before a promotion or giving up."
    )
    minimum_units_for_harm: _Units = Field(
        default=20, description="Recorded units each arm needs before a test can stop for harm."
    )
    minimum_units_to_advance: _Units = Field(
        default=20, description="Recorded units each arm needs at 10 % before the test goes on to 50 %."
    )
    maximum_units_per_arm: _Units = Field(
        default=1_500, description="Recorded units in the smaller arm at which an undecided test is given up."
    )
    prior_effect_size: _Margin = Field(
        default=0.3, description="Effect size the sequential test is most sensitive to."
    )
    sample_ratio_significance: _Error = Field(
        default=0.001, description="Chance, per stage, of calling sound counts of the arms unsound."
    )
    is_success_guarded: bool = Field(
        default=True, description="A promotion needs the success rate measured and shown not to be worse."
    )
    is_cost_guarded: bool = Field(
        default=True, description="A promotion needs the cost measured and shown not to be worse."
    )
    is_duration_guarded: bool = Field(
        default=True, description="A promotion needs the duration measured and shown not to be worse."
    )
    max_success_rate_loss: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        default=0.1, description="Loss of success rate that a promotion may cost at most."
    )
    max_cost_increase: _Margin = Field(
        default=0.25,
        description="Extra cost, as a share of the control's, that a promotion may bring.",
    )
    max_duration_increase: _Margin = Field(
        default=0.25,
        description="Extra duration, as a share of the control's, that a promotion may bring.",
    )
    target_power: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        default=0.8, description="Power that sample sizes and days to go are computed for."
    )
    hold_out_share: Annotated[float, Field(gt=0.0, le=0.5)] = Field(
        default=0.1, description="Share of units that stays with the stable version at the last stage."
    )
    dwell_hours_at_10: _Hours = Field(default=24.0, description="Shortest time at 10 % of the units, hours.")
    dwell_hours_at_50: _Hours = Field(default=48.0, description="Shortest time at 50 % of the units, hours.")
    dwell_hours_at_100: _Hours = Field(
        default=24.0, description="Shortest time at 100 % less the hold-out before a promotion, hours."
    )
    longest_days_in_stage: Annotated[float, Field(gt=0.0, le=365.0)] = Field(
        default=28.0, description="An undecided test is given up after so long in one stage, days."
    )
    is_advancing: bool = Field(
        default=True, description="Let verdicts move tests on and end them; otherwise only people do."
    )
    candidate_min_effective_episodes: Annotated[float, Field(gt=1.0)] = Field(
        default=50.0,
        description="Episodes of a candidate's own that the log must be worth before it may be tested.",
    )
    candidate_max_unsupported_share: Fraction = Field(
        default=0.05,
        description="Share of episodes in which a candidate may meet an action never tried in its state.",
    )
    candidate_worst_case: Annotated[float, Field(gt=0.0, lt=0.5)] = Field(
        default=0.01, description="Share of worst cases in which a candidate may lose more than tolerated."
    )
    candidate_max_loss_points: Annotated[float, Field(ge=0.0, le=1_000.0)] = Field(
        default=2.0, description="Loss in the worst cases that a candidate may be tested with, points."
    )
    is_rolling_back: bool = Field(
        default=True, description="Take policies back when a trigger fires; otherwise only tell people."
    )
    rollback_success_drop_points: _Points = Field(
        default=10.0, description="Loss of success rate that calls for a rollback, percentage points."
    )
    rollback_reward_drop_points: _Points = Field(
        default=15.0, description="Loss of mean return that calls for a rollback, points."
    )
    rollback_precision: _Points = Field(
        default=4.5, description="Standard errors a drop must be worth in the window it is read on."
    )
    rollback_error_rate: _Error = Field(
        default=0.001,
        description="Chance that the sequential trigger ever fires on a version that is no worse.",
    )
    rollback_effect_scale: _Points = Field(
        default=0.3, description="Harm the sequential trigger is most sensitive to, standard deviations."
    )
    rollback_minimum_tasks: _Tasks = Field(
        default=30, description="Recent tasks below which nothing is judged."
    )
    rollback_minimum_baseline_tasks: _Tasks = Field(default=200, description="Tasks a baseline needs.")
    rollback_baseline_tasks: _Tasks = Field(
        default=2_000, description="Tasks in a baseline, at most; more make triggers sharper."
    )
    rollback_recent_tasks: _Tasks = Field(default=2_000, description="Tasks looked back at, at most.")
    rollback_stride_tasks: _Tasks = Field(
        default=100, description="Tasks between two possible beginnings of harm."
    )
    rollback_cool_down_seconds: Annotated[float, Field(ge=0.0, le=604_800.0)] = Field(
        default=3_600.0,
        description="Pause after an automatic rollback; doubled for each further one within a day.",
    )
    keep_all_days: _Days = Field(default=1.0, description="Every version younger than this is kept, days.")
    keep_hourly_days: _Days = Field(
        default=7.0, description="The newest version of each hour younger than this is kept, days."
    )
    keep_daily_days: _Days = Field(
        default=90.0, description="The newest version of each day younger than this is kept, days."
    )

    @model_validator(mode="after")
    def _limits_are_in_order(self) -> Self:
        if self.maximum_units_per_arm < self.minimum_units_per_arm:
            raise ValueError(
                f"maximum_units_per_arm {self.maximum_units_per_arm} must not be below minimum_units_per_arm "
                f"{self.minimum_units_per_arm}"
            )
        longest = max(self.dwell_hours_at_10, self.dwell_hours_at_50, self.dwell_hours_at_100)
        if longest > 24.0 * self.longest_days_in_stage:
            raise ValueError(
                f"a dwell of {longest:g} hours must not exceed longest_days_in_stage "
                f"{self.longest_days_in_stage:g}"
            )
        return self
