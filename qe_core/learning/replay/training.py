"""Exact sequential training of a Q-table, from a log in order or from a buffer by sampled batches.

What belongs here: the two training functions and their results. What does not: the loops (kernels) and the
buffer. Training runs in one thread per agent; run agents in parallel, never one agent's updates.
"""

from dataclasses import dataclass

import numpy as np

from qe_core.learning.arrays import Float64Array, Int64Array, require_discount, require_shape
from qe_core.learning.experience import Transitions
from qe_core.learning.q_table import QTable
from qe_core.learning.replay.buffer import ReplayBuffer
from qe_core.learning.replay.kernels import prioritised_batches, replay_rows
from qe_core.learning.updates import LearningRate

BATCH_SIZE = 32
BATCHES_PER_DRAW = 4096
"""Batches whose random numbers are drawn at once; bounds memory and does not change the result."""


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
    require_discount(discount)
    transitions.validate(table.state_count, table.action_count)
    count = len(transitions)
    q, visits, mean, m2 = (
        table.q.copy(),
        table.visits.copy(),
        table.target_mean.copy(),
        table.target_m2.copy(),
    )
    updates = _updates(table, update_counts)
    errors, changes = np.empty(count), np.empty(count)
    replay_rows(
        q, updates, visits, mean, m2,
        transitions.state, transitions.action, transitions.reward, transitions.next_state,
        transitions.terminated, np.arange(count), np.ones(count),
        discount, learning_rate.initial, learning_rate.minimum, learning_rate.exponent, is_evidence,
        errors, changes,
    )  # fmt: skip
    return Trained(QTable(q, visits, mean, m2), updates, changes)


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
    q, updates = table.q.copy(), _updates(table, update_counts)
    changes = np.empty(max(0, batch_count))
    for first in range(0, batch_count, BATCHES_PER_DRAW):
        drawn = slice(first, min(first + BATCHES_PER_DRAW, batch_count))
        uniforms = generator.random((drawn.stop - first, batch_size))
        if buffer.is_prioritized:
            _train_prioritised(q, updates, table, buffer, uniforms, discount, learning_rate, changes[drawn])
        else:
            _train_uniformly(q, updates, table, buffer, uniforms, discount, learning_rate, changes[drawn])
    return Trained(QTable(q, table.visits, table.target_mean, table.target_m2), updates, changes)


def _train_prioritised(
    q: Float64Array,
    updates: Int64Array,
    table: QTable,
    buffer: ReplayBuffer,
    uniforms: Float64Array,
    discount: float,
    learning_rate: LearningRate,
    changes: Float64Array,
) -> None:
    """Run one batch per row of ``uniforms``; changes q, updates, changes and the buffer's priorities."""
    columns = buffer.columns
    buffer.importance_exponent, buffer.highest_priority = prioritised_batches(
        q, updates, table.visits,
        columns["state"], columns["action"], columns["reward"], columns["next_state"], columns["terminated"],
        len(buffer), buffer.tree, uniforms,
        buffer.settings.priority_exponent, buffer.importance_exponent,
        buffer.settings.importance_sampling_increment, buffer.highest_priority,
        discount, learning_rate.initial, learning_rate.minimum, learning_rate.exponent, changes,
    )  # fmt: skip


def _train_uniformly(
    q: Float64Array,
    updates: Int64Array,
    table: QTable,
    buffer: ReplayBuffer,
    uniforms: Float64Array,
    discount: float,
    learning_rate: LearningRate,
    changes: Float64Array,
) -> None:
    """Run one batch per row of ``uniforms``; changes q, updates and changes."""
    columns = buffer.columns
    rows = (uniforms * len(buffer)).astype(np.int64).reshape(-1)
    errors, moved = np.empty(len(rows)), np.empty(len(rows))
    replay_rows(
        q, updates, table.visits, table.target_mean, table.target_m2,
        columns["state"], columns["action"], columns["reward"], columns["next_state"], columns["terminated"],
        rows, np.ones(len(rows)),
        discount, learning_rate.initial, learning_rate.minimum, learning_rate.exponent, False,
        errors, moved,
    )  # fmt: skip
    changes[:] = moved.reshape(uniforms.shape).mean(axis=1)


def _updates(table: QTable, update_counts: Int64Array | None) -> Int64Array:
    """Return a copy of the updates so far, int64[S, A]."""
    if update_counts is None:
        return table.visits.copy()
    require_shape("update_counts", update_counts, table.q.shape)
    return update_counts.copy()
