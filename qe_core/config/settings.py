"""Every setting of the product: its type, range, unit and default.

What belongs here: the typed sections of ``learning.json``. What does not: where values come from (`loading`)
and where things are (`locations`). Sources of the defaults are the design's figures; Greek letters are named
in the descriptions only.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from qe_core.config.monitoring import MonitoringSettings
from qe_core.config.rollout import RolloutSettings
from qe_core.config.section import Cron, Fraction, PositiveFloat, PositiveFraction, Section
from qe_core.config.team import TeamSettings

WEIGHT_TOLERANCE = 1e-9
"""How far the sum of the reward weights may be from 1."""


class LearningSettings(Section):
    """How values are learned from experiences."""

    discount: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        default=0.95, description="Weight of the next step's value, the discount (gamma in S&B)."
    )
    learning_rate_schedule: Literal["visits", "constant"] = Field(
        default="visits", description="Let the learning rate fall with a pair's visits, or keep it constant."
    )
    learning_rate_initial: PositiveFraction = Field(
        default=1.0, description="Learning rate of the first visit under the schedule by visits."
    )
    learning_rate_exponent: Annotated[float, Field(gt=0.5, le=1.0)] = Field(
        default=0.7,
        description="How fast the rate falls with visits; above 0.5 so that its squares are summable.",
    )
    learning_rate_min: Fraction = Field(
        default=0.0,
        description="The rate never falls below this; 0 lets values converge, above 0 keeps them tracking.",
    )
    learning_rate_constant: PositiveFraction = Field(
        default=0.1, description="Learning rate under the constant schedule."
    )
    prior_variance_points2: PositiveFloat = Field(
        default=400.0, description="Assumed variance of true values around their prior, points squared."
    )
    noise_variance_points2: PositiveFloat = Field(
        default=400.0,
        description="Assumed variance of a learning target before it was measured, points squared.",
    )
    noise_weight_targets: PositiveFloat = Field(
        default=1.0, description="How many measured targets the assumed noise variance counts for."
    )
    pessimism_standard_errors: Annotated[float, Field(ge=0.0, le=10.0)] = Field(
        default=1.0, description="Standard errors by which tables stay below the mean where samples are few."
    )
    solver_residual_points: PositiveFloat = Field(
        default=1e-8,
        description="The exact solution iterates until its largest Bellman residual is below this, points.",
    )


class ExplorationSettings(Section):
    """How often an agent tries something else than what looks best."""

    session_rule: Literal["pooled", "matching", "epsilon_greedy"] = Field(
        default="pooled",
        description="How simulated sessions choose: each action as often as it may be the best by what was "
        "seen, pooled over features or for every state by itself; or greedy by Q-learning with random "
        "actions at the rate below.",
    )
    pooling_visits: Annotated[float, Field(ge=0.0)] = Field(
        default=3.0,
        description="Mean tries of a state's actions from which on sessions that pool know each by itself.",
    )
    matching_rate: Fraction = Field(
        default=0.01, description="Share of random actions beside matching; keeps every propensity above 0."
    )
    replan_share: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        default=0.04,
        description="Matching plans again once experiences grew by this share; 0 plans before every episode.",
    )
    schedule: Literal["exponential", "step", "reward_based"] = Field(
        default="exponential",
        description="How the exploration rate falls: by episodes, in steps, or as rewards rise (RBED).",
    )
    rate_initial: Fraction = Field(default=0.2, description="Exploration rate of the first episode.")
    rate_min: Fraction = Field(default=0.01, description="The exploration rate never falls below this.")
    decay_per_episode: PositiveFraction = Field(
        default=0.995, description="Factor on the rate after each episode under the exponential schedule."
    )
    step_episodes: int = Field(
        default=100, ge=1, description="Episodes between two steps under the step schedule."
    )
    step_factor: PositiveFraction = Field(
        default=0.5, description="Factor on the rate at each step under the step schedule."
    )
    reward_bar_initial_points: float = Field(
        default=0.0,
        ge=-1e6,
        le=1e6,
        description="First bar an episode's return must beat under the reward-based schedule.",
    )
    reward_bar_step_points: PositiveFloat = Field(
        default=1.0,
        description="How much each beaten bar raises the next one under the reward-based schedule, points.",
    )
    reward_steps: int = Field(
        default=50,
        ge=1,
        description="Beaten bars from rate_initial to rate_min under the reward-based schedule.",
    )

    @model_validator(mode="after")
    def _floor_is_below_start(self) -> Self:
        if self.rate_min > self.rate_initial:
            raise ValueError(f"rate_min {self.rate_min:g} must not exceed rate_initial {self.rate_initial:g}")
        return self


class ReplaySettings(Section):
    """Learning again from stored transitions."""

    strategy: Literal["uniform", "prioritized"] = Field(
        default="prioritized",
        description="Sample transitions alike, or in proportion to how surprising they were.",
    )
    capacity_transitions: int = Field(
        default=10_000, ge=32, le=10_000_000, description="Transitions kept for replay for each agent."
    )
    batch_transitions: int = Field(default=32, ge=1, le=65_536, description="Transitions in one batch.")
    priority_exponent: Fraction = Field(default=0.6, description="0 samples uniformly, 1 fully by priority.")
    importance_sampling_exponent: Fraction = Field(
        default=0.4, description="How much of the sampling bias is corrected at the start."
    )
    importance_sampling_increment: Fraction = Field(
        default=0.001, description="How much the correction grows with each batch, up to 1."
    )
    seed: int = Field(default=0, ge=0, description="Seed of the replay's random numbers.")

    @model_validator(mode="after")
    def _batch_fits(self) -> Self:
        if self.batch_transitions > self.capacity_transitions:
            raise ValueError(
                f"batch_transitions {self.batch_transitions} must not exceed "
                f"capacity_transitions {self.capacity_transitions}"
            )
        return self


class HierarchySettings(Section):
    """How the levels answer for each other where an agent knows little."""

    lookup: Literal["blend", "ordered"] = Field(
        default="blend",
        description="Blend levels by confidence, or take the first level visited enough, at a factor.",
    )
    shared_values: Literal["advantage", "raw"] = Field(
        default="advantage",
        description="Take from category and fleet how much better an action is, or its value as it is.",
    )
    minimum_visits: int = Field(
        default=5, ge=1, description="Visits after which the ordered lookup trusts the agent's own value."
    )
    category_factor: Fraction = Field(
        default=0.7, description="Factor on category values in the ordered lookup."
    )
    fleet_factor: Fraction = Field(default=0.5, description="Factor on fleet values in the ordered lookup.")


class TransferSettings(Section):
    """Passing values between agents of one similarity group."""

    minimum_confidence: Fraction = Field(
        default=0.7, description="Only values above this confidence are offered."
    )
    factor: Fraction = Field(default=0.8, description="Factor on a transferred value.")
    groups: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description="Similarity groups besides those agents declare: names of two or more agents by group. "
        "A group of a declared name takes its place; an empty one removes it.",
    )
    harm_error_rate: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        default=0.05,
        description="Chance, over all looks, that a harmless source of transfer is found harmful.",
    )

    @field_validator("groups")
    @classmethod
    def _groups_are_groups(cls, groups: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for name, members in groups.items():
            if not name.strip():
                raise ValueError("a similarity group needs a name")
            if len(members) == 1 or len(set(members)) < len(members):
                raise ValueError(
                    f"group {name!r} must name two or more different agents, or none to remove it; "
                    f"got {list(members)}"
                )
        return groups


class ConvergenceSettings(Section):
    """When an agent counts as converged: all of these over the newest windows."""

    window_episodes: int = Field(default=25, ge=2, description="Episodes in one statistics window.")
    maximum_windows: int = Field(
        default=400, ge=2, description="Longer logs get longer windows instead of more than this many."
    )
    window_count: int = Field(default=10, ge=2, description="Newest windows, which are judged together.")
    max_mean_abs_q_change: PositiveFloat = Field(
        default=0.01,
        description="Change of values per experience over the reward scale must stay below this.",
    )
    max_reward_sd_points: PositiveFloat = Field(
        default=5.0, description="Spread of window means of the return that is always accepted, points."
    )
    min_success_rate: Fraction = Field(
        default=0.85, description="Share of successful episodes must exceed this."
    )
    max_exploration_rate: Fraction = Field(default=0.05, description="Exploration rate must be below this.")
    max_bellman_residual_points: PositiveFloat = Field(
        default=10.0, description="Visit-weighted mean residual against the empirical MDP, points."
    )
    max_recent_bias_points: PositiveFloat = Field(
        default=10.0, description="Noise-corrected bias of values against the newest targets, points."
    )
    max_greedy_churn: Fraction = Field(
        default=0.05, description="Visit-weighted share of states whose best action changed between windows."
    )
    min_pair_visits: int = Field(default=5, ge=1, description="Visits every pair that matters needs.")
    min_pair_coverage: Fraction = Field(
        default=0.8, description="Visit-weighted share of states where enough pairs were visited enough."
    )
    tie_points: PositiveFloat = Field(
        default=1.0, description="A best action that loses less than this is not a change of policy, points."
    )
    stale_after_days: PositiveFloat = Field(
        default=14.0, description="An agent without experiences for this long is stale, days."
    )

    @model_validator(mode="after")
    def _windows_suffice(self) -> Self:
        if self.maximum_windows < self.window_count:
            raise ValueError(
                f"maximum_windows {self.maximum_windows} must not be below window_count {self.window_count}"
            )
        return self


class RewardWeights(Section):
    """Default weights of the objectives; they sum to 1."""

    coverage_gain: Fraction = Field(default=0.30, description="Weight of branches or lines newly covered.")
    defects_found: Fraction = Field(default=0.25, description="Weight of defects found.")
    execution_speed: Fraction = Field(
        default=0.15, description="Weight of time against the subject's own expectation."
    )
    cost_efficiency: Fraction = Field(
        default=0.10, description="Weight of cost against the subject's own expectation."
    )
    quality_improvement: Fraction = Field(default=0.10, description="Weight of measured quality gained.")
    pattern_reuse: Fraction = Field(default=0.10, description="Weight of reusing what is there.")

    @model_validator(mode="after")
    def _sums_to_one(self) -> Self:
        total = sum(getattr(self, name) for name in type(self).model_fields)
        if abs(total - 1.0) > WEIGHT_TOLERANCE:
            raise ValueError(f"the six weights must sum to 1, they sum to {total:.6g}")
        return self


class RewardSettings(Section):
    """What is worth how much."""

    weights: RewardWeights = Field(default_factory=RewardWeights, description="Weights of the objectives.")


class RetentionSettings(Section):
    """How long raw data is kept."""

    experiences_days: int = Field(
        default=30, ge=1, le=3_650, description="Days all experiences stay raw; later, summaries stay."
    )


class PipelineSettings(Section):
    """When the graph runs by itself."""

    replay_training_cron: Cron = Field(
        default="0 * * * *", description="When replay training runs, cron, UTC."
    )
    statistics_cron: Cron = Field(
        default="15 * * * *", description="When statistics windows are computed, cron, UTC."
    )
    retention_cron: Cron = Field(
        default="45 2 * * *", description="When old experiences are summarised and removed, cron, UTC."
    )
    snapshot_cron: Cron = Field(
        default="5 * * * *", description="When what each agent decides by is frozen as a version, cron, UTC."
    )
    staged_rollout_cron: Cron = Field(
        default="*/10 * * * *", description="When A/B tests are judged and go on or end, cron, UTC."
    )
    team_push_cron: Cron = Field(
        default="20 3 * * 1", description="When what was learned is contributed to the team, cron, UTC."
    )
    team_build_cron: Cron = Field(
        default="20 4 * * *", description="When the team's server makes tables of contributions, cron, UTC."
    )
    team_pull_cron: Cron = Field(
        default="20 5 * * *", description="When what the team knows is fetched, cron, UTC."
    )
    experience_batch_count: int = Field(
        default=100, ge=1, description="New experiences of an agent that start its graph at once."
    )
    experience_batch_age_seconds: int = Field(
        default=300,
        ge=1,
        description="Age of the oldest new experience that starts the graph although there are few, seconds.",
    )
    sensor_interval_seconds: int = Field(
        default=30, ge=1, le=3_600, description="Pause between two looks for new experiences."
    )


class Settings(BaseSettings):
    """All settings. Constructing it reads neither files nor the environment; `load_settings` does."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, validate_default=True)

    learning: LearningSettings = Field(
        default_factory=LearningSettings, description="How values are learned."
    )
    exploration: ExplorationSettings = Field(
        default_factory=ExplorationSettings, description="How often agents try something else."
    )
    replay: ReplaySettings = Field(default_factory=ReplaySettings, description="Learning again from the log.")
    hierarchy: HierarchySettings = Field(
        default_factory=HierarchySettings, description="How levels answer for each other."
    )
    transfer: TransferSettings = Field(
        default_factory=TransferSettings, description="Passing values between agents."
    )
    convergence: ConvergenceSettings = Field(
        default_factory=ConvergenceSettings, description="When an agent counts as converged."
    )
    monitoring: MonitoringSettings = Field(
        default_factory=MonitoringSettings, description="What is done about what is seen, and who is told."
    )
    rollout: RolloutSettings = Field(
        default_factory=RolloutSettings, description="How policies are tested, rolled out and taken back."
    )
    team: TeamSettings = Field(default_factory=TeamSettings, description="How a team learns together.")
    rewards: RewardSettings = Field(default_factory=RewardSettings, description="What is worth how much.")
    retention: RetentionSettings = Field(
        default_factory=RetentionSettings, description="How long raw data is kept."
    )
    pipelines: PipelineSettings = Field(
        default_factory=PipelineSettings, description="When the graph runs by itself."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values from the constructor only, so that a Settings in a test is what the test says."""
        return (init_settings,)
