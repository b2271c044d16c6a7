"""What an agent should believe about its actions, from its own table, its category's and the fleet's.

What belongs here: the ordered lookup, the blended lookup, and which level an answer came from.
What does not: reading rows from PostgreSQL, choosing an action.
"""

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Self

import numpy as np
import numpy.typing as npt

from qe_core.errors import LearningError
from qe_core.hierarchy.aggregate import ValueKind, state_means
from qe_core.learning.arrays import (
    BoolArray,
    Float64Array,
    Int64Array,
    require_fraction,
    require_range,
    require_shape,
)
from qe_core.learning.q_table import QTable, greedy_actions


class Source(IntEnum):
    """The level that decided a looked-up value; a blend names the nearest level with evidence."""

    NONE = 0
    FLEET = 1
    CATEGORY = 2
    TRANSFER = 3
    INDIVIDUAL = 4


@dataclass(frozen=True, slots=True)
class LevelRows:
    """Rows of one level for N states, in the columns of that level.

    Attributes:
        q: float64[N, K].
        visits: int64[N, K].
        weights: confidence × visits, float64[N, K]; weights / visits is the mean confidence of the evidence.
    """

    q: Float64Array
    visits: Int64Array
    weights: Float64Array

    def __post_init__(self) -> None:
        require_shape("visits", self.visits, self.q.shape)
        require_shape("weights", self.weights, self.q.shape)

    @classmethod
    def of(cls, table: QTable, weights: Float64Array, states: npt.ArrayLike) -> Self:
        """Return a table's rows for these states.

        Args:
            table: of one level.
            weights: of the same level, float64[S, K].
            states: that level's own codes, int[N].

        Raises:
            LearningError: a state lies outside the table.
        """
        rows = np.asarray(states, dtype=np.int64)
        require_range("state", rows, table.state_count)
        return cls(table.q[rows], table.visits[rows], weights[rows])

    def columns(self, indices: npt.ArrayLike) -> Self:
        """Return these rows with one column per action, given each action's column here."""
        chosen = np.asarray(indices, dtype=np.int64)
        require_range("approach_indices", chosen, self.q.shape[1])
        return type(self)(self.q[:, chosen], self.visits[:, chosen], self.weights[:, chosen])

    @property
    def confidence(self) -> Float64Array:
        """Mean confidence of the evidence in [0, 1), 0 where there is none, float64[N, K]."""
        return np.asarray(self.weights / np.maximum(self.visits, 1))


@dataclass(frozen=True, slots=True)
class LookupSettings:
    """How far each level is trusted.

    Attributes:
        minimum_visits: own visits from which the ordered lookup uses the own value, at least 1.
        category_factor: applied to a category's value in the ordered lookup, in [0, 1].
        fleet_factor: applied to the fleet's value in the ordered lookup, in [0, 1].
        kind: RAW takes the shared values as they are. ADVANTAGE takes how much better an action is there than
            the mean of the known actions, and adds it to the agent's own mean in that state: agents differ in
            their level of reward, but agree more on which approach is better (ADR 0033).
    """

    minimum_visits: int = 5
    category_factor: float = 0.7
    fleet_factor: float = 0.5
    kind: ValueKind = ValueKind.ADVANTAGE

    def __post_init__(self) -> None:
        if self.minimum_visits < 1:
            raise LearningError(f"minimum_visits must be at least 1, got {self.minimum_visits}; use 5")
        require_fraction("category_factor", self.category_factor)
        require_fraction("fleet_factor", self.fleet_factor)


DEFAULT_LOOKUP = LookupSettings()
ORDERED_RULE = LookupSettings(kind=ValueKind.RAW)
"""Individual, else category × 0.7, else fleet × 0.5, to the letter."""


@dataclass(frozen=True, slots=True)
class LookedUp:
    """Values for N states of one agent.

    Attributes:
        value: points, float64[N, A]; 0 where no level knows anything.
        source: a ``Source`` per value, int8[N, A].
    """

    value: Float64Array
    source: npt.NDArray[np.int8]

    @property
    def is_known(self) -> BoolArray:
        """Where any level has evidence, bool[N, A]; a greedy choice is made among these."""
        return np.asarray(self.source != Source.NONE)

    def greedy(self, fallback: int = -1) -> Int64Array:
        """Return the best known action per state, lowest index among equals; ``fallback`` if none is."""
        return greedy_actions(self.value, self.is_known, fallback)


def ordered_lookup(
    individual: LevelRows,
    category: LevelRows,
    fleet: LevelRows,
    approach_indices: npt.ArrayLike,
    settings: LookupSettings = ORDERED_RULE,
) -> LookedUp:
    """Return the first level that knows: own value, transferred prior, category × 0.7, fleet × 0.5, else 0.

    The own value counts from ``minimum_visits`` on. With fewer visits it still counts where no other level
    knows anything.

    Args:
        individual: the agent's rows for N states, A columns. A q other than 0 without visits is a transferred
            prior.
        category: its category's rows for the projected states.
        fleet: the fleet's rows for the projected states.
        approach_indices: the category's and fleet's column of each of the A actions.
        settings: factors, visits and kind of value.

    Raises:
        LearningError: the rows do not fit each other.
    """
    shared_category, shared_fleet, base = _align(individual, category, fleet, approach_indices, settings.kind)
    own_visits = individual.visits
    rules = (
        (Source.INDIVIDUAL, own_visits >= settings.minimum_visits, individual.q),
        (Source.TRANSFER, (own_visits == 0) & (individual.q != 0), individual.q),
        (Source.CATEGORY, shared_category.visits > 0, base + settings.category_factor * shared_category.q),
        (Source.FLEET, shared_fleet.visits > 0, base + settings.fleet_factor * shared_fleet.q),
        (Source.INDIVIDUAL, own_visits > 0, individual.q),
    )
    holds = [rule[1] for rule in rules]
    source = np.select(holds, [np.int8(rule[0]) for rule in rules], np.int8(Source.NONE))
    return LookedUp(np.select(holds, [rule[2] for rule in rules], 0.0), source.astype(np.int8))


def blended_lookup(
    individual: LevelRows,
    category: LevelRows,
    fleet: LevelRows,
    approach_indices: npt.ArrayLike,
    settings: LookupSettings = DEFAULT_LOOKUP,
) -> LookedUp:
    """Return q̂ = (n·q + κ·prior) / (n + κ), that is confidence · q + (1 − confidence) · prior.

    The prior is the category's value, itself blended with the fleet's by the same rule; a transferred prior
    replaces it where the agent has no visits. A level without evidence has no opinion: what would be blended
    with it stands unchanged, instead of being pulled to 0, which would favour thin evidence among losses.

    Args and errors are those of ``ordered_lookup``.
    """
    shared_category, shared_fleet, base = _align(individual, category, fleet, approach_indices, settings.kind)
    knows_fleet, knows_category = shared_fleet.visits > 0, shared_category.visits > 0
    prior = _blend(shared_category, shared_fleet.q, knows_fleet)
    knows_prior = knows_fleet | knows_category
    value = _blend(individual, base + prior, knows_prior)
    is_transfer = (individual.visits == 0) & (individual.q != 0)
    rules = (
        (Source.INDIVIDUAL, individual.visits > 0),
        (Source.TRANSFER, is_transfer),
        (Source.CATEGORY, knows_category),
        (Source.FLEET, knows_fleet),
    )
    holds = [rule[1] for rule in rules]
    source = np.select(holds, [np.int8(rule[0]) for rule in rules], np.int8(Source.NONE)).astype(np.int8)
    value = np.where(is_transfer, individual.q, value)
    return LookedUp(np.where(source == Source.NONE, 0.0, value), source)


def _blend(level: LevelRows, prior: Float64Array, knows_prior: BoolArray) -> Float64Array:
    """Return the level blended with its prior where that exists, and the prior where the level is empty."""
    trust = np.where(knows_prior, level.confidence, 1.0)
    return np.asarray(np.where(level.visits > 0, trust * level.q + (1.0 - trust) * prior, prior))


def _align(
    individual: LevelRows,
    category: LevelRows,
    fleet: LevelRows,
    approach_indices: npt.ArrayLike,
    kind: ValueKind,
) -> tuple[LevelRows, LevelRows, Float64Array]:
    """Return category and fleet rows in the agent's columns, and what to add to their values, [N, 1].

    For advantages that is the agent's own mean; in a state it never visited the category's, else the fleet's.
    """
    shared = [level.columns(approach_indices) for level in (category, fleet)]
    for name, rows in zip(("category rows", "fleet rows"), shared, strict=True):
        require_shape(name, rows.q, individual.q.shape)
    if kind is ValueKind.RAW:
        return shared[0], shared[1], np.zeros((len(individual.q), 1))
    own, *means = (state_means(rows.q, rows.visits) for rows in (individual, *shared))
    is_own, is_category = ((rows.visits > 0).any(axis=1, keepdims=True) for rows in (individual, shared[0]))
    levelled = [
        replace(rows, q=np.where(rows.visits > 0, rows.q - mean, 0.0))
        for rows, mean in zip(shared, means, strict=True)
    ]
    return levelled[0], levelled[1], np.where(is_own, own, np.where(is_category, means[0], means[1]))
