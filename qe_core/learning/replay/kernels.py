"""The compiled loops of replay: sequential Q-learning, the sum-tree, and batches of both together.

What belongs here: loops that change the arrays they are given; the modules beside this one pass copies or
their own arrays. What does not: checks of arguments; callers have made them.
"""

import numpy as np

from qe_core.learning.arrays import BoolArray, Float64Array, Int16Array, Int64Array
from qe_core.learning.compiled import compiled

MINIMUM_ERROR = 1e-3
"""Added to every |TD error| before it becomes a priority, points, so that no transition starves."""


@compiled
def replay_rows(
    q: Float64Array,
    updates: Int64Array,
    visits: Int64Array,
    target_mean: Float64Array,
    target_m2: Float64Array,
    state: Int64Array,
    action: Int16Array,
    reward: Float64Array,
    next_state: Int64Array,
    terminated: BoolArray,
    rows: Int64Array,
    importance: Float64Array,
    discount: float,
    rate_initial: float,
    rate_minimum: float,
    rate_exponent: float,
    is_evidence: bool,
    errors: Float64Array,
    changes: Float64Array,
) -> None:
    """Apply one Q-learning update per entry of ``rows``, each seeing the effect of all before it.

    The maximum at the next state runs over pairs with an update or a visit; it is 0 where there are none. A
    pair that holds a transferred prior only does not take part.

    Args:
        q: changed in place, float64[S, A].
        updates: earlier updates per pair, which set the learning rate; changed in place, int64[S, A].
        visits: evidence per pair; changed in place where ``is_evidence``.
        target_mean: mean TD target; changed in place where ``is_evidence``.
        target_m2: squared deviations of the TD targets; changed in place where ``is_evidence``.
        state: column of the transitions, as are the next four.
        action: column.
        reward: column.
        next_state: column.
        terminated: column.
        rows: which transitions to replay, in this order, int64[M].
        importance: factor on the learning rate per entry, in [0, 1], float64[M].
        discount: γ.
        rate_initial: learning rate of a pair's first update.
        rate_minimum: floor of the learning rate.
        rate_exponent: how fast it falls with updates.
        is_evidence: whether a row counts as a visit; False when it was counted before.
        errors: receives the TD errors, float64[M].
        changes: receives |change of q|, float64[M].
    """
    for position in range(len(rows)):
        row = rows[position]
        s, a, successor = state[row], action[row], next_state[row]
        best, is_known = 0.0, False
        if not terminated[row]:
            for candidate in range(q.shape[1]):
                is_tried = updates[successor, candidate] > 0 or visits[successor, candidate] > 0
                if is_tried and (not is_known or q[successor, candidate] > best):
                    best, is_known = q[successor, candidate], True
        target = reward[row] + discount * best
        rate = max(rate_minimum, rate_initial / (1.0 + updates[s, a]) ** rate_exponent) * importance[position]
        error = target - q[s, a]
        q[s, a] += rate * error
        updates[s, a] += 1
        errors[position] = error
        changes[position] = abs(rate * error)
        if is_evidence:
            visits[s, a] += 1
            deviation = target - target_mean[s, a]
            target_mean[s, a] += deviation / visits[s, a]
            target_m2[s, a] += deviation * (target - target_mean[s, a])


@compiled
def set_priorities(tree: Float64Array, rows: Int64Array, priorities: Float64Array) -> None:
    """Set leaves of a sum-tree in place and make every node above them the sum of its children again.

    Args:
        tree: root at 1, children of node i at 2i and 2i + 1, leaf of row r at half + r, float64[2 · half].
        rows: which leaves.
        priorities: one per row, ≥ 0.
    """
    half = len(tree) // 2
    for position in range(len(rows)):
        node = half + rows[position]
        tree[node] = priorities[position]
        node //= 2
        while node >= 1:
            tree[node] = tree[2 * node] + tree[2 * node + 1]
            node //= 2


@compiled
def priorities_of(errors: Float64Array, exponent: float) -> Float64Array:
    """Return (|δ| + a little)^exponent per TD error (Schaul et al. 2016, 3.3), float64[B]."""
    priorities = np.empty(len(errors))
    for position in range(len(errors)):
        priorities[position] = (abs(errors[position]) + MINIMUM_ERROR) ** exponent
    return priorities


@compiled
def find_rows(tree: Float64Array, uniforms: Float64Array) -> Int64Array:
    """Return one row per uniform number, proportionally to priority and stratified, int64[B].

    The total is cut into B equal ranges and one point is drawn in each (Schaul et al. 2016, appendix B.2.1).
    A leaf of priority 0 is never returned while any other is positive.
    """
    half, count = len(tree) // 2, len(uniforms)
    rows = np.empty(count, dtype=np.int64)
    for position in range(count):
        mass = (position + uniforms[position]) / count * tree[1]
        node = 1
        while node < half:
            node *= 2
            if mass >= tree[node] and tree[node + 1] > 0.0:
                mass -= tree[node]
                node += 1
        rows[position] = node - half
    return rows


@compiled
def importance_of(tree: Float64Array, rows: Int64Array, size: int, exponent: float) -> Float64Array:
    """Return importance-sampling weights (N·P)^−exponent, scaled so that the largest is 1, float64[B].

    Schaul et al. 2016, section 3.4; N is ``size`` and P the share of a row's priority.
    """
    half = len(tree) // 2
    weights = np.empty(len(rows))
    largest = 0.0
    for position in range(len(rows)):
        weights[position] = (size * tree[half + rows[position]] / tree[1]) ** -exponent
        largest = max(largest, weights[position])
    return weights / largest


@compiled
def prioritised_batches(
    q: Float64Array,
    updates: Int64Array,
    visits: Int64Array,
    state: Int64Array,
    action: Int16Array,
    reward: Float64Array,
    next_state: Int64Array,
    terminated: BoolArray,
    size: int,
    tree: Float64Array,
    uniforms: Float64Array,
    priority_exponent: float,
    importance_exponent: float,
    importance_increment: float,
    highest_priority: float,
    discount: float,
    rate_initial: float,
    rate_minimum: float,
    rate_exponent: float,
    changes: Float64Array,
) -> tuple[float, float]:
    """Sample, replay and re-prioritise one batch per row of ``uniforms``.

    Returns the importance exponent and the highest priority after the last batch.

    Args:
        q: changed in place; the arguments up to ``terminated`` are those of ``replay_rows``.
        updates: changed in place.
        visits: read only.
        state: column of the buffer, as are the next four.
        action: column.
        reward: column.
        next_state: column.
        terminated: column.
        size: filled rows of the buffer.
        tree: changed in place.
        uniforms: float64[batches, batch size].
        priority_exponent: power of |TD error| that becomes the priority.
        importance_exponent: of the first batch.
        importance_increment: added to it per batch, up to 1.
        highest_priority: the highest priority so far.
        discount: γ.
        rate_initial: as in ``replay_rows``.
        rate_minimum: as in ``replay_rows``.
        rate_exponent: as in ``replay_rows``.
        changes: receives the mean |change of q| per batch, float64[batches].
    """
    batch_size = uniforms.shape[1]
    errors, moved = np.empty(batch_size), np.empty(batch_size)
    unused = np.empty((1, 1))
    for batch in range(uniforms.shape[0]):
        rows = find_rows(tree, uniforms[batch])
        importance = importance_of(tree, rows, size, importance_exponent)
        replay_rows(
            q, updates, visits, unused, unused,
            state, action, reward, next_state, terminated, rows, importance,
            discount, rate_initial, rate_minimum, rate_exponent, False, errors, moved,
        )  # fmt: skip
        priorities = priorities_of(errors, priority_exponent)
        set_priorities(tree, rows, priorities)
        highest_priority = max(highest_priority, priorities.max())
        importance_exponent = min(1.0, importance_exponent + importance_increment)
        changes[batch] = moved.mean()
    return importance_exponent, highest_priority
