"""What happens between decisions: outcomes, and the episodes they add up to.

What belongs here: what an agent reports about a decision, and numbering. What does not: learning from it
(`learner`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from qe_core.errors import RewardError
from qe_core.fleet.rewards import REWARD_LIMIT, RewardModel
from qe_core.runtime.contexts import Context
from qe_core.runtime.errors import DecisionError
from qe_core.runtime.rollout.routes import Route

LONGEST_UNIT = 200
"""Characters in what an A/B test assigns by."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a decision.

    Attributes:
        measurements: by the names of the agent's reward terms, each in its term's unit; or give ``points``.
        points: the reward itself, in [-100, 100].
        next_context: what the agent is in now; None only where the episode terminated.
        terminated: the episode ended by its own rules: nothing of value follows.
        truncated: the episode was cut off: the next context still has a value.
        failed: the action raised, crashed or produced nothing usable; it forfeits its gains.
        success: whether the episode succeeded, on its last step; None follows the contract's rule.
        occurred_at: when, aware; None is now.
    """

    measurements: Mapping[str, float] | None = None
    points: float | None = None
    next_context: Context | None = None
    terminated: bool = False
    truncated: bool = False
    failed: bool = False
    success: bool | None = None
    occurred_at: datetime | None = None

    def __post_init__(self) -> None:
        if (self.measurements is None) == (self.points is None):
            raise DecisionError("an outcome has either measurements or points: give exactly one of them")
        if self.terminated and self.truncated:
            raise DecisionError(
                "an episode is terminated or truncated, not both; terminated where the task ended"
            )
        if self.next_context is None and not self.terminated:
            raise DecisionError("the episode goes on: give next_context, or say that it terminated")
        if self.success is not None and not self.is_end:
            raise DecisionError(
                "only the last step of an episode succeeds or fails; leave success out before"
            )

    @property
    def is_end(self) -> bool:
        """Whether the episode is over."""
        return self.terminated or self.truncated

    def reward(self, model: RewardModel) -> float:
        """Return the reward in points.

        Raises:
            RewardError: a measurement is unknown or not usable, or the points are out of range.
        """
        if self.measurements is not None:
            return model.reward(self.measurements, failed=self.failed)
        points = self.points
        if points is None or not (math.isfinite(points) and abs(points) <= REWARD_LIMIT):
            raise RewardError(f"a reward lies in [-{REWARD_LIMIT:g}, {REWARD_LIMIT:g}] points, not {points}")
        return float(points)


def check_unit(unit: str | None) -> str | None:
    """Return what an A/B test may assign by, or None.

    Raises:
        DecisionError: it is empty, too long, or not text that can be stored.
    """
    if unit is not None and not (0 < len(unit) <= LONGEST_UNIT and unit.isprintable()):
        raise DecisionError(
            f"a unit is a name of 1 to {LONGEST_UNIT} printable characters, for example a developer's, "
            f"not {unit!r:.60}"
        )
    return unit


@dataclass(slots=True, eq=False)
class Episode:
    """One task an agent works on: numbers its steps and adds up its rewards.

    Attributes:
        name: unique for the agent.
        steps: decisions taken so far.
        rewards: points by step, as recorded.
        is_finished: whether its end was recorded.
        unit: what A/B tests assign by, for example the developer; None is the episode itself.
        costs: actual over expected cost by step, where measured.
        route: the policy it follows; None before its first decision.
        epoch: of the agent's table when it was given that route.
        began_at: when that was.

    Raises:
        DecisionError: the unit is empty, too long or not text that can be stored.
    """

    name: str
    steps: int = 0
    rewards: dict[int, float] = field(default_factory=dict)
    is_finished: bool = False
    unit: str | None = None
    costs: dict[int, float] = field(default_factory=dict)
    route: Route | None = None
    epoch: int = -1
    began_at: datetime | None = None

    def __post_init__(self) -> None:
        check_unit(self.unit)

    def take_step(self) -> int:
        """Return the number of the next step.

        Raises:
            DecisionError: the episode is over.
        """
        if self.is_finished:
            raise DecisionError(f"the episode {self.name} is over; begin another one with begin_episode()")
        step = self.steps
        self.steps += 1
        return step

    @property
    def total_reward(self) -> float:
        """Undiscounted sum of the rewards recorded so far, points."""
        return math.fsum(self.rewards.values())

    @property
    def mean_cost(self) -> float | None:
        """Mean over its steps of actual over expected cost; None where no step measured it."""
        return math.fsum(self.costs.values()) / len(self.costs) if self.costs else None
