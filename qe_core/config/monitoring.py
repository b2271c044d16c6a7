"""What is done about what the monitor sees, and who is told.

What belongs here: the section ``monitoring`` of ``learning.json``. What does not: when an agent counts as
converged, diverging or stale (`settings.ConvergenceSettings`), and the webhook's address, which is a secret
(`locations`).
"""

from typing import Annotated

from pydantic import Field

from qe_core.config.section import Fraction, PositiveFloat, PositiveFraction, Section


class MonitoringSettings(Section):
    """Answers to divergence, alerts and their delivery."""

    is_responding: bool = Field(
        default=True, description="Lower the learning rate and explore more while an agent diverges."
    )
    diverging_windows: int = Field(
        default=2, ge=1, description="Consecutive diverging windows that strengthen the response by a step."
    )
    healthy_windows: int = Field(
        default=3, ge=1, description="Consecutive healthy windows that take a step back."
    )
    learning_rate_step: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        default=0.5, description="Factor on learning rates per step of the response."
    )
    min_learning_rate_factor: PositiveFraction = Field(
        default=0.125, description="Learning rates never fall below this share of what is configured."
    )
    exploration_step: Fraction = Field(
        default=0.1, description="What each step of the response adds to the least exploration rate."
    )
    max_exploration_floor: Fraction = Field(
        default=0.3, description="The response never asks for a higher least exploration rate than this."
    )
    slow_after_episodes: int = Field(
        default=1_000, ge=1, description="An agent that has not converged after this many episodes is slow."
    )
    sensor_interval_seconds: int = Field(
        default=60, ge=1, le=3_600, description="Pause between two looks at the verdicts and deliveries."
    )
    webhook_timeout_seconds: Annotated[float, Field(gt=0.0, le=60.0)] = Field(
        default=5.0, description="How long the webhook may take to answer."
    )
    webhook_attempts: int = Field(
        default=8, ge=1, le=50, description="Attempts before the delivery of an alert is given up."
    )
    webhook_backoff_seconds: PositiveFloat = Field(
        default=5.0, description="Pause after the first failed attempt; doubled after each, an hour at most."
    )
