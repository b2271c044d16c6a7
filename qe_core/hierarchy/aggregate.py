"""Category tables from agents' tables and the fleet table from categories' tables, exactly.

What belongs here: the weighted aggregation and the check that a stored parent equals its parts.
What does not: weights of single tables (learning.q_table), lookup.

Weights are whole multiples of 2^-20 and visits are whole numbers, so both sum exactly in any order. Values
and target statistics are sums of rounded products; parts are therefore always taken in the order of their
names, and the same parts give the same bits however they are passed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from qe_core.errors import LearningError
from qe_core.fleet.vocabulary import Approach
from qe_core.hierarchy.project import project_pairs
from qe_core.learning.arrays import Float64Array, Int64Array, require_shape
from qe_core.learning.q_table import WEIGHT_QUANTUM, QTable
from qe_core.learning.target_statistics import TargetStatistics

APPROACH_COUNT = len(Approach)
"""Columns of every category and fleet table."""

CELLS_NAMED = 3
"""How many differing cells a violation lists."""


class ValueKind(StrEnum):
    """What of a value one level takes from another.

    RAW takes q itself. ADVANTAGE takes q minus the mean of q over the state's visited actions, which removes
    differences in reward level between agents.
    """

    RAW = "raw"
    ADVANTAGE = "advantage"


@dataclass(frozen=True, slots=True)
class AggregationPart:
    """One table of the lower level, and where its pairs belong in the upper level.

    Attributes:
        name: agent or category, unique among the parts.
        table: its values, visits and target statistics, shape [S, A].
        weights: as from ``quantised_weights``, or an aggregate's own, float64[S, A].
        divisor: state // divisor is the upper level's state.
        approach_indices: the upper level's column of each of the A columns.
    """

    name: str
    table: QTable
    weights: Float64Array
    divisor: int
    approach_indices: tuple[int, ...]

    def __post_init__(self) -> None:
        require_shape(f"weights of {self.name}", self.weights, self.table.q.shape)
        require_shape(
            f"approach_indices of {self.name}", np.asarray(self.approach_indices), (self.table.action_count,)
        )
        quanta = self.weights / WEIGHT_QUANTUM
        if not np.array_equal(quanta, np.rint(quanta)) or (self.weights < 0).any():
            raise LearningError(
                f"weights of {self.name} must be whole multiples of 2^-20, not negative; "
                "take them from quantised_weights"
            )
        if not np.array_equal(self.weights > 0, self.table.visits > 0):
            raise LearningError(
                f"weights of {self.name} must be positive exactly where there are visits; "
                "recompute them from the table they belong to"
            )


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A table of an upper level.

    Attributes:
        table: over (projected state, approach).
        weights: summed from its parts, of the same shape.
    """

    table: QTable
    weights: Float64Array

    def as_part(self, name: str, divisor: int) -> AggregationPart:
        """Return this aggregate as a part of the next level, its columns unchanged."""
        return AggregationPart(name, self.table, self.weights, divisor, tuple(range(self.table.action_count)))


def aggregate(
    parts: Sequence[AggregationPart],
    state_count: int,
    kind: ValueKind = ValueKind.RAW,
    approach_count: int = APPROACH_COUNT,
) -> Aggregate:
    """Return the table of the upper level: cell = Σ w·q / Σ w over all pairs that project there.

    Visits and weights are exact sums; target statistics merge as if all targets were one sample (Chan, Golub
    & LeVeque 1983). Cells without evidence are 0 throughout. The order of the parts does not matter.

    Args:
        parts: the lower level's tables; none gives an empty table.
        state_count: states of the upper level.
        kind: share raw values or advantages. An aggregate of advantages is passed on as RAW.
        approach_count: columns of the upper level.

    Raises:
        LearningError: two parts have one name, or a pair projects outside the upper level.
    """
    ordered = sorted(parts, key=lambda part: part.name)
    names = [part.name for part in ordered]
    if len(set(names)) < len(names):
        raise LearningError(f"parts must have distinct names, got {names}; pass each table once")
    empty = QTable.zeros(state_count, approach_count)
    if not ordered:
        return Aggregate(empty, np.zeros_like(empty.q))
    cells = np.concatenate([_cells(part, state_count, approach_count) for part in ordered])
    weight = np.concatenate([part.weights.reshape(-1) for part in ordered])
    value = np.concatenate([_shared_values(part.table, kind).reshape(-1) for part in ordered])
    visits, mean, m2 = (
        np.concatenate([getattr(part.table, name).reshape(-1) for part in ordered])
        for name in ("visits", "target_mean", "target_m2")
    )
    total_weight = _sum(cells, weight, empty)
    q = np.divide(
        _sum(cells, weight * value, empty), total_weight, out=np.zeros_like(empty.q), where=total_weight > 0
    )
    total_visits = _sum(cells, visits, empty).astype(np.int64)
    total_mean = _sum(cells, visits * mean, empty) / np.maximum(total_visits, 1)
    total_m2 = _sum(cells, m2 + visits * (mean - total_mean.reshape(-1)[cells]) ** 2, empty)
    statistics = TargetStatistics(total_visits, total_mean, total_m2)
    return Aggregate(QTable(q, empty.visits, empty.q, empty.q).with_statistics(statistics), total_weight)


def verify_aggregation(
    parent: Aggregate, parts: Sequence[AggregationPart], kind: ValueKind = ValueKind.RAW
) -> list[str]:
    """Return what contradicts "the parent is the aggregate of these parts"; an empty list if nothing does.

    Every array must be equal bit for bit, and the weights must add up in whole-number arithmetic too.

    Args:
        parent: the stored table of the upper level.
        parts: the tables it claims to be made of.
        kind: as given to ``aggregate``.
    """
    expected = aggregate(parts, parent.table.state_count, kind, parent.table.action_count)
    found = [
        ("weights", parent.weights, expected.weights),
        *(
            (name, getattr(parent.table, name), getattr(expected.table, name))
            for name in ("visits", "q", "target_mean", "target_m2")
        ),
    ]
    violations = [
        f"{name}: {_name_cells(stored, wanted)}"
        for name, stored, wanted in found
        if not np.array_equal(stored, wanted)
    ]
    quanta_in_parts = sum(_quanta(part.weights) for part in parts)
    if _quanta(parent.weights) != quanta_in_parts:
        violations.append(
            f"total weight: {_quanta(parent.weights) * WEIGHT_QUANTUM} stored, "
            f"{quanta_in_parts * WEIGHT_QUANTUM} in the parts"
        )
    return violations


def state_means(q: Float64Array, visits: Int64Array) -> Float64Array:
    """Return the mean of q over the visited actions of each state, float64[S, 1]; 0 where there are none."""
    is_visited = visits > 0
    visited_count = is_visited.sum(axis=1, keepdims=True)
    return np.asarray(np.where(is_visited, q, 0.0).sum(axis=1, keepdims=True) / np.maximum(visited_count, 1))


def _shared_values(table: QTable, kind: ValueKind) -> Float64Array:
    """Return what a table shares of each pair, float64[S, A]."""
    return table.q if kind is ValueKind.RAW else table.q - state_means(table.q, table.visits)


def _cells(part: AggregationPart, state_count: int, approach_count: int) -> Int64Array:
    """Return the upper level's flat cell of each pair of a part, int64[S · A]."""
    cells = project_pairs(part.table.state_count, part.divisor, part.approach_indices, approach_count)
    if cells.max() >= state_count * approach_count:
        raise LearningError(
            f"{part.name} has {part.table.state_count} states over divisor {part.divisor}, more than "
            f"{state_count} shared states; take the divisor to this level from the contract"
        )
    return cells.reshape(-1)


def _sum(cells: Int64Array, values: npt.NDArray[np.generic], like: QTable) -> Float64Array:
    """Return the sum of values per cell, in the order given, in the shape of ``like``."""
    total = np.bincount(cells, weights=values, minlength=like.q.size).astype(np.float64)
    return total.reshape(like.q.shape)


def _quanta(weights: Float64Array) -> int:
    """Return the total weight as a whole number of quanta, in unbounded arithmetic."""
    return sum(int(quanta) for quanta in np.rint(weights / WEIGHT_QUANTUM).reshape(-1).tolist())


def _name_cells(stored: npt.NDArray[np.generic], wanted: npt.NDArray[np.generic]) -> str:
    """Return the first differing cells in words."""
    differing = np.argwhere(stored != wanted)
    shown = "; ".join(
        f"state {state}, column {column}: {stored[state, column]} stored, "
        f"{wanted[state, column]} from the parts"
        for state, column in differing[:CELLS_NAMED].tolist()
    )
    more = len(differing) - CELLS_NAMED
    return f"{shown}; and {more} more cells" if more > 0 else shown
