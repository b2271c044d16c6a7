"""The compiled loops behind composed updates: grouping by pair, composing, merging two sorted sets.

What belongs here: loops over columns of updates. What does not: checks of arguments beyond the flags that are
returned; the callers turn a flag into an error that names the row.
"""

import numpy as np

from qe_core.learning.arrays import Float64Array, Int16Array, Int64Array
from qe_core.learning.compiled import compiled

NEGLIGIBLE = 1e-150
"""Magnitude below which a composed scale, offset or mean is 0.

The product of two numbers that are 0 or at least this large is an ordinary float64. PostgreSQL refuses a
product that underflows, and a processor multiplies subnormal numbers many times slower.
"""

FEW_ROWS = 48
"""Up to here insertion beats counting."""

DIGIT_BITS = 11
"""Bits of the state sorted in one pass: 2,048 counters stay in the fastest cache."""


@compiled
def order_few(state: Int64Array, action: Int16Array) -> Int64Array:
    """Return what ``order_by_pair`` does, by insertion."""
    order = np.arange(len(state))
    for row in range(1, len(state)):
        position = row
        while position > 0:
            before = order[position - 1]
            if state[before] < state[row]:
                break
            if state[before] == state[row] and action[before] <= action[row]:
                break
            order[position] = before
            position -= 1
        order[position] = row
    return order


@compiled
def sort_by_digit(order: Int64Array, digit: Int64Array, digit_count: int) -> Int64Array:
    """Return ``order`` sorted by each row's digit below ``digit_count``, equal ones as they were."""
    begin = np.zeros(digit_count + 1, dtype=np.int64)
    for row in range(len(digit)):
        begin[digit[row] + 1] += 1
    for value in range(digit_count):
        begin[value + 1] += begin[value]
    sorted_order = np.empty_like(order)
    for position in range(len(order)):
        row = order[position]
        sorted_order[begin[digit[row]]] = row
        begin[digit[row]] += 1
    return sorted_order


@compiled
def order_by_pair(state: Int64Array, action: Int16Array) -> Int64Array:
    """Return row numbers sorted by (state, action), rows of one pair in their given order, int64[N].

    A stable radix sort, last key first, over the bits in which the rows differ: any int64 is a valid state.
    """
    if len(state) <= FEW_ROWS:
        return order_few(state, action)
    lowest_action, highest_action = np.int64(action.min()), np.int64(action.max())
    digit = action.astype(np.int64) - lowest_action
    order = sort_by_digit(np.arange(len(state)), digit, int(highest_action - lowest_action) + 1)
    # Unsigned, because the difference of two states may not fit int64.
    lowest, mask = np.uint64(state.min()), np.uint64((1 << DIGIT_BITS) - 1)
    spread, shift = np.uint64(state.max()) - lowest, np.uint64(0)
    while shift < np.uint64(64) and (spread >> shift) > np.uint64(0):
        for row in range(len(state)):
            digit[row] = np.int64(((np.uint64(state[row]) - lowest) >> shift) & mask)
        order = sort_by_digit(order, digit, 1 << DIGIT_BITS)
        shift += np.uint64(DIGIT_BITS)
    return order


@compiled
def compose_targets(
    state: Int64Array, action: Int16Array, target: Float64Array, rate: Float64Array
) -> tuple[Int64Array, Int16Array, Float64Array, Float64Array, Int64Array, Float64Array, Float64Array, bool]:
    """Return state, action, A, B, n, mean and m2 per pair, and whether every target and rate is valid.

    Args:
        state: per update.
        action: per update.
        target: TD target per update; valid where finite.
        rate: learning rate per update; valid in [0, 1].
    """
    count = len(state)
    order = order_by_pair(state, action)
    first = np.empty(count + 1, dtype=np.int64)
    pairs, is_valid = 0, True
    for position in range(count):
        row, before = order[position], order[position - 1]
        if position == 0 or state[row] != state[before] or action[row] != action[before]:
            first[pairs] = position
            pairs += 1
        is_valid &= 0.0 <= rate[position] <= 1.0 and abs(target[position]) < np.inf
    first[pairs] = count
    out_state, out_action = np.empty(pairs, dtype=np.int64), np.empty(pairs, dtype=np.int16)
    out_scale, out_offset, out_count = np.empty(pairs), np.empty(pairs), np.empty(pairs, dtype=np.int64)
    out_mean, out_m2 = np.empty(pairs), np.empty(pairs)
    for pair in range(pairs):
        row = order[first[pair]]
        out_state[pair], out_action[pair] = state[row], action[row]
        scale, offset, mean, m2 = 1.0 - rate[row], rate[row] * target[row], target[row], 0.0
        scale = scale if scale >= NEGLIGIBLE else 0.0
        offset = offset if abs(offset) >= NEGLIGIBLE else 0.0
        seen = 1
        for position in range(first[pair] + 1, first[pair + 1]):
            row = order[position]
            kept = 1.0 - rate[row]
            scale = kept * scale
            scale = scale if scale >= NEGLIGIBLE else 0.0
            offset = kept * offset + rate[row] * target[row]
            offset = offset if abs(offset) >= NEGLIGIBLE else 0.0
            deviation = target[row] - mean
            m2 += deviation * deviation * (seen / (seen + 1))
            seen += 1
            mean += deviation / seen
        out_scale[pair], out_offset[pair], out_count[pair] = scale, offset, seen
        out_mean[pair], out_m2[pair] = mean if abs(mean) >= NEGLIGIBLE else 0.0, m2
    return out_state, out_action, out_scale, out_offset, out_count, out_mean, out_m2, is_valid


@compiled
def compose_sets(
    state: Int64Array,
    action: Int16Array,
    scale: Float64Array,
    offset: Float64Array,
    count: Int64Array,
    mean: Float64Array,
    m2: Float64Array,
    later_state: Int64Array,
    later_action: Int16Array,
    later_scale: Float64Array,
    later_offset: Float64Array,
    later_count: Int64Array,
    later_mean: Float64Array,
    later_m2: Float64Array,
) -> tuple[Int64Array, Int16Array, Float64Array, Float64Array, Int64Array, Float64Array, Float64Array, bool]:
    """Return state, action, A, B, n, mean and m2 of both sets, and whether both ascend by pair.

    One merging pass. Where a pair is in both: A = A₂·A₁, B = A₂·B₁ + B₂, and the statistics merge by Chan,
    Golub & LeVeque (1983).

    Args:
        state: of the set applied first, ascending with ``action``, each pair once; as are the next six.
        action: column.
        scale: column.
        offset: column.
        count: column.
        mean: column.
        m2: column.
        later_state: of the set applied second; as are the next six.
        later_action: column.
        later_scale: column.
        later_offset: column.
        later_count: column.
        later_mean: column.
        later_m2: column.
    """
    sizes = len(state), len(later_state)
    most = sizes[0] + sizes[1]
    out_state, out_action = np.empty(most, dtype=np.int64), np.empty(most, dtype=np.int16)
    out_scale, out_offset, out_count = np.empty(most), np.empty(most), np.empty(most, dtype=np.int64)
    out_mean, out_m2 = np.empty(most), np.empty(most)
    row, later, pairs, is_ordered = 0, 0, 0, True
    while row < sizes[0] or later < sizes[1]:
        is_first, is_later = row < sizes[0], later < sizes[1]
        if is_first and is_later:
            s, a, later_s, later_a = state[row], action[row], later_state[later], later_action[later]
            is_first = s < later_s or (s == later_s and a <= later_a)
            is_later = s > later_s or (s == later_s and a >= later_a)
        if is_first and is_later:
            kept, total = later_scale[later], count[row] + later_count[later]
            product, moved = kept * scale[row], kept * offset[row] + later_offset[later]
            deviation, share = later_mean[later] - mean[row], later_count[later] / total
            merged = mean[row] + deviation * share
            out_state[pairs], out_action[pairs], out_count[pairs] = state[row], action[row], total
            out_scale[pairs] = product if product >= NEGLIGIBLE else 0.0
            out_offset[pairs] = moved if abs(moved) >= NEGLIGIBLE else 0.0
            out_mean[pairs] = merged if abs(merged) >= NEGLIGIBLE else 0.0
            out_m2[pairs] = m2[row] + later_m2[later] + deviation * deviation * (count[row] * share)
        elif is_first:
            out_state[pairs], out_action[pairs], out_count[pairs] = state[row], action[row], count[row]
            out_scale[pairs], out_offset[pairs] = scale[row], offset[row]
            out_mean[pairs], out_m2[pairs] = mean[row], m2[row]
        else:
            out_state[pairs], out_action[pairs] = later_state[later], later_action[later]
            out_scale[pairs], out_offset[pairs] = later_scale[later], later_offset[later]
            out_count[pairs], out_mean[pairs] = later_count[later], later_mean[later]
            out_m2[pairs] = later_m2[later]
        if pairs > 0:
            is_ordered &= out_state[pairs] > out_state[pairs - 1] or (
                out_state[pairs] == out_state[pairs - 1] and out_action[pairs] > out_action[pairs - 1]
            )
        row, later, pairs = row + is_first, later + is_later, pairs + 1
    return (
        out_state[:pairs], out_action[:pairs], out_scale[:pairs], out_offset[:pairs], out_count[:pairs],
        out_mean[:pairs], out_m2[:pairs], is_ordered,
    )  # fmt: skip
