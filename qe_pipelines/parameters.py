"""The settings in the learning core's own words.

What belongs here: one function for each group of parameters. What does not: reading settings, and defaults.
"""

from typing import assert_never

import numpy as np

from qe_core.config import Settings
from qe_core.fleet.rewards import REWARD_LIMIT
from qe_core.learning.empirical_mdp import Caution
from qe_core.learning.q_table import ConfidenceSettings, noise_variance
from qe_core.learning.replay.buffer import BufferSettings, SamplingStrategy
from qe_core.learning.target_statistics import TargetStatistics
from qe_core.learning.updates import LearningRate


def confidence_settings(settings: Settings) -> ConfidenceSettings:
    """Return what is assumed about values and noise before any evidence."""
    learning = settings.learning
    return ConfidenceSettings(
        learning.prior_variance_points2, learning.noise_variance_points2, learning.noise_weight_targets
    )


def learning_rate(settings: Settings) -> LearningRate:
    """Return how step sizes follow from visits."""
    learning = settings.learning
    match learning.learning_rate_schedule:
        case "visits":
            return LearningRate(
                learning.learning_rate_initial, learning.learning_rate_min, learning.learning_rate_exponent
            )
        case "constant":
            return LearningRate.constant(learning.learning_rate_constant)
        case _:
            assert_never(learning.learning_rate_schedule)


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


def caution(settings: Settings) -> Caution:
    """Return how an agent's table is solved from few samples."""
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
