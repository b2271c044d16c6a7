"""What one protected unit, a task or a developer, can add to a release at most.

What belongs here: the bound, what follows from it, and which steps of each unit are counted. What does not:
counting them (`statistics`), the noise that hides a unit within its bound (`mechanism`).

Two data sets are neighbours when they are the same but for one unit, which contributes nothing in one of
them. Which steps of a unit count is drawn from a keyed hash of this unit's own steps, so it stays the same
whatever the other units did: between neighbours only the one unit's counts change (ADR 0101).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

import numpy as np
import numpy.typing as npt

from qe_core.errors import PrivacyError
from qe_core.learning.arrays import (
    BoolArray,
    Float64Array,
    Int64Array,
    require_finite,
    require_range,
    require_shape,
)
from qe_core.privacy.space import PublicSpace

_UInt64Array = npt.NDArray[np.uint64]


class ProtectedUnit(StrEnum):
    """Whose presence a release hides."""

    TASK = "task"
    DEVELOPER = "developer"


@dataclass(frozen=True, slots=True)
class Sensitivities:
    """How far one unit can move each array of a release, over all its agents: L2 distances, squared.

    Attributes:
        units: of the counts of units, one per agent.
        visits: of visits.
        rewards: of rewards, in hundredths of points.
        transitions: of successors.
    """

    units: int
    visits: int
    rewards: int
    transitions: int


@dataclass(frozen=True, slots=True)
class ContributionBound:
    """How much of one unit counts.

    Attributes:
        unit: what is protected.
        pairs: different (state, action) pairs of one unit that count in a release, over all agents; as many
            rows of successors.
        clip_bound: rewards further from 0 count as this much, points, at least 0.01; what is below a
            hundredth of a point is dropped.
    """

    unit: ProtectedUnit
    pairs: int
    clip_bound: float

    def __post_init__(self) -> None:
        if self.pairs < 1:
            raise PrivacyError(f"pairs must be at least 1, got {self.pairs}; otherwise nothing is counted")
        if not (math.isfinite(self.clip_bound) and self.clip_hundredths >= 1):
            raise PrivacyError(
                f"clip_bound must be a finite number of points, at least 0.01, got {self.clip_bound}; "
                "set it to the largest reward that shall count in full"
            )

    @property
    def clip_hundredths(self) -> int:
        """Return the clip bound in whole hundredths of points, the unit in which rewards are counted."""
        return math.floor(100 * self.clip_bound + 1e-6)

    def sensitivities(self, agent_count: int) -> Sensitivities:
        """Return how far one unit can move a release of ``agent_count`` agents.

        Each unit adds at most 1 to at most ``pairs`` cells of visits, so the squared distance is ``pairs``;
        the rest alike. Each agent it has a counted pair with counts it as a unit; a task has one agent.
        """
        match self.unit:
            case ProtectedUnit.TASK:
                units = 1
            case ProtectedUnit.DEVELOPER:
                units = min(self.pairs, agent_count)
            case _ as never:
                assert_never(never)
        return Sensitivities(units, self.pairs, self.pairs * self.clip_hundredths**2, self.pairs)


@dataclass(frozen=True, slots=True)
class AgentSteps:
    """The steps of one agent in the order they happened, one array per column, all of one length.

    Attributes:
        unit: a code of the unit each belongs to, the same for all agents of a release, int64[N].
        state: encoded states, int64[N].
        action: action indices, int64[N].
        reward: points, float64[N].
        next_state: encoded successors, int64[N]; meaningless where ``terminated``, but in range.
        terminated: the task ended by its own rules, bool[N].
    """

    unit: Int64Array
    state: Int64Array
    action: Int64Array
    reward: Float64Array
    next_state: Int64Array
    terminated: BoolArray

    def __post_init__(self) -> None:
        for name in ("state", "action", "reward", "next_state", "terminated"):
            require_shape(name, getattr(self, name), self.unit.shape)

    def __len__(self) -> int:
        return len(self.unit)

    @classmethod
    def empty(cls) -> "AgentSteps":
        """Return no steps at all."""
        none = np.empty(0, dtype=np.int64)
        return cls(none, none, none, np.empty(0), none, np.empty(0, dtype=np.bool_))

    def validate(self, space: PublicSpace) -> None:
        """Raise ``LearningError`` naming the first steps that do not lie in ``space``."""
        require_range("state", self.state, space.state_count)
        require_range("action", self.action, space.action_count)
        require_range("next_state", self.next_state, space.state_count)
        require_finite("reward", self.reward)


@dataclass(frozen=True, slots=True)
class BoundedSteps:
    """Which steps of one agent count, as positions in its `AgentSteps`, in order.

    Attributes:
        pairs: for units, visits and rewards, int64[≤ N].
        rows: for successors, int64[≤ N].
    """

    pairs: Int64Array
    rows: Int64Array


def bounded(
    steps: Mapping[str, AgentSteps],
    spaces: Mapping[str, PublicSpace],
    bound: ContributionBound,
    generator: np.random.Generator,
) -> dict[str, BoundedSteps]:
    """Return, for every agent of ``spaces``, the steps that count.

    A pair counts once per unit: the first visit within a task, so that whether a successor is counted does
    not hang on how often the task came back; some visit of a developer's. Of the pairs of a unit
    ``bound.pairs`` are taken, each equally likely.

    Args:
        steps: what happened, by agent; an agent without steps may be left out.
        spaces: all agents of the release, whether they have steps or not.
        bound: how much of a unit counts.
        generator: draws the key of the hash, and nothing else.

    Raises:
        PrivacyError: an agent is not in ``spaces``, or a task has steps of two agents.
        LearningError: a step lies outside its agent's space, or its reward is not finite.
    """
    if unknown := sorted(set(steps) - set(spaces)):
        raise PrivacyError(
            f"no public space is given for {', '.join(unknown)}; leave these agents out or declare what moves"
        )
    of_agents = [steps.get(agent, AgentSteps.empty()) for agent in spaces]
    for one, space in zip(of_agents, spaces.values(), strict=True):
        one.validate(space)
    unit = np.concatenate([one.unit for one in of_agents])
    pair, row = _cells(of_agents, list(spaces.values()))
    keys = generator.integers(0, 2**64, size=4, dtype=np.uint64)
    match bound.unit:
        case ProtectedUnit.TASK:
            _require_one_agent(of_agents)
            pair_rank = row_rank = np.arange(len(unit), dtype=np.uint64)
        case ProtectedUnit.DEVELOPER:
            pair_rank = _hashed(keys[0], unit, _position_in_unit(unit))
            row_rank = _hashed(keys[1], unit, _position_in_unit(unit))
        case _ as never:
            assert_never(never)
    pairs = _chosen(unit, pair, pair_rank, keys[2], bound.pairs)
    rows = _chosen(unit, row, row_rank, keys[3], bound.pairs)
    ends = np.cumsum([0, *(len(one) for one in of_agents)])
    return {
        agent: BoundedSteps(_between(pairs, start, stop), _between(rows, start, stop))
        for agent, start, stop in zip(spaces, ends[:-1].tolist(), ends[1:].tolist(), strict=True)
    }


def _cells(of_agents: list[AgentSteps], spaces: list[PublicSpace]) -> tuple[Int64Array, Int64Array]:
    """Return the pair and the row of successors of every step, numbered through over all agents."""
    pairs, rows, pair_start, row_start = [], [], 0, 0
    for steps, space in zip(of_agents, spaces, strict=True):
        pairs.append(pair_start + steps.state * space.action_count + steps.action)
        rows.append(row_start + space.part[steps.state] * space.action_count + steps.action)
        pair_start += space.pair_count
        row_start += space.row_count
    return np.concatenate(pairs), np.concatenate(rows)


def _require_one_agent(of_agents: list[AgentSteps]) -> None:
    tasks, counts = np.unique(np.concatenate([np.unique(one.unit) for one in of_agents]), return_counts=True)
    if (counts > 1).any():
        raise PrivacyError(
            f"task {tasks[counts > 1][0]} has steps of {counts.max()} agents; a task is one agent's, "
            "give the steps of each agent units of their own"
        )


def _chosen(unit: Int64Array, cell: Int64Array, rank: _UInt64Array, key: np.uint64, limit: int) -> Int64Array:
    """Return the steps ranked first in their cell, of at most ``limit`` cells of each unit."""
    order = np.lexsort((rank, cell, unit))
    is_first = np.ones(len(order), dtype=np.bool_)
    is_first[1:] = (np.diff(unit[order]) != 0) | (np.diff(cell[order]) != 0)
    steps = order[is_first]
    steps = steps[np.lexsort((_hashed(key, unit[steps], cell[steps]), unit[steps]))]
    return np.sort(steps[_position_in_unit(unit[steps]) < limit])


def _position_in_unit(unit: Int64Array) -> Int64Array:
    """Return how many earlier entries are of the same unit."""
    order = np.argsort(unit, kind="stable")
    place = np.arange(len(unit))
    is_start = np.ones(len(unit), dtype=np.bool_)
    is_start[1:] = np.diff(unit[order]) != 0
    position = np.empty(len(unit), dtype=np.int64)
    position[order] = place - np.maximum.accumulate(np.where(is_start, place, 0))
    return position


def _between(positions: Int64Array, start: int, stop: int) -> Int64Array:
    """Return the sorted positions within ``start`` … ``stop`` − 1, counted from ``start``."""
    first, last = np.searchsorted(positions, (start, stop))
    return positions[first:last] - start


def _hashed(key: np.uint64, *columns: Int64Array) -> _UInt64Array:
    """Return 64 bits per row that look drawn at random for each new row: SplitMix64 (Steele et al. 2014)."""
    state = np.full(len(columns[0]), key, dtype=np.uint64)
    for column in columns:
        state = (state ^ column.astype(np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state ^= state >> np.uint64(31)
    return state
