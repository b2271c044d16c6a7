"""The settings in the words of the learning core and the hierarchy.

What belongs here: one function for each group of parameters an agent needs. What does not: reading settings,
and defaults.
"""

from typing import assert_never

from qe_core.config import Settings
from qe_core.hierarchy.aggregate import ValueKind
from qe_core.hierarchy.lookup import LookupSettings
from qe_core.learning.exploration import (
    ExplorationSchedule,
    ExponentialSchedule,
    RewardBasedSchedule,
    StepSchedule,
)
from qe_core.learning.q_table import ConfidenceSettings
from qe_core.learning.updates import LearningRate


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


def lookup_settings(settings: Settings) -> LookupSettings:
    """Return how far each level of the hierarchy is trusted."""
    chosen = settings.hierarchy
    return LookupSettings(
        chosen.minimum_visits,
        chosen.category_factor,
        chosen.fleet_factor,
        ValueKind(chosen.shared_values),
    )
