"""The compiled loops behind exact solutions of finite MDPs.

What belongs here: loops over the sparse arrays of ``FiniteMdp`` and over rows of experiences.
What does not: checks of arguments; callers have made them.
"""

import numpy as np

from qe_core.learning.arrays import BoolArray, Float64Array, Int64Array
from qe_core.learning.compiled import compiled

EVALUATION_SHARE = 0.01
"""Evaluate a policy between improvements until its change falls to this share of the last residual."""

RESOLUTION = 2.0**-46
"""Relative change below which float64 sums of a few hundred terms carry no information."""


@compiled
def back_up(
    reward: Float64Array,
    entry_offsets: Int64Array,
    next_state: Int64Array,
    probability: Float64Array,
    value: Float64Array,
    discount: float,
) -> Float64Array:
    """Return r + γ·Σ p·value per pair, float64[P]."""
    q = np.empty(len(reward))
    for pair in range(len(reward)):
        expected = 0.0
        for entry in range(entry_offsets[pair], entry_offsets[pair + 1]):
            expected += probability[entry] * value[next_state[entry]]
        q[pair] = reward[pair] + discount * expected
    return q


@compiled
def improve(
    pair_offsets: Int64Array, is_eligible: BoolArray, q: Float64Array, value: Float64Array, best: Int64Array
) -> tuple[float, float]:
    """Set ``best`` to each state's best pair and ``value`` to its q; return largest change and value."""
    change, scale = 0.0, 0.0
    for state in range(len(value)):
        best[state] = -1
        for pair in range(pair_offsets[state], pair_offsets[state + 1]):
            if is_eligible[pair] and (best[state] < 0 or q[pair] > q[best[state]]):
                best[state] = pair
        if best[state] >= 0:
            change = max(change, abs(q[best[state]] - value[state]))
            value[state] = q[best[state]]
            scale = max(scale, abs(value[state]))
    return change, scale


@compiled
def sweep_policy(
    best: Int64Array,
    reward: Float64Array,
    entry_offsets: Int64Array,
    next_state: Int64Array,
    probability: Float64Array,
    discount: float,
    value: Float64Array,
) -> float:
    """Back up ``value`` in place once along the best pairs, state by state; return the largest change."""
    change = 0.0
    for state in range(len(value)):
        pair = best[state]
        if pair >= 0:
            expected = 0.0
            for entry in range(entry_offsets[pair], entry_offsets[pair + 1]):
                expected += probability[entry] * value[next_state[entry]]
            updated = reward[pair] + discount * expected
            change = max(change, abs(updated - value[state]))
            value[state] = updated
    return change


@compiled
def modified_policy_iteration(
    pair_offsets: Int64Array,
    is_eligible: BoolArray,
    reward: Float64Array,
    entry_offsets: Int64Array,
    next_state: Int64Array,
    probability: Float64Array,
    discount: float,
    tolerance: float,
    maximum_sweeps: int,
) -> tuple[Float64Array, Float64Array, Int64Array, float, int]:
    """Return q per pair, value and best pair per state, the last change and the rounds (−1: not settled).

    Each round backs up every pair, improves the policy, and evaluates that policy by Gauss–Seidel sweeps.
    """
    states = len(pair_offsets) - 1
    value, best = np.zeros(states), np.full(states, -1, dtype=np.int64)
    sweeps, rounds = 0, 0
    while True:
        rounds += 1
        q = back_up(reward, entry_offsets, next_state, probability, value, discount)
        residual, scale = improve(pair_offsets, is_eligible, q, value, best)
        if residual <= max(tolerance, RESOLUTION * scale):
            return q, value, best, residual, rounds
        if sweeps >= maximum_sweeps:
            return q, value, best, residual, -1
        change = residual
        while change > max(EVALUATION_SHARE * residual, RESOLUTION * scale) and sweeps < maximum_sweeps:
            change = sweep_policy(best, reward, entry_offsets, next_state, probability, discount, value)
            sweeps += 1


@compiled
def evaluate_weights(
    pair_offsets: Int64Array,
    weight: Float64Array,
    reward: Float64Array,
    entry_offsets: Int64Array,
    next_state: Int64Array,
    probability: Float64Array,
    discount: float,
    tolerance: float,
    maximum_sweeps: int,
) -> tuple[Float64Array, float, int]:
    """Return the value per state of picking pairs with these weights, the last change, and sweeps (or −1)."""
    states = len(pair_offsets) - 1
    value = np.zeros(states)
    change = 0.0
    for sweep in range(1, maximum_sweeps + 1):
        change, scale = 0.0, 0.0
        for state in range(states):
            updated = 0.0
            for pair in range(pair_offsets[state], pair_offsets[state + 1]):
                if weight[pair] > 0.0:
                    expected = 0.0
                    for entry in range(entry_offsets[pair], entry_offsets[pair + 1]):
                        expected += probability[entry] * value[next_state[entry]]
                    updated += weight[pair] * (reward[pair] + discount * expected)
            change = max(change, abs(updated - value[state]))
            value[state] = updated
            scale = max(scale, abs(updated))
        if change <= max(tolerance, RESOLUTION * scale):
            return value, change, sweep
    return value, change, -1


@compiled
def rows_by_pair_and_successor(
    pair: Int64Array, successor: Int64Array, pair_count: int, successor_count: int
) -> Int64Array:
    """Return row numbers sorted by (pair, successor), equal rows in their given order, int64[N].

    Two stable counting sorts, last key first: linear in rows, pairs and successors.
    """
    order = np.arange(len(pair))
    for key, key_count in ((successor, successor_count), (pair, pair_count)):
        begin = np.zeros(key_count + 1, dtype=np.int64)
        for row in range(len(key)):
            begin[key[row] + 1] += 1
        for code in range(key_count):
            begin[code + 1] += begin[code]
        sorted_order = np.empty_like(order)
        for position in range(len(order)):
            row = order[position]
            sorted_order[begin[key[row]]] = row
            begin[key[row]] += 1
        order = sorted_order
    return order


@compiled
def entries_of_rows(
    order: Int64Array, pair: Int64Array, successor: Int64Array
) -> tuple[Int64Array, Int64Array]:
    """Return the first row of each distinct (pair, successor), and the number of each row's.

    Args:
        order: rows sorted by (pair, successor), see ``rows_by_pair_and_successor``.
        pair: pair code per row.
        successor: successor code per row.
    """
    first, entry_of_row = np.empty(len(order), dtype=np.int64), np.empty(len(order), dtype=np.int64)
    entries = 0
    for position in range(len(order)):
        row, previous = order[position], order[position - 1]
        if position == 0 or pair[row] != pair[previous] or successor[row] != successor[previous]:
            first[entries] = row
            entries += 1
        entry_of_row[row] = entries - 1
    return first[:entries].copy(), entry_of_row
