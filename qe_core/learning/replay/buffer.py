"""The replay buffer: the newest transitions, sampled alike or in proportion to their surprise.

What belongs here: storage in a ring, sampling, priorities, and a state that can be saved and resumed.
What does not: training from it. The buffer is the one object of the learning core that changes in place: it
may hold ten million rows, and copying them for every new one is no option.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from qe_core.errors import LearningError
from qe_core.learning.arrays import (
    Float64Array,
    Int64Array,
    as_column,
    require_finite,
    require_fraction,
    require_range,
)
from qe_core.learning.experience import COLUMN_TYPES, Transitions
from qe_core.learning.replay.kernels import (
    FAN_OUT,
    RING_ROW,
    Ring,
    draw,
    gather,
    set_errors,
    set_priorities,
)

MAXIMUM_CAPACITY = 10_000_000


class SamplingStrategy(StrEnum):
    """How transitions are drawn."""

    UNIFORM = "uniform"
    PRIORITIZED = "prioritized"


@dataclass(frozen=True, slots=True)
class BufferSettings:
    """Size and sampling of a buffer.

    Attributes:
        capacity: rows kept, 1 to 10 million; the oldest give way.
        strategy: uniform, or proportional to priority.
        priority_exponent: power of |TD error| that becomes the priority, in [0, 1]; 0 is uniform.
        importance_sampling_exponent: correction of the sampling bias at the start, in [0, 1].
        importance_sampling_increment: added per batch until the correction is full, in [0, 1].
    """

    capacity: int = 10_000
    strategy: SamplingStrategy = SamplingStrategy.PRIORITIZED
    priority_exponent: float = 0.6
    importance_sampling_exponent: float = 0.4
    importance_sampling_increment: float = 0.001

    def __post_init__(self) -> None:
        if not 1 <= self.capacity <= MAXIMUM_CAPACITY:
            raise LearningError(
                f"replay capacity must lie in 1 … {MAXIMUM_CAPACITY}, got {self.capacity}; use 10000"
            )
        for name in ("priority_exponent", "importance_sampling_exponent", "importance_sampling_increment"):
            require_fraction(name, getattr(self, name))


@dataclass(frozen=True, slots=True)
class Sample:
    """A batch.

    Attributes:
        rows: where the transitions stand in the buffer, for ``update_priorities``, int64[B].
        transitions: the batch itself.
        importance: factors on the learning rate that correct the sampling, in (0, 1], float64[B].
    """

    rows: Int64Array
    transitions: Transitions
    importance: Float64Array


def tree_levels(capacity: int) -> Int64Array:
    """Return where each level of a sum-tree over ``capacity`` leaves begins, root first, and its length.

    Every level is a whole number of groups of ``FAN_OUT`` nodes; what pads it stays 0.
    """
    sizes = [-(-capacity // FAN_OUT) * FAN_OUT]
    while sizes[0] > FAN_OUT:
        sizes.insert(0, -(-sizes[0] // FAN_OUT**2) * FAN_OUT)
    return np.cumsum([0, FAN_OUT, *sizes])


class ReplayBuffer:
    """A ring of transitions of one agent; changes in place.

    Attributes:
        settings: size and sampling.
        is_prioritized: whether sampling follows priorities.
        state_count: states of the agent's table.
        action_count: actions of the agent's table.
        ring: ``capacity`` rows of ``RING_ROW``; the first ``len(buffer)`` are filled.
        tree: the sum-tree over the rows' priorities, see ``set_priorities``.
        level_begin: where each level of the tree begins, see ``tree_levels``.
        position: the row the next transition goes to.
        importance_exponent: of the next batch.
        highest_priority: given to new transitions, so that each is replayed at least once soon.
    """

    def __init__(self, settings: BufferSettings, state_count: int, action_count: int) -> None:
        self.settings = settings
        self.is_prioritized = settings.strategy is SamplingStrategy.PRIORITIZED
        self.state_count = state_count
        self.action_count = action_count
        self.ring: Ring = np.zeros(settings.capacity, dtype=RING_ROW)
        self.level_begin = tree_levels(settings.capacity)
        self.tree: Float64Array = np.zeros(int(self.level_begin[-1]))
        self.position = 0
        self.importance_exponent = settings.importance_sampling_exponent
        self.highest_priority = 1.0
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def priorities(self) -> Float64Array:
        """Priorities of the filled rows, a view, float64[len(buffer)]."""
        leaves = int(self.level_begin[-2])
        return self.tree[leaves : leaves + len(self)]

    def add(self, transitions: Transitions) -> None:
        """Append transitions in order; beyond the capacity the oldest are overwritten.

        Raises:
            LearningError: a row does not fit the agent's table; then nothing is added.
        """
        transitions.validate(self.state_count, self.action_count)
        capacity = self.settings.capacity
        skipped = max(0, len(transitions) - capacity)
        kept = transitions.slice(skipped, len(transitions))
        start = (self.position + skipped) % capacity
        until_end = min(len(kept), capacity - start)
        for name in COLUMN_TYPES:
            column = getattr(kept, name)
            self.ring[name][start : start + until_end] = column[:until_end]
            self.ring[name][: len(kept) - until_end] = column[until_end:]
        if self.is_prioritized:
            rows = (start + np.arange(len(kept))) % capacity
            set_priorities(self.tree, self.level_begin, rows, np.full(len(rows), self.highest_priority))
        self.position = (self.position + len(transitions)) % capacity
        self._size = min(capacity, self._size + len(transitions))

    def sample(self, batch_size: int, generator: np.random.Generator) -> Sample:
        """Return a batch, drawn with replacement; raises the importance exponent by its increment.

        Args:
            batch_size: at least 1.
            generator: source of chance; one uniform number per row is drawn.

        Raises:
            LearningError: the buffer is empty or the batch size below 1.
        """
        self.require_rows(batch_size)
        uniforms = generator.random(batch_size)
        if self.is_prioritized:
            rows, importance, columns = draw(
                self.tree, self.level_begin, self.ring, len(self), self.importance_exponent, uniforms
            )
            self.importance_exponent = min(
                1.0, self.importance_exponent + self.settings.importance_sampling_increment
            )
        else:
            rows = (uniforms * len(self)).astype(np.int64)
            importance, columns = np.ones(batch_size), gather(self.ring, rows)
        return Sample(rows, Transitions(*columns), importance)

    def update_priorities(self, rows: Int64Array, td_errors: Float64Array) -> None:
        """Set the priorities of these rows to (|δ| + a little)^exponent (Schaul et al. 2016, 3.3).

        Without effect on what is drawn where sampling is uniform.

        Raises:
            LearningError: a row is not filled, an error is not finite, or the lengths differ; then nothing
                changes.
        """
        checked, errors = as_column("row", rows, np.int64), as_column("td_error", td_errors, np.float64)
        if len(checked) != len(errors):
            raise LearningError(f"{len(rows)} rows but {len(errors)} TD errors; pass one error per row")
        highest = set_errors(
            self.tree, self.level_begin, checked, errors, len(self), self.settings.priority_exponent
        )
        if highest < 0:
            require_range("row", checked, len(self))
            require_finite("td_error", errors)
        self.highest_priority = max(self.highest_priority, highest)

    def require_rows(self, batch_size: int) -> None:
        """Raise ``LearningError`` unless a batch of this size can be drawn."""
        if batch_size < 1:
            raise LearningError(f"batch size must be at least 1, got {batch_size}; use 32")
        if len(self) == 0:
            raise LearningError("the replay buffer is empty; add transitions before sampling")

    def state(self) -> dict[str, npt.NDArray[Any] | int | float]:
        """Return copies of everything that changes, for ``from_state``; arrays hold filled rows only."""
        return {
            **{name: self.ring[name][: len(self)].copy() for name in COLUMN_TYPES},
            "priorities": self.priorities.copy(),
            "position": self.position,
            "importance_exponent": self.importance_exponent,
            "highest_priority": self.highest_priority,
        }

    @classmethod
    def from_state(
        cls,
        settings: BufferSettings,
        state_count: int,
        action_count: int,
        state: Mapping[str, npt.NDArray[Any] | int | float],
    ) -> Self:
        """Return a buffer that goes on exactly where the saved one stopped.

        Raises:
            LearningError: the state is incomplete, or does not fit the settings or the agent's table.
        """
        wanted = {*COLUMN_TYPES, "priorities", "position", "importance_exponent", "highest_priority"}
        if missing := sorted(wanted - set(state)):
            raise LearningError(f"replay state lacks {missing}; take it unchanged from state()")
        buffer = cls(settings, state_count, action_count)
        rows = Transitions(**{name: np.asarray(state[name]) for name in COLUMN_TYPES})
        priorities = np.asarray(state["priorities"], dtype=np.float64)
        position = int(state["position"])
        is_consistent = len(priorities) == len(rows) <= settings.capacity and position == (
            len(rows) % settings.capacity if len(rows) < settings.capacity else position % settings.capacity
        )
        if not is_consistent or not (priorities >= 0).all():
            raise LearningError(
                f"replay state of {len(rows)} rows at position {position} does not fit capacity "
                f"{settings.capacity}; resume with the capacity it was saved with"
            )
        buffer.add(rows)
        if buffer.is_prioritized:
            set_priorities(buffer.tree, buffer.level_begin, np.arange(len(rows)), priorities)
        buffer.position = position
        buffer.importance_exponent = float(state["importance_exponent"])
        buffer.highest_priority = float(state["highest_priority"])
        return buffer
