"""Q-updates as affine maps q → A·q + B, which merge exactly and without conflicts.

What belongs here: one step, composition, application, and columns of composed updates per pair.
What does not: writing them anywhere.
"""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import numpy.typing as npt

from qe_core.errors import LearningError
from qe_core.learning.arrays import Float64Array, Int16Array, Int64Array, require_finite, require_range
from qe_core.learning.compiled import compiled
from qe_core.learning.q_table import QTable
from qe_core.learning.target_statistics import TargetStatistics
from qe_core.learning.updates import q_update


@dataclass(frozen=True, slots=True)
class AffineUpdates:
    """Composed updates, at most one row per pair, ordered by (state, action).

    n updates of one pair with fixed targets t_i and rates α_i are q → A·q + B with A = ∏(1 − α_i).

    Attributes:
        state: encoded states, int64[K].
        action: action indices, int16[K].
        scale: A in [0, 1], float64[K].
        offset: B in points, float64[K].
        count: updates composed, int64[K].
        target_mean: mean of the targets, float64[K].
        target_m2: sum of squared deviations of the targets, float64[K].
    """

    state: Int64Array
    action: Int16Array
    scale: Float64Array
    offset: Float64Array
    count: Int64Array
    target_mean: Float64Array
    target_m2: Float64Array

    def __post_init__(self) -> None:
        lengths = {field.name: len(getattr(self, field.name)) for field in fields(self)}
        if len(set(lengths.values())) > 1:
            raise LearningError(f"columns of affine updates must have one length, got {lengths}; align them")

    def __len__(self) -> int:
        return len(self.state)

    @property
    def statistics(self) -> TargetStatistics:
        """Count, mean and squared deviations of the targets, per row."""
        return TargetStatistics(self.count, self.target_mean, self.target_m2)

    @classmethod
    def from_targets(
        cls,
        state: npt.ArrayLike,
        action: npt.ArrayLike,
        target: npt.ArrayLike,
        learning_rate: npt.ArrayLike,
    ) -> Self:
        """Return single updates composed per pair, in the order given.

        Args:
            state: N encoded states.
            action: N action indices.
            target: N TD targets in points.
            learning_rate: N rates in [0, 1], each from the visits of its pair before that update.

        Raises:
            LearningError: lengths differ, a target is not finite or a rate lies outside [0, 1].
        """
        states = np.asarray(state, dtype=np.int64)
        actions = np.asarray(action, dtype=np.int16)
        targets = np.asarray(target, dtype=np.float64)
        rates = np.asarray(learning_rate, dtype=np.float64)
        if not len(states) == len(actions) == len(targets) == len(rates):
            raise LearningError(
                f"state, action, target and learning_rate must have one length, got {len(states)}, "
                f"{len(actions)}, {len(targets)}, {len(rates)}; align them by update"
            )
        require_finite("td_target", targets)
        ones = np.ones(len(states), dtype=np.int64)
        offset = q_update(0.0, targets, rates)
        return cls._compose(states, actions, 1.0 - rates, offset, ones, targets, np.zeros(len(states)))

    def then(self, later: "AffineUpdates") -> Self:
        """Return both sets of updates composed, these first.

        Composition is associative: A = A₂·A₁ and B = A₂·B₁ + B₂, counts add, statistics merge exactly.
        """
        joined = [
            np.concatenate([getattr(self, field.name), getattr(later, field.name)]) for field in fields(self)
        ]
        return self._compose(*joined)

    def apply(self, table: QTable) -> QTable:
        """Return the table after these updates: q → A·q + B, visits and target statistics merged.

        Raises:
            LearningError: a pair lies outside the table.
        """
        require_range("state", self.state, table.state_count)
        require_range("action", self.action, table.action_count)
        rows = (self.state, self.action)
        q = table.q.copy()
        q[rows] = self.scale * q[rows] + self.offset
        before = table.statistics
        merged = TargetStatistics(before.count[rows], before.mean[rows], before.m2[rows]).merge(
            self.statistics
        )
        count, mean, m2 = before.count.copy(), before.mean.copy(), before.m2.copy()
        count[rows], mean[rows], m2[rows] = merged.count, merged.mean, merged.m2
        return QTable(q, count, mean, m2)

    @classmethod
    def _compose(
        cls,
        state: Int64Array,
        action: Int16Array,
        scale: Float64Array,
        offset: Float64Array,
        count: Int64Array,
        mean: Float64Array,
        m2: Float64Array,
    ) -> Self:
        """Return the rows composed per pair, rows of one pair in the order given."""
        order = np.lexsort((action, state))
        first = _first_of_each_pair(state[order], action[order])
        composed = compose_sorted(first, scale[order], offset[order], count[order], mean[order], m2[order])
        return cls(state[order][first], action[order][first], *composed)


def _first_of_each_pair(state: Int64Array, action: Int16Array) -> Int64Array:
    """Return the row at which each pair begins, given rows sorted by pair, int64[K]."""
    is_first = np.ones(len(state), dtype=np.bool_)
    is_first[1:] = (state[1:] != state[:-1]) | (action[1:] != action[:-1])
    return np.flatnonzero(is_first).astype(np.int64)


@compiled
def compose_sorted(
    first: Int64Array,
    scale: Float64Array,
    offset: Float64Array,
    count: Int64Array,
    mean: Float64Array,
    m2: Float64Array,
) -> tuple[Float64Array, Float64Array, Int64Array, Float64Array, Float64Array]:
    """Return A, B, n, mean and m2 per pair from rows sorted by pair.

    Args:
        first: the row at which each pair begins, int64[K]; the other arrays have one entry per row.
        scale: A per row.
        offset: B per row.
        count: updates per row.
        mean: mean target per row.
        m2: squared deviations per row.
    """
    pairs = len(first)
    out_scale, out_offset = np.ones(pairs), np.zeros(pairs)
    out_count = np.zeros(pairs, dtype=np.int64)
    out_mean, out_m2 = np.zeros(pairs), np.zeros(pairs)
    for pair in range(pairs):
        stop = first[pair + 1] if pair + 1 < pairs else len(scale)
        for row in range(first[pair], stop):
            out_scale[pair] = scale[row] * out_scale[pair]
            out_offset[pair] = scale[row] * out_offset[pair] + offset[row]
            total = out_count[pair] + count[row]
            deviation = mean[row] - out_mean[pair]
            out_m2[pair] += m2[row] + deviation * deviation * (out_count[pair] * count[row] / total)
            out_mean[pair] += deviation * (count[row] / total)
            out_count[pair] = total
    return out_scale, out_offset, out_count, out_mean, out_m2
