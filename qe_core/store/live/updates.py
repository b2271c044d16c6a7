"""What is recorded: one experience or many, with the update each causes.

What belongs here: the shapes callers give and the columns they become. What does not: the rules they must
keep (`packing`), queueing (`writer`) and bytes (`flush`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa


class Experience(NamedTuple):
    """A transition as it is recorded, of the agent whose table it updates.

    Attributes:
        occurred_at: when the step was taken, aware.
        episode: unique for the agent.
        step: position in the episode, from 0.
        state: encoded state.
        action: index of the action taken.
        reward: points in [-100, 100].
        next_state: encoded state that followed.
        terminated: the episode ended by its rules.
        truncated: the episode was cut off.
        propensity: probability with which the action was taken, in (0, 1].
        exploration_rate: of the decision, in [0, 1]; None where unknown.
        success: whether the episode succeeded; only on its last step, None where unknown.
        policy_version: the policy version followed; None where there was none.
    """

    occurred_at: datetime
    episode: str
    step: int
    state: int
    action: int
    reward: float
    next_state: int
    terminated: bool
    truncated: bool
    propensity: float
    exploration_rate: float | None = None
    success: bool | None = None
    policy_version: int | None = None


@dataclass(frozen=True, slots=True)
class UpdateBatch:
    """Many updates of one table with the experiences behind them, one array of length N per column.

    Attributes:
        state: encoded states, int64[N].
        action: action indices, int16[N].
        target: TD targets in points, float64[N].
        learning_rate: in [0, 1], float64[N].
        occurred_at: microseconds of the Unix epoch, int64[N]; None where the log has the experiences already:
            then the columns below are left out too.
        episode: names, N of them.
        step: int32[N].
        reward: points, float64[N].
        next_state: int64[N].
        terminated: bool[N].
        truncated: bool[N].
        propensity: in (0, 1], float64[N].
        exploration_rate: in [0, 1], NaN where unknown, float64[N]; None for all unknown.
        success: 1, 0 or -1 where unknown, int8[N]; None for all unknown.
        policy_version: -1 where there was none, int64[N]; None for none at all.
    """

    state: npt.ArrayLike
    action: npt.ArrayLike
    target: npt.ArrayLike
    learning_rate: npt.ArrayLike
    occurred_at: npt.ArrayLike | None = None
    episode: Sequence[str] | pa.Array | None = None
    step: npt.ArrayLike | None = None
    reward: npt.ArrayLike | None = None
    next_state: npt.ArrayLike | None = None
    terminated: npt.ArrayLike | None = None
    truncated: npt.ArrayLike | None = None
    propensity: npt.ArrayLike | None = None
    exploration_rate: npt.ArrayLike | None = None
    success: npt.ArrayLike | None = None
    policy_version: npt.ArrayLike | None = None


@dataclass(frozen=True, slots=True)
class PackedExperiences:
    """Checked experiences as columns of one length; see `UpdateBatch`.

    Attributes: as there, each an array, ``episode`` an Arrow array of strings.
    """

    occurred_at: npt.NDArray[np.int64]
    episode: pa.StringArray
    step: npt.NDArray[np.int32]
    state: npt.NDArray[np.int64]
    action: npt.NDArray[np.int16]
    reward: npt.NDArray[np.float64]
    next_state: npt.NDArray[np.int64]
    terminated: npt.NDArray[np.bool_]
    truncated: npt.NDArray[np.bool_]
    propensity: npt.NDArray[np.float64]
    exploration_rate: npt.NDArray[np.float64]
    success: npt.NDArray[np.int8]
    policy_version: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.step)

    @classmethod
    def join(cls, parts: Sequence["PackedExperiences"]) -> Self:
        """Return all parts in order as one."""
        columns = {column.name: [getattr(part, column.name) for part in parts] for column in fields(cls)}
        episodes = pa.concat_arrays(columns.pop("episode"))
        return cls(episode=episodes, **{name: np.concatenate(of) for name, of in columns.items()})


@dataclass(frozen=True, slots=True)
class PackedUpdates:
    """Checked updates of one table, in the order in which they were recorded.

    Attributes:
        state: int64[N].
        action: int16[N].
        target: points, float64[N].
        learning_rate: float64[N].
        experiences: the transitions behind all of them, or None.
    """

    state: npt.NDArray[np.int64]
    action: npt.NDArray[np.int16]
    target: npt.NDArray[np.float64]
    learning_rate: npt.NDArray[np.float64]
    experiences: PackedExperiences | None
    _rows_of: dict[int, list[int]] = field(default_factory=dict, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.state)

    def of_state(self, state: int) -> list[tuple[int, float, float]]:
        """Return (action, target, learning rate) of the updates of one state, in order."""
        if not self._rows_of:
            for row, of in enumerate(self.state.tolist()):
                self._rows_of.setdefault(of, []).append(row)
        return [
            (int(self.action[row]), float(self.target[row]), float(self.learning_rate[row]))
            for row in self._rows_of.get(state, ())
        ]
