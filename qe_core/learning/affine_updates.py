"""Q-updates as affine maps q → A·q + B, which merge exactly and without conflicts.

What belongs here: one step, composition, application, and columns of composed updates per pair.
What does not: writing them anywhere.
"""

from dataclasses import dataclass, fields
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt

from qe_core.errors import LearningError
from qe_core.learning.affine_kernels import compose_sets, compose_targets
from qe_core.learning.arrays import (
    Float64Array,
    Int16Array,
    Int64Array,
    as_column,
    require_finite,
    require_range,
)
from qe_core.learning.q_table import QTable
from qe_core.learning.target_statistics import TargetStatistics
from qe_core.learning.updates import require_rates

Columns: TypeAlias = tuple[
    Int64Array, Int16Array, Float64Array, Float64Array, Int64Array, Float64Array, Float64Array
]


@dataclass(frozen=True, slots=True)
class AffineUpdates:
    """Composed updates, at most one row per pair, ordered by (state, action).

    n updates of one pair with fixed targets t_i and rates α_i are q → A·q + B with A = ∏(1 − α_i). A scale,
    offset or mean of less than 1e-150 in magnitude is 0 (``NEGLIGIBLE``).

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
        rows = len(self.state)
        if not (
            len(self.action) == len(self.scale) == len(self.offset) == len(self.count) == rows
            and len(self.target_mean) == len(self.target_m2) == rows
        ):
            lengths = {field.name: len(getattr(self, field.name)) for field in fields(self)}
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
        states, actions = as_column("state", state, np.int64), as_column("action", action, np.int16)
        targets, rates = (
            as_column("td_target", target, np.float64),
            as_column("learning_rate", learning_rate, np.float64),
        )
        if not len(states) == len(actions) == len(targets) == len(rates):
            raise LearningError(
                f"state, action, target and learning_rate must have one length, got {len(states)}, "
                f"{len(actions)}, {len(targets)}, {len(rates)}; align them by update"
            )
        composed = compose_targets(states, actions, targets, rates)
        if not composed[-1]:
            require_finite("td_target", targets)
            require_rates(rates)
        return cls(*composed[:-1])

    def then(self, later: "AffineUpdates") -> Self:
        """Return both sets of updates composed, these first.

        Composition is associative: A = A₂·A₁ and B = A₂·B₁ + B₂, counts add, statistics merge exactly.

        Raises:
            LearningError: one of the two is not ordered by pair, or has a pair twice.
        """
        composed = compose_sets(*self._columns(), *later._columns())
        if not composed[-1]:
            raise LearningError(
                "affine updates to compose must be ordered by (state, action), each pair once; "
                "build them with AffineUpdates.from_targets"
            )
        return type(self)(*composed[:-1])

    def _columns(self) -> "Columns":
        """Return the columns as compiled loops take them."""
        return (
            as_column("state", self.state, np.int64),
            as_column("action", self.action, np.int16),
            as_column("scale", self.scale, np.float64),
            as_column("offset", self.offset, np.float64),
            as_column("count", self.count, np.int64),
            as_column("target_mean", self.target_mean, np.float64),
            as_column("target_m2", self.target_m2, np.float64),
        )

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
