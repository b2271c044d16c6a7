"""Exact sequential training of a Q-table, from a log in order or from a buffer by sampled batches.

What belongs here: the two training functions and their results. What does not: the loops (kernels) and the
buffer. Training runs in one thread per agent; run agents in parallel, never one agent's updates.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from qe_core.learning.arrays import Float64Array, Int64Array, require_discount, require_shape
from qe_core.learning.experience import Transitions
from qe_core.learning.q_table import QTable
from qe_core.learning.replay.buffer import ReplayBuffer
from qe_core.learning.replay.kernels import (
    Rate,
    prioritised_batches,
    rates_of,
    replay_log,
    replay_rows,
    values_of_tried,
)
from qe_core.learning.updates import LearningRate

BATCH_SIZE = 32
BATCHES_PER_DRAW = 4096
"""Batches whose random numbers are drawn at once; bounds memory and does not change the result."""

RATES_KEPT = 16_384
"""Learning rates computed beforehand, 128 KiB; pairs with more updates get theirs from the formula."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What training leads to.

    Attributes:
        table: the trained table.
        update_counts: updates per pair so far, evidence or not; pass it on to continue, int64[S, A].
        absolute_changes: |change of q| per transition of a log, or its mean per batch, points.
    """

    table: QTable
    update_counts: Int64Array
    absolute_changes: Float64Array


class SequentialTraining:
    """Q-learning over a log that comes in batches, each update seeing the effect of all before it.

    The result is the same bits however the log is cut into batches. Like the replay buffer it changes in
    place: memory is that of the table, whatever the length of the log.

    Args:
        table: where to start; not changed.
        discount: γ in [0, 1).
        learning_rate: by each pair's updates so far.
        is_evidence: whether the transitions are new: then they count as visits and enter the target
            statistics. Pass False for every further pass over the same log.
        update_counts: updates per pair so far; the table's visits where left out.

    Raises:
        LearningError: the discount or the update counts do not fit.
    """

    def __init__(
        self,
        table: QTable,
        discount: float,
        learning_rate: LearningRate,
        *,
        is_evidence: bool = True,
        update_counts: Int64Array | None = None,
    ) -> None:
        require_discount(discount)
        self._discount, self._is_evidence = discount, is_evidence
        self._rate, self._rates = kernel_rate(learning_rate)
        self._q, self._visits = table.q.copy(), table.visits.copy()
        self._mean, self._m2 = table.target_mean.copy(), table.target_m2.copy()
        self._updates = _updates(table, update_counts)
        self._tried = values_of_tried(self._q, self._updates, self._visits)

    def add(self, transitions: Transitions) -> Float64Array:
        """Learn from the next transitions of the log and return |change of q| of each, points.

        Raises:
            LearningError: a transition does not fit the table; then nothing is learned.
        """
        transitions.validate(*self._q.shape)
        changes = np.empty(len(transitions))
        replay_log(
            self._q, self._tried, self._updates, self._visits, self._mean, self._m2,
            transitions.state, transitions.action, transitions.reward, transitions.next_state,
            transitions.terminated, self._discount, self._rate, self._rates, self._is_evidence, changes,
        )  # fmt: skip
        return changes

    def trained(self, absolute_changes: Float64Array) -> Trained:
        """Return what was learned so far; later batches do not change it.

        Args:
            absolute_changes: what to report as such: those returned by ``add`` that the caller kept.
        """
        table = QTable(self._q.copy(), self._visits.copy(), self._mean.copy(), self._m2.copy())
        return Trained(table, self._updates.copy(), absolute_changes)


def train_on_log(
    table: QTable,
    transitions: Transitions,
    discount: float,
    learning_rate: LearningRate,
    *,
    is_evidence: bool = True,
    update_counts: Int64Array | None = None,
) -> Trained:
    """Return the table after Q-learning over the transitions in order, each update seeing all before it.

    Args:
        table: where to start; not changed.
        transitions: in log order.
        discount: γ in [0, 1).
        learning_rate: by each pair's updates so far.
        is_evidence: whether these transitions are new: then they count as visits and enter the target
            statistics. Pass False for every further pass over the same log.
        update_counts: updates per pair so far; the table's visits where left out.

    Raises:
        LearningError: a transition or the discount does not fit.
    """
    training = SequentialTraining(
        table, discount, learning_rate, is_evidence=is_evidence, update_counts=update_counts
    )
    return training.trained(training.add(transitions))


def train_from_buffer(
    table: QTable,
    buffer: ReplayBuffer,
    batch_count: int,
    generator: np.random.Generator,
    discount: float,
    learning_rate: LearningRate,
    *,
    batch_size: int = BATCH_SIZE,
    update_counts: Int64Array | None = None,
) -> Trained:
    """Return the table after this many sampled batches; priorities in the buffer change in place.

    Inside a batch updates are sequential too; with priorities, the batch's rows are re-prioritised after it.
    Replayed transitions are not new evidence: visits and target statistics stay as they are.

    Args:
        table: where to start; not changed.
        buffer: where to sample.
        batch_count: batches, ≥ 0.
        generator: source of chance; the same seed, buffer and table give the same bits.
        discount: γ in [0, 1).
        learning_rate: by each pair's updates so far.
        batch_size: transitions per batch.
        update_counts: updates per pair so far; the table's visits where left out.

    Raises:
        LearningError: the buffer is empty or of another size than the table, or the discount is out of range.
    """
    require_discount(discount)
    buffer.require_rows(batch_size)
    require_shape("table", table.q, (buffer.state_count, buffer.action_count))
    learner = _BufferLearner(table, buffer, discount, learning_rate, update_counts)
    changes = np.empty(max(0, batch_count))
    for first in range(0, batch_count, BATCHES_PER_DRAW):
        drawn = slice(first, min(first + BATCHES_PER_DRAW, batch_count))
        uniforms = generator.random((drawn.stop - first, batch_size))
        if buffer.is_prioritized:
            learner.learn_prioritised(uniforms, changes[drawn])
        else:
            learner.learn_uniformly(uniforms, changes[drawn])
    trained = QTable(learner.q, table.visits, table.target_mean, table.target_m2)
    return Trained(trained, learner.updates, changes)


class _BufferLearner:
    """A table under training from a buffer; values and update counts change in place."""

    def __init__(
        self,
        table: QTable,
        buffer: ReplayBuffer,
        discount: float,
        learning_rate: LearningRate,
        update_counts: Int64Array | None,
    ) -> None:
        self.buffer, self.discount = buffer, discount
        self.rate, self.rates = kernel_rate(learning_rate)
        self.q, self.updates = table.q.copy(), _updates(table, update_counts)
        self.tried = values_of_tried(self.q, self.updates, table.visits)

    def learn_prioritised(self, uniforms: Float64Array, changes: Float64Array) -> None:
        """Run one batch per row of ``uniforms``; changes the buffer's priorities too."""
        buffer = self.buffer
        buffer.importance_exponent, buffer.highest_priority = prioritised_batches(
            self.q, self.tried, self.updates, buffer.ring, len(buffer), buffer.tree, buffer.level_begin,
            uniforms, buffer.settings.priority_exponent, buffer.importance_exponent,
            buffer.settings.importance_sampling_increment, buffer.highest_priority,
            self.discount, self.rate, self.rates, changes,
        )  # fmt: skip

    def learn_uniformly(self, uniforms: Float64Array, changes: Float64Array) -> None:
        """Run one batch per row of ``uniforms``."""
        rows = (uniforms * len(self.buffer)).astype(np.int64).reshape(-1)
        errors, moved = np.empty(len(rows)), np.empty(len(rows))
        replay_rows(
            self.q, self.tried, self.updates, self.buffer.ring, rows, np.ones(len(rows)),
            self.discount, self.rate, self.rates, errors, moved,
        )  # fmt: skip
        changes[:] = moved.reshape(uniforms.shape).mean(axis=1)


@lru_cache(maxsize=16)
def kernel_rate(learning_rate: LearningRate) -> tuple[Rate, Float64Array]:
    """Return a learning rate as compiled loops take it, and its first values."""
    rate = (float(learning_rate.initial), float(learning_rate.minimum), float(learning_rate.exponent))
    return rate, rates_of(RATES_KEPT, rate)


def _updates(table: QTable, update_counts: Int64Array | None) -> Int64Array:
    """Return a copy of the updates so far, int64[S, A]."""
    if update_counts is None:
        return table.visits.copy()
    require_shape("update_counts", update_counts, table.q.shape)
    return update_counts.copy()
