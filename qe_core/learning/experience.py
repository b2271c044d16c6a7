"""Transitions as columns: the form in which the learning core takes experiences.

What belongs here: the column container, its validation, slicing and joining.
What does not: loading experiences (the store) and what is computed from them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NoReturn, Self

import numpy as np
import numpy.typing as npt

from qe_core.errors import LearningError
from qe_core.learning.arrays import (
    BoolArray,
    Float64Array,
    Int16Array,
    Int64Array,
    name_rows,
    require_finite,
    require_range,
)

COLUMN_TYPES: dict[str, type[np.generic]] = {
    "state": np.int64,
    "action": np.int16,
    "reward": np.float64,
    "next_state": np.int64,
    "terminated": np.bool_,
    "truncated": np.bool_,
}
_DTYPES = tuple((name, np.dtype(wanted)) for name, wanted in COLUMN_TYPES.items())


@dataclass(frozen=True, slots=True)
class Transitions:
    """Transitions in canonical (log) order, one array per column, all of one length.

    Attributes:
        state: encoded states, int64[N].
        action: action indices, int16[N].
        reward: points, float64[N].
        next_state: encoded successor states, int64[N]; meaningless where ``terminated``, but in range.
        terminated: the episode ended by the task's own rules; no bootstrap (S&B 3.4).
        truncated: the episode was cut off from outside; bootstraps.
    """

    state: Int64Array
    action: Int16Array
    reward: Float64Array
    next_state: Int64Array
    terminated: BoolArray
    truncated: BoolArray

    def __post_init__(self) -> None:
        rows = len(self.state)
        for name, wanted in _DTYPES:
            column = getattr(self, name)
            if not isinstance(column, np.ndarray) or column.dtype != wanted or column.ndim != 1:
                found = (
                    f"{column.dtype}{list(column.shape)}" if isinstance(column, np.ndarray) else type(column)
                )
                raise LearningError(
                    f"transitions column {name} must be a flat {wanted} array, got {found}; "
                    "build it with Transitions.from_columns"
                )
            if len(column) != rows:
                self._refuse_lengths()

    def _refuse_lengths(self) -> NoReturn:
        lengths = {name: len(getattr(self, name)) for name in COLUMN_TYPES}
        raise LearningError(f"transitions columns must have one length, got {lengths}; align them by row")

    @classmethod
    def from_columns(
        cls,
        state: npt.ArrayLike,
        action: npt.ArrayLike,
        reward: npt.ArrayLike,
        next_state: npt.ArrayLike,
        terminated: npt.ArrayLike,
        truncated: npt.ArrayLike | None = None,
    ) -> Self:
        """Return transitions from anything array-like, converted where that loses nothing.

        Args:
            state: N whole numbers.
            action: N whole numbers.
            reward: N points.
            next_state: N whole numbers.
            terminated: N flags.
            truncated: N flags; all False where left out.

        Raises:
            LearningError: a column cannot be converted without loss; the message names the column.
        """
        given = {
            "state": state,
            "action": action,
            "reward": reward,
            "next_state": next_state,
            "terminated": terminated,
            "truncated": np.zeros(np.shape(terminated), dtype=np.bool_) if truncated is None else truncated,
        }
        return cls(**{name: _convert(name, values) for name, values in given.items()})

    @classmethod
    def empty(cls) -> Self:
        """Return no transitions at all."""
        return cls(**{name: np.empty(0, dtype=wanted) for name, wanted in COLUMN_TYPES.items()})

    def __len__(self) -> int:
        return len(self.state)

    def validate(self, state_count: int, action_count: int) -> Self:
        """Return these transitions, checked against a table of ``state_count`` × ``action_count``.

        Raises:
            LearningError: names the column and the first rows that are out of range, not finite, or both
                terminated and truncated.
        """
        require_range("state", self.state, state_count)
        require_range("action", self.action, action_count)
        require_range("next_state", self.next_state, state_count)
        require_finite("reward", self.reward)
        is_both = self.terminated & self.truncated
        if is_both.any():
            raise LearningError(
                "a transition is terminated or truncated, not both, but (state in brackets) "
                f"{name_rows(is_both, self.state)}; "
                "keep terminated where the task itself ended"
            )
        return self

    def slice(self, start: int, stop: int) -> Self:
        """Return rows ``start`` (inclusive) to ``stop`` (exclusive) as views, without copying."""
        return type(self)(**{field.name: getattr(self, field.name)[start:stop] for field in fields(self)})

    @classmethod
    def concatenate(cls, parts: Sequence["Transitions"]) -> Self:
        """Return the rows of all parts, one part after the other."""
        if not parts:
            return cls.empty()
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in COLUMN_TYPES})

    def episode_ends(self) -> Int64Array:
        """Return, in order, the exclusive end row of every finished episode, int64[E].

        Assumes that the rows of an episode are consecutive, as one agent process writes them.
        """
        return np.flatnonzero(self.terminated | self.truncated).astype(np.int64) + 1


def _convert(name: str, values: npt.ArrayLike) -> npt.NDArray[Any]:
    """Return ``values`` in the column's type, or raise ``LearningError`` where that would change a value."""
    wanted = COLUMN_TYPES[name]
    array = np.asarray(values)
    if array.size == 0:
        return np.empty(0, dtype=wanted)
    if array.dtype == wanted:
        return np.ascontiguousarray(array)
    if array.dtype.kind not in "biuf":
        raise LearningError(f"transitions column {name} must be numbers, got {array.dtype}; convert it first")
    with np.errstate(invalid="ignore"):
        converted = array.astype(wanted)
    is_changed = (converted != array) & ~np.isnan(array) if array.dtype.kind == "f" else converted != array
    is_lost = is_changed | (
        np.isnan(array) if array.dtype.kind == "f" and wanted is not np.float64 else False
    )
    if is_lost.any():
        raise LearningError(
            f"transitions column {name} does not fit {np.dtype(wanted)}: {name_rows(is_lost, array)}; "
            "correct these rows first"
        )
    return converted
