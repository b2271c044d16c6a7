"""Simulated traffic: what tasks would be rewarded, who they come from, and how the level moves meanwhile.

What belongs here: drawing outcomes. What does not: the test that is made of them (`playing`).
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LEVEL_POINTS = 20.0
NOISE_POINTS = 30.0
FAILURE_QUANTILE = -1.0364
"""Of the standard normal: 15 % of a level candidate's tasks fail."""

DISASTER_SHARE = 0.05
CLIPPED_T_SD = 1.341
"""Standard deviation of Student's t on 3 degrees of freedom, clipped to ±100/30."""


class Noise(StrEnum):
    """How the reward of a task scatters."""

    NORMAL = "normal"
    HEAVY = "Student's t, 3 degrees of freedom, clipped to ±100"
    DISASTERS = "5 % disasters of −100"


@dataclass(frozen=True, slots=True)
class World:
    """The traffic of one test.

    Attributes:
        effect: true standardised effect of the candidate.
        noise: how rewards scatter.
        drift: size of the level's movement, in standard deviations: a daily swing of half of it, a trend of
            it a week, a jump of it with each stage, a spread that grows by half of it with each stage.
        tasks_per_day: tasks of the agent, in the test or not.
        developers: 0 where a task is the unit; else who the tasks come from, as units.
        shared_variance: share of a task's variance that its developer makes, in [0, 1).
        lost_share: of the outcomes in each arm that never arrive, and are known to be missing.
        repeated_share: of the outcomes in each arm that are delivered again.
    """

    effect: float = 0.0
    noise: Noise = Noise.NORMAL
    drift: float = 0.0
    tasks_per_day: float = 400.0
    developers: int = 0
    shared_variance: float = 0.0
    lost_share: float = 0.005
    repeated_share: float = 0.01


@dataclass(frozen=True, slots=True)
class Tasks:
    """Outcomes of tasks, one entry each.

    Attributes:
        reward: points, in [−100, 100] but for drift.
        success: 1 or 0.
        cost: dollars.
        duration_seconds: of the task.
    """

    reward: Floats
    success: Floats
    cost: Floats
    duration_seconds: Floats


def draw(
    world: World,
    is_treated: npt.NDArray[np.bool_],
    days: Floats,
    stage_index: int,
    random: np.random.Generator,
) -> Tasks:
    """Return what tasks at these times are rewarded.

    Args:
        world: the traffic.
        is_treated: whether each is served the candidate.
        days: when each happens, since the start of the test.
        stage_index: 0 at 10 %, 1 at 50 %, 2 at 100 %.
        random: source of chance.
    """
    scatter, sd = _scatter(world.noise, days.size, random)
    shifted = scatter + np.where(is_treated, world.effect * sd, 0.0)
    swing = 0.5 * np.sin(2.0 * np.pi * days) + days / 7.0 + stage_index
    spread = 1.0 + 0.5 * world.drift * stage_index
    return Tasks(
        reward=LEVEL_POINTS + world.drift * sd * swing + spread * shifted,
        success=_is_success(world.noise, shifted / sd).astype(np.float64),
        cost=random.gamma(4.0, 0.005, days.size),
        duration_seconds=random.gamma(3.0, 20.0, days.size),
    )


def _scatter(noise: Noise, count: int, random: np.random.Generator) -> tuple[Floats, float]:
    """Return centred noise in points and its standard deviation."""
    match noise:
        case Noise.NORMAL:
            return NOISE_POINTS * random.standard_normal(count), NOISE_POINTS
        case Noise.HEAVY:
            clipped = np.clip(random.standard_t(3, count), -100.0 / NOISE_POINTS, 100.0 / NOISE_POINTS)
            return NOISE_POINTS * clipped, NOISE_POINTS * CLIPPED_T_SD
        case Noise.DISASTERS:
            is_disaster = random.random(count) < DISASTER_SHARE
            values = np.where(is_disaster, -120.0 + 120.0 * DISASTER_SHARE, 120.0 * DISASTER_SHARE)
            small = 10.0 * random.standard_normal(count)
            sd = float(np.sqrt(120.0**2 * DISASTER_SHARE * (1.0 - DISASTER_SHARE) + 100.0))
            return values + small, sd


def _is_success(noise: Noise, standardised: Floats) -> npt.NDArray[np.bool_]:
    """Say which tasks succeeded: a disaster never does."""
    return standardised > (-2.0 if noise is Noise.DISASTERS else FAILURE_QUANTILE)
