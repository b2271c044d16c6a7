"""The settings in the words of the learning core and the hierarchy.

What belongs here: one function for each group of parameters, for agents and pipelines. What does not: reading
settings, and defaults.
"""

from datetime import timedelta
from typing import assert_never

import numpy as np

from qe_core.config import Settings
from qe_core.fleet.rewards import REWARD_LIMIT
from qe_core.hierarchy.aggregate import ValueKind
from qe_core.hierarchy.lookup import LookupSettings
from qe_core.hierarchy.merging import MergeSettings
from qe_core.learning.convergence import ConvergenceSettings
from qe_core.learning.divergence_response import Adjustment, ResponseSettings
from qe_core.learning.empirical_mdp import Caution
from qe_core.learning.exploration import (
    ExplorationSchedule,
    ExponentialSchedule,
    RewardBasedSchedule,
    StepSchedule,
)
from qe_core.learning.q_table import ConfidenceSettings, noise_variance
from qe_core.learning.replay.buffer import BufferSettings, SamplingStrategy
from qe_core.learning.target_statistics import TargetStatistics
from qe_core.learning.updates import LearningRate
from qe_core.privacy.aggregation import CombineSettings
from qe_core.privacy.units import ContributionBound, ProtectedUnit
from qe_core.rollout.evidence import Measure
from qe_core.rollout.off_policy_support import SupportSettings
from qe_core.rollout.rollback_settings import RollbackSettings
from qe_core.rollout.safe_improvement_check import CheckSettings
from qe_core.rollout.settings import ABTestSettings
from qe_core.store.policies import Ages

DAY_SECONDS = 86_400.0


def exploration_schedule(settings: Settings) -> ExplorationSchedule:
    """Return the exploration schedule the settings ask for, at its beginning."""
    chosen = settings.exploration
    match chosen.schedule:
        case "exponential":
            return ExponentialSchedule(chosen.rate_initial, chosen.rate_min, chosen.decay_per_episode)
        case "step":
            return StepSchedule(
                chosen.rate_initial, chosen.rate_min, chosen.step_factor, chosen.step_episodes
            )
        case "reward_based":
            return RewardBasedSchedule(
                chosen.rate_initial,
                chosen.rate_min,
                chosen.reward_steps,
                chosen.reward_bar_initial_points,
                chosen.reward_bar_step_points,
            )
        case _:
            assert_never(chosen.schedule)


def learning_rate(settings: Settings) -> LearningRate:
    """Return the learning rate the settings ask for."""
    chosen = settings.learning
    match chosen.learning_rate_schedule:
        case "visits":
            return LearningRate(
                chosen.learning_rate_initial, chosen.learning_rate_min, chosen.learning_rate_exponent
            )
        case "constant":
            return LearningRate.constant(chosen.learning_rate_constant)
        case _:
            assert_never(chosen.learning_rate_schedule)


def confidence_settings(settings: Settings) -> ConfidenceSettings:
    """Return what is assumed about values and noise before any evidence."""
    learning = settings.learning
    return ConfidenceSettings(
        learning.prior_variance_points2, learning.noise_variance_points2, learning.noise_weight_targets
    )


def caution(settings: Settings) -> Caution:
    """Return how a table is solved from few samples."""
    return Caution(
        pessimism=settings.learning.pessimism_standard_errors, confidence=confidence_settings(settings)
    )


def value_limit(statistics: TargetStatistics, discount: float, settings: Settings) -> float:
    """Return the largest |q| a table with this evidence can hold, points.

    Rewards are bounded, less the largest penalty for uncertainty, and so is their discounted sum.
    """
    variance = noise_variance(statistics, confidence_settings(settings))
    error = np.sqrt(variance / np.maximum(statistics.count, 1)) * (statistics.count > 0)
    penalty = settings.learning.pessimism_standard_errors * error.max()
    return float((REWARD_LIMIT + penalty) / (1.0 - discount))


def buffer_settings(settings: Settings) -> BufferSettings:
    """Return how many transitions replay keeps and how it samples them."""
    replay = settings.replay
    return BufferSettings(
        replay.capacity_transitions,
        SamplingStrategy(replay.strategy),
        replay.priority_exponent,
        replay.importance_sampling_exponent,
        replay.importance_sampling_increment,
    )


def lookup_settings(settings: Settings) -> LookupSettings:
    """Return how far each level of the hierarchy is trusted."""
    chosen = settings.hierarchy
    return LookupSettings(
        chosen.minimum_visits,
        chosen.category_factor,
        chosen.fleet_factor,
        ValueKind(chosen.shared_values),
    )


def convergence_settings(settings: Settings) -> ConvergenceSettings:
    """Return when an agent counts as converged."""
    rules = settings.convergence
    return ConvergenceSettings(
        window_episodes=rules.window_episodes,
        maximum_windows=rules.maximum_windows,
        window_count=rules.window_count,
        reward_scale=2 * REWARD_LIMIT,
        max_mean_abs_q_change=rules.max_mean_abs_q_change,
        max_reward_sd_points=rules.max_reward_sd_points,
        min_success_rate=rules.min_success_rate,
        max_exploration_rate=rules.max_exploration_rate,
        max_bellman_residual_points=rules.max_bellman_residual_points,
        max_recent_bias_points=rules.max_recent_bias_points,
        max_greedy_churn=rules.max_greedy_churn,
        min_pair_visits=rules.min_pair_visits,
        min_pair_coverage=rules.min_pair_coverage,
        tie_points=rules.tie_points,
        stale_after_seconds=rules.stale_after_days * DAY_SECONDS,
    )


def response_settings(settings: Settings) -> ResponseSettings:
    """Return how divergence is answered."""
    rules = settings.monitoring
    return ResponseSettings(
        rules.diverging_windows,
        rules.healthy_windows,
        rules.learning_rate_step,
        rules.min_learning_rate_factor,
        rules.exploration_step,
        rules.max_exploration_floor,
    )


def ab_test_settings(settings: Settings) -> ABTestSettings:
    """Return what an A/B test is judged by."""
    rules = settings.rollout
    guarded = {
        Measure.SUCCESS: rules.is_success_guarded,
        Measure.COST: rules.is_cost_guarded,
        Measure.DURATION: rules.is_duration_guarded,
    }
    return ABTestSettings(
        significance=rules.significance_level,
        minimum_effect=rules.minimum_effect_size,
        minimum_per_arm=rules.minimum_units_per_arm,
        minimum_for_harm=rules.minimum_units_for_harm,
        maximum_per_arm=rules.maximum_units_per_arm,
        prior_scale=rules.prior_effect_size,
        sample_ratio_significance=rules.sample_ratio_significance,
        guardrails=tuple(measure for measure, is_guarded in guarded.items() if is_guarded),
        success_margin=rules.max_success_rate_loss,
        cost_margin=rules.max_cost_increase,
        duration_margin=rules.max_duration_increase,
        target_power=rules.target_power,
        dwell_at_tenth=timedelta(hours=rules.dwell_hours_at_10),
        dwell_at_half=timedelta(hours=rules.dwell_hours_at_50),
        dwell_at_full=timedelta(hours=rules.dwell_hours_at_100),
        longest_in_stage=timedelta(days=rules.longest_days_in_stage),
        minimum_to_advance=rules.minimum_units_to_advance,
    )


def candidate_check_settings(settings: Settings) -> CheckSettings:
    """Return what the log must say of a candidate before it may be tested."""
    rules = settings.rollout
    return CheckSettings(
        support=SupportSettings(
            rules.candidate_min_effective_episodes, rules.candidate_max_unsupported_share
        ),
        worst_case=rules.candidate_worst_case,
        tolerated_loss_points=rules.candidate_max_loss_points,
    )


def rollback_settings(settings: Settings) -> RollbackSettings:
    """Return what an automatic rollback is decided by."""
    rules = settings.rollout
    return RollbackSettings(
        success_drop_points=rules.rollback_success_drop_points,
        reward_drop_points=rules.rollback_reward_drop_points,
        precision=rules.rollback_precision,
        error_rate=rules.rollback_error_rate,
        effect_scale=rules.rollback_effect_scale,
        minimum_tasks=rules.rollback_minimum_tasks,
        minimum_baseline_tasks=rules.rollback_minimum_baseline_tasks,
        baseline_tasks=rules.rollback_baseline_tasks,
        recent_tasks=rules.rollback_recent_tasks,
        stride=rules.rollback_stride_tasks,
        cool_down_seconds=rules.rollback_cool_down_seconds,
    )


def version_ages(settings: Settings) -> Ages:
    """Return how long policy versions are kept."""
    rules = settings.rollout
    return Ages(
        all_for=timedelta(days=rules.keep_all_days),
        hourly_for=timedelta(days=rules.keep_hourly_days),
        daily_for=timedelta(days=rules.keep_daily_days),
    )


def contribution_bound(settings: Settings) -> ContributionBound:
    """Return how much of one protected unit counts in a release."""
    rules = settings.team
    match ProtectedUnit(rules.protected_unit):
        case ProtectedUnit.TASK as unit:
            return ContributionBound(unit, rules.pairs_per_task, rules.clip_bound_points)
        case ProtectedUnit.DEVELOPER as unit:
            return ContributionBound(unit, rules.pairs_per_developer, rules.clip_bound_points)
        case _ as never:
            assert_never(never)


def combine_settings(settings: Settings) -> CombineSettings:
    """Return what is asked of contributions before anything follows from them."""
    rules = settings.team
    return CombineSettings(
        minimum_cohort=rules.minimum_cohort,
        minimum_group=rules.minimum_group,
        maximum_share=rules.maximum_share,
        sureness=rules.sureness_standard_errors,
        clip_bound=rules.clip_bound_points,
    )


def merge_settings(settings: Settings) -> MergeSettings:
    """Return how far a team's value is trusted beside an own one."""
    return MergeSettings(settings.team.conflict_standard_errors)


def adjusted(settings: Settings, adjustment: Adjustment) -> Settings:
    """Return the settings with an adjustment to learning applied: smaller steps, more exploration."""
    learning, exploration = settings.learning, settings.exploration
    factor = adjustment.learning_rate_factor
    rates = {
        "learning_rate_initial": factor * learning.learning_rate_initial,
        "learning_rate_min": factor * learning.learning_rate_min,
        "learning_rate_constant": factor * learning.learning_rate_constant,
    }
    floors = {
        "rate_initial": adjustment.exploration_rate(exploration.rate_initial),
        "rate_min": adjustment.exploration_rate(exploration.rate_min),
        "matching_rate": adjustment.exploration_rate(exploration.matching_rate),
    }
    return settings.model_copy(
        update={
            "learning": learning.model_copy(update=rates),
            "exploration": exploration.model_copy(update=floors),
        }
    )
