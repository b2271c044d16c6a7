"""What a release counts, exactly: four arrays of integers per agent, over its public space.

What belongs here: the arrays and counting bounded steps into them. What does not: which steps count
(`units`), noise (`mechanism`). Exact statistics never leave the machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from qe_core.errors import PrivacyError
from qe_core.learning.arrays import Float64Array, Int64Array
from qe_core.privacy.space import PublicSpace
from qe_core.privacy.units import AgentSteps, BoundedSteps, ContributionBound, bounded


@dataclass(frozen=True, slots=True)
class AgentStatistics:
    """Counts of one agent, exact or noisy; noisy ones may be below 0.

    Attributes:
        units: units that have a counted pair.
        visits: of each pair, int64[S, A].
        rewards: their sum in hundredths of points, int64[S, A].
        transitions: int64[M · A, M + 1]; row = part · A + action, column = part of the successor, last = the
            task ended by its own rules. A step after which a task was cut off has a successor like others.
    """

    units: int
    visits: Int64Array
    rewards: Int64Array
    transitions: Int64Array

    @classmethod
    def zeros(cls, space: PublicSpace) -> Self:
        """Return the counts of nobody."""
        pairs = (space.state_count, space.action_count)
        return cls(
            0,
            np.zeros(pairs, dtype=np.int64),
            np.zeros(pairs, dtype=np.int64),
            np.zeros((space.row_count, space.outcome_count), dtype=np.int64),
        )

    def __add__(self, other: "AgentStatistics") -> "AgentStatistics":
        if self.visits.shape != other.visits.shape or self.transitions.shape != other.transitions.shape:
            raise PrivacyError(
                f"counts over {self.visits.shape} and {other.visits.shape} pairs do not add up; "
                "add those of one agent under one contract"
            )
        return AgentStatistics(
            self.units + other.units,
            self.visits + other.visits,
            self.rewards + other.rewards,
            self.transitions + other.transitions,
        )


def exact_statistics(
    steps: Mapping[str, AgentSteps],
    spaces: Mapping[str, PublicSpace],
    bound: ContributionBound,
    generator: np.random.Generator,
) -> dict[str, AgentStatistics]:
    """Return the counts of every agent of ``spaces``, each unit within its bound.

    Args:
        steps: what happened, by agent; an agent without steps may be left out.
        spaces: all agents of the release, whether they have steps or not.
        bound: how much of a unit counts.
        generator: chooses among a unit's pairs.

    Raises:
        PrivacyError: an agent is not in ``spaces``, or a task has steps of two agents.
        LearningError: a step lies outside its agent's space, or its reward is not finite.
    """
    chosen = bounded(steps, spaces, bound, generator)
    return {
        agent: _counted(steps[agent], chosen[agent], space, bound)
        if agent in steps
        else AgentStatistics.zeros(space)
        for agent, space in spaces.items()
    }


def _counted(
    steps: AgentSteps, chosen: BoundedSteps, space: PublicSpace, bound: ContributionBound
) -> AgentStatistics:
    pairs, rows = chosen.pairs, chosen.rows
    pair = steps.state[pairs] * space.action_count + steps.action[pairs]
    row = space.part[steps.state[rows]] * space.action_count + steps.action[rows]
    outcome = np.where(steps.terminated[rows], space.part_count, space.part[steps.next_state[rows]])
    # Sums of hundredths are whole numbers below 2**53, which float64 holds exactly.
    rewards = np.bincount(pair, weights=_hundredths(steps.reward[pairs], bound), minlength=space.pair_count)
    shape = (space.state_count, space.action_count)
    return AgentStatistics(
        len(np.unique(steps.unit[pairs])),
        np.bincount(pair, minlength=space.pair_count).reshape(shape),
        rewards.astype(np.int64).reshape(shape),
        np.bincount(
            row * space.outcome_count + outcome, minlength=space.row_count * space.outcome_count
        ).reshape(space.row_count, space.outcome_count),
    )


def _hundredths(reward: Float64Array, bound: ContributionBound) -> Float64Array:
    """Return rewards in whole hundredths of points, within the clip bound."""
    limit = bound.clip_hundredths
    return np.clip(np.rint(100 * np.clip(reward, -bound.clip_bound, bound.clip_bound)), -limit, limit)
