"""What a rollback is decided by, with the ordered figures as defaults.

What belongs here: thresholds, windows, their ranges and why they are what they are. What does not: deciding
(`rollback`).
"""

from dataclasses import dataclass

import numpy as np

from qe_core.errors import RolloutError
from qe_core.rollout.rollback_windows import LARGEST_WINDOW


@dataclass(frozen=True, slots=True)
class RollbackSettings:
    """What a rollback is decided by, with the ordered figures as defaults.

    Attributes:
        success_drop_points: percentage points of the success rate at which the first trigger fires.
        reward_drop_points: points of the mean return at which the second fires.
        precision: standard errors that an ordered drop must be worth in the window it is read on, above 0.
        error_rate: chance that the sequential test ever fires while a version is watched that is no worse.
        effect_scale: standard deviations by which harm is expected to lower success or return.
        minimum_tasks: recent tasks below which nothing is judged.
        minimum_baseline_tasks: tasks a baseline needs.
        baseline_tasks: tasks a baseline window holds at most; more make every trigger sharper.
        recent_tasks: tasks looked back at most.
        stride: tasks between two possible beginnings of harm.
        cool_down_seconds: after a rollback, before the next one; doubled for each further one within a day.
    """

    success_drop_points: float = 10.0
    reward_drop_points: float = 15.0
    precision: float = 4.5
    error_rate: float = 0.001
    effect_scale: float = 0.3
    minimum_tasks: int = 30
    minimum_baseline_tasks: int = 200
    baseline_tasks: int = 2_000
    recent_tasks: int = 2_000
    stride: int = 100
    cool_down_seconds: float = 3_600.0

    def __post_init__(self) -> None:
        for name in ("success_drop_points", "reward_drop_points", "precision", "effect_scale"):
            if not 0.0 < getattr(self, name) <= 100.0:
                raise RolloutError(f"{name} must lie in (0, 100], got {getattr(self, name)}; change it")
        if not 0.0 < self.error_rate < 0.5:
            raise RolloutError(
                f"error_rate must lie in (0, 0.5), got {self.error_rate}; 0.001 is a good choice"
            )
        for name in ("minimum_tasks", "minimum_baseline_tasks", "baseline_tasks", "recent_tasks", "stride"):
            if not 2 <= getattr(self, name) <= LARGEST_WINDOW:
                raise RolloutError(
                    f"{name} must lie in 2 … {LARGEST_WINDOW}, got {getattr(self, name)}; change it"
                )
        if not 0.0 <= self.cool_down_seconds < np.inf:
            raise RolloutError(
                f"cool_down_seconds must not be negative, got {self.cool_down_seconds}; change it"
            )


DEFAULT_ROLLBACK = RollbackSettings()
