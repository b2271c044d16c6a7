"""The compiled loops of replay: sequential Q-learning, the sum-tree, and batches of both together.

What belongs here: loops that change the arrays they are given; the modules beside this one pass copies or
their own arrays. What does not: checks of arguments; callers have made them.
"""

import numpy as np
import numpy.typing as npt

from qe_core.learning.arrays import BoolArray, Float64Array, Int16Array, Int64Array
from qe_core.learning.compiled import compiled

MINIMUM_ERROR = 1e-3
"""Added to every |TD error| before it becomes a priority, points, so that no transition starves."""

FAN_OUT_BITS = 3
FAN_OUT = 1 << FAN_OUT_BITS
"""Children of a node of the sum-tree: eight float64 are one cache line; a third of a binary tree's depth."""

RING_ROW = np.dtype(
    [
        ("state", np.int64),
        ("next_state", np.int64),
        ("reward", np.float64),
        ("action", np.int16),
        ("terminated", np.bool_),
        ("truncated", np.bool_),
    ],
    align=True,
)
"""A stored transition. 32 bytes beside each other: sampling a row touches one cache line instead of six."""

Ring = npt.NDArray[np.void]
GatheredColumns = tuple[Int64Array, Int16Array, Float64Array, Int64Array, BoolArray, BoolArray]


Rate = tuple[float, float, float]
"""A learning rate: α of a pair's first update, its floor, and the power with which it falls."""


@compiled
def rates_of(count: int, rate: Rate) -> Float64Array:
    """Return α_n = max(minimum, initial / (1 + n)^exponent) of a pair's first updates, float64[count]."""
    initial, minimum, exponent = rate
    rates = np.empty(count)
    for updates in range(count):
        rates[updates] = max(minimum, initial / (1.0 + updates) ** exponent)
    return rates


@compiled
def rate_after(updates: int, rate: Rate, rates: Float64Array) -> float:
    """Return α_n from ``rates`` as far as it goes, which saves the power, and beyond it from the formula."""
    initial, minimum, exponent = rate
    kept = updates < len(rates)
    return float(rates[updates] if kept else max(minimum, initial / (1.0 + updates) ** exponent))


@compiled
def values_of_tried(q: Float64Array, updates: Int64Array, visits: Int64Array) -> Float64Array:
    """Return q where a pair has an update or a visit and −∞ elsewhere, float64[S, A].

    A pair that holds a transferred prior only does not take part in any maximum.
    """
    tried = np.empty_like(q)
    for state in range(q.shape[0]):
        for action in range(q.shape[1]):
            is_tried = updates[state, action] > 0 or visits[state, action] > 0
            tried[state, action] = q[state, action] if is_tried else -np.inf
    return tried


@compiled
def best_tried(tried: Float64Array, state: int) -> float:
    """Return the maximum over the tried pairs of a state, 0 where there are none."""
    best = -np.inf
    for action in range(tried.shape[1]):
        best = max(best, tried[state, action])
    return best if best > -np.inf else 0.0


@compiled
def replay_log(
    q: Float64Array,
    tried: Float64Array,
    updates: Int64Array,
    visits: Int64Array,
    target_mean: Float64Array,
    target_m2: Float64Array,
    state: Int64Array,
    action: Int16Array,
    reward: Float64Array,
    next_state: Int64Array,
    terminated: BoolArray,
    discount: float,
    rate: Rate,
    rates: Float64Array,
    is_evidence: bool,
    changes: Float64Array,
) -> None:
    """Apply one Q-learning update per transition, in order, each seeing the effect of all before it.

    Args:
        q: changed in place, float64[S, A].
        tried: see ``values_of_tried``; changed in place.
        updates: earlier updates per pair, which set the learning rate; changed in place, int64[S, A].
        visits: evidence per pair; changed in place where ``is_evidence``.
        target_mean: mean TD target; changed in place where ``is_evidence``.
        target_m2: squared deviations of the TD targets; changed in place where ``is_evidence``.
        state: column of the transitions, as are the next four.
        action: column.
        reward: column.
        next_state: column.
        terminated: column.
        discount: γ.
        rate: learning rate by updates of a pair.
        rates: its first values, see ``rates_of``.
        is_evidence: whether a row counts as a visit; False when it was counted before.
        changes: receives |change of q|, float64[N].
    """
    for row in range(len(state)):
        s, a = state[row], action[row]
        best = 0.0 if terminated[row] else best_tried(tried, next_state[row])
        target = reward[row] + discount * best
        change = rate_after(updates[s, a], rate, rates) * (target - q[s, a])
        q[s, a] += change
        tried[s, a] = q[s, a]
        updates[s, a] += 1
        changes[row] = abs(change)
        if is_evidence:
            visits[s, a] += 1
            deviation = target - target_mean[s, a]
            target_mean[s, a] += deviation / visits[s, a]
            target_m2[s, a] += deviation * (target - target_mean[s, a])


@compiled
def replay_rows(
    q: Float64Array,
    tried: Float64Array,
    updates: Int64Array,
    ring: Ring,
    rows: Int64Array,
    importance: Float64Array,
    discount: float,
    rate: Rate,
    rates: Float64Array,
    errors: Float64Array,
    changes: Float64Array,
) -> None:
    """Apply one Q-learning update per entry of ``rows``, each seeing the effect of all before it.

    Args:
        q: changed in place, float64[S, A].
        tried: see ``values_of_tried``; changed in place.
        updates: earlier updates per pair, which set the learning rate; changed in place, int64[S, A].
        ring: stored transitions, ``RING_ROW``.
        rows: which of them to replay, in this order, int64[M].
        importance: factor on the learning rate per entry, in [0, 1], float64[M].
        discount: γ.
        rate: learning rate by updates of a pair.
        rates: its first values, see ``rates_of``.
        errors: receives the TD errors, float64[M].
        changes: receives |change of q|, float64[M].
    """
    for position in range(len(rows)):
        row = ring[rows[position]]
        s, a = row["state"], row["action"]
        best = 0.0 if row["terminated"] else best_tried(tried, row["next_state"])
        error = row["reward"] + discount * best - q[s, a]
        change = rate_after(updates[s, a], rate, rates) * importance[position] * error
        q[s, a] += change
        tried[s, a] = q[s, a]
        updates[s, a] += 1
        errors[position] = error
        changes[position] = abs(change)


@compiled
def set_priorities(
    tree: Float64Array, level_begin: Int64Array, rows: Int64Array, priorities: Float64Array
) -> None:
    """Set leaves of a sum-tree in place and make every node above them the sum of its children again.

    Level by level, so that the memory accesses of one level overlap.

    Args:
        tree: nodes level by level, the root first, the leaves last; see ``tree_levels``.
        level_begin: where each level begins and, last, the number of nodes.
        rows: which leaves.
        priorities: one per row, ≥ 0.
    """
    height = len(level_begin) - 2
    for position in range(len(rows)):
        tree[level_begin[height] + rows[position]] = priorities[position]
    for level in range(height - 1, -1, -1):
        shift = FAN_OUT_BITS * (height - level)
        done = -1
        for position in range(len(rows)):
            node = rows[position] >> shift
            if node != done:
                first = level_begin[level + 1] + FAN_OUT * node
                total = 0.0
                for child in range(first, first + FAN_OUT):
                    total += tree[child]
                tree[level_begin[level] + node] = total
                done = node


@compiled
def find_rows(tree: Float64Array, level_begin: Int64Array, uniforms: Float64Array) -> Int64Array:
    """Return one row per uniform number, proportionally to priority and stratified, int64[B].

    The total is cut into B equal ranges and one point is drawn in each (Schaul et al. 2016, appendix B.2.1).
    A leaf of priority 0 is never returned while any other is positive.
    """
    count = len(uniforms)
    nodes, masses = np.zeros(count, dtype=np.int64), np.empty(count)
    for position in range(count):
        masses[position] = (position + uniforms[position]) / count * tree[0]
    for level in range(1, len(level_begin) - 1):
        for position in range(count):
            first = level_begin[level] + FAN_OUT * nodes[position]
            passed, below, reached = 0, 0.0, 0.0
            for child in range(first, first + FAN_OUT):
                reached += tree[child]
                if masses[position] >= reached:
                    passed, below = passed + 1, reached
            if passed == FAN_OUT:  # rounding put the point beyond the end: the last child with a priority
                passed, below = FAN_OUT - 1, 0.0
                while passed > 0 and tree[first + passed] == 0.0:
                    passed -= 1
            masses[position] -= below
            nodes[position] = FAN_OUT * nodes[position] + passed
    return nodes


@compiled
def priorities_of(errors: Float64Array, exponent: float) -> Float64Array:
    """Return (|δ| + a little)^exponent per TD error (Schaul et al. 2016, 3.3), float64[B]."""
    priorities = np.empty(len(errors))
    for position in range(len(errors)):
        priorities[position] = (abs(errors[position]) + MINIMUM_ERROR) ** exponent
    return priorities


@compiled
def importance_of(
    tree: Float64Array, level_begin: Int64Array, rows: Int64Array, size: int, exponent: float
) -> Float64Array:
    """Return importance-sampling weights (N·P)^−exponent, scaled so that the largest is 1, float64[B].

    Schaul et al. 2016, section 3.4; N is ``size`` and P the share of a row's priority.
    """
    leaves = level_begin[len(level_begin) - 2]
    weights = np.empty(len(rows))
    largest = 0.0
    for position in range(len(rows)):
        weights[position] = (size * tree[leaves + rows[position]] / tree[0]) ** -exponent
        largest = max(largest, weights[position])
    return weights / largest


@compiled
def gather(ring: Ring, rows: Int64Array) -> GatheredColumns:
    """Return state, action, reward, next state, terminated and truncated of these rows."""
    count = len(rows)
    state, action = np.empty(count, dtype=np.int64), np.empty(count, dtype=np.int16)
    reward, next_state = np.empty(count), np.empty(count, dtype=np.int64)
    terminated, truncated = np.empty(count, dtype=np.bool_), np.empty(count, dtype=np.bool_)
    for position in range(count):
        row = ring[rows[position]]
        state[position], action[position], reward[position] = row["state"], row["action"], row["reward"]
        next_state[position] = row["next_state"]
        terminated[position], truncated[position] = row["terminated"], row["truncated"]
    return state, action, reward, next_state, terminated, truncated


@compiled
def draw(
    tree: Float64Array,
    level_begin: Int64Array,
    ring: Ring,
    size: int,
    exponent: float,
    uniforms: Float64Array,
) -> tuple[Int64Array, Float64Array, GatheredColumns]:
    """Return ``find_rows``, ``importance_of`` and ``gather`` for one batch, in one call."""
    rows = find_rows(tree, level_begin, uniforms)
    return rows, importance_of(tree, level_begin, rows, size, exponent), gather(ring, rows)


@compiled
def set_errors(
    tree: Float64Array,
    level_begin: Int64Array,
    rows: Int64Array,
    errors: Float64Array,
    size: int,
    exponent: float,
) -> float:
    """Set the priorities of rows from their TD errors and return the highest of them; 0 for no rows.

    Returns −1, and changes nothing, where a row lies outside 0 … ``size`` − 1 or an error is not finite.
    """
    for position in range(len(rows)):
        if not (0 <= rows[position] < size and abs(errors[position]) < np.inf):
            return -1.0
    priorities = priorities_of(errors, exponent)
    set_priorities(tree, level_begin, rows, priorities)
    highest = 0.0
    for position in range(len(rows)):
        highest = max(highest, priorities[position])
    return highest


@compiled
def prioritised_batches(
    q: Float64Array,
    tried: Float64Array,
    updates: Int64Array,
    ring: Ring,
    size: int,
    tree: Float64Array,
    level_begin: Int64Array,
    uniforms: Float64Array,
    priority_exponent: float,
    importance_exponent: float,
    importance_increment: float,
    highest_priority: float,
    discount: float,
    rate: Rate,
    rates: Float64Array,
    changes: Float64Array,
) -> tuple[float, float]:
    """Sample, replay and re-prioritise one batch per row of ``uniforms``.

    Returns the importance exponent and the highest priority after the last batch.

    Args:
        q: changed in place; the first four arguments are those of ``replay_rows``.
        tried: changed in place.
        updates: changed in place.
        ring: stored transitions.
        size: filled rows of the ring.
        tree: changed in place.
        level_begin: of the tree.
        uniforms: float64[batches, batch size].
        priority_exponent: power of |TD error| that becomes the priority.
        importance_exponent: of the first batch.
        importance_increment: added to it per batch, up to 1.
        highest_priority: the highest priority so far.
        discount: γ.
        rate: learning rate by updates of a pair.
        rates: its first values, see ``rates_of``.
        changes: receives the mean |change of q| per batch, float64[batches].
    """
    batch_size = uniforms.shape[1]
    errors, moved = np.empty(batch_size), np.empty(batch_size)
    for batch in range(uniforms.shape[0]):
        rows = find_rows(tree, level_begin, uniforms[batch])
        importance = importance_of(tree, level_begin, rows, size, importance_exponent)
        replay_rows(q, tried, updates, ring, rows, importance, discount, rate, rates, errors, moved)
        priorities = priorities_of(errors, priority_exponent)
        set_priorities(tree, level_begin, rows, priorities)
        highest_priority = max(highest_priority, priorities.max())
        importance_exponent = min(1.0, importance_exponent + importance_increment)
        changes[batch] = moved.mean()
    return importance_exponent, highest_priority
