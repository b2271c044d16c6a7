"""The compiled loops that count transitions: a hash table from (pair, successor) to count, mean and m2.

What belongs here: loops over rows of transitions or summaries. What does not: checks of arguments, and growth
of the table, which is the counter's business (`transition_counter`).
"""

import numpy as np
import numpy.typing as npt

from qe_core.learning.arrays import BoolArray, Float64Array, Int16Array, Int64Array
from qe_core.learning.compiled import compiled

ENTRY = np.dtype([("code", np.int64), ("count", np.int64), ("mean", np.float64), ("m2", np.float64)])
"""What was seen of one (pair, successor): half a cache line."""

Entries = npt.NDArray[np.void]
Slots = npt.NDArray[np.int32]


@compiled
def slot_of(slots: Slots, entries: Entries, code: int) -> int:
    """Return the slot that holds the entry of ``code``, or the empty one where it belongs.

    Linear probing from Fibonacci's multiplicative hash (Knuth, The Art of Computer Programming 3, 6.4).

    Args:
        slots: entry number + 1 per slot, 0 where empty; a power of two, never full.
        entries: where codes are compared.
        code: 2 · S · pair + successor.
    """
    mask = len(slots) - 1
    slot = np.int64((np.uint64(code) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)) & mask
    while slots[slot] > 0 and entries[slots[slot] - 1]["code"] != code:
        slot = (slot + 1) & mask
    return int(slot)


@compiled
def fold(entries: Entries, entry: int, count: int, mean: float, m2: float) -> None:
    """Merge ``count`` rewards of this mean and these squared deviations into an entry, in place.

    Chan, Golub & LeVeque (1983). Into an entry without any it puts exactly these numbers.
    """
    before = entries[entry]["count"]
    total = before + count
    deviation = mean - entries[entry]["mean"]
    entries[entry]["m2"] += m2 + deviation * deviation * (before * count / total)
    entries[entry]["mean"] += deviation * (count / total)
    entries[entry]["count"] = total


@compiled
def entry_for(slots: Slots, entries: Entries, used: int, code: int) -> int:
    """Return the entry of ``code``; the one numbered ``used``, made for it, where there is none."""
    slot = slot_of(slots, entries, code)
    if slots[slot] == 0:
        slots[slot] = used + 1
        entries[used]["code"] = code
        return used
    return int(slots[slot]) - 1


@compiled
def count_transitions(
    slots: Slots,
    entries: Entries,
    used: int,
    first: int,
    action_count: int,
    state_count: int,
    state: Int64Array,
    action: Int16Array,
    reward: Float64Array,
    next_state: Int64Array,
    terminated: BoolArray,
) -> tuple[int, int]:
    """Count rows from ``first`` on, in order; return the entries used and the row at which room ran out.

    Args:
        slots: see ``slot_of``; changed in place.
        entries: changed in place; those from ``used`` on are zero.
        used: entries in use.
        first: where to begin.
        action_count: A.
        state_count: S.
        state: column of the transitions, as are the next four.
        action: column.
        reward: column.
        next_state: column.
        terminated: column.
    """
    for row in range(first, len(state)):
        if used == len(entries):
            return used, row
        pair = state[row] * action_count + action[row]
        code = pair * (2 * state_count) + 2 * next_state[row] + terminated[row]
        entry = entry_for(slots, entries, used, code)
        used = max(used, entry + 1)
        fold(entries, entry, 1, reward[row], 0.0)
    return used, len(state)


@compiled
def count_summaries(
    slots: Slots,
    entries: Entries,
    used: int,
    first: int,
    code: Int64Array,
    count: Int64Array,
    mean: Float64Array,
    m2: Float64Array,
) -> tuple[int, int]:
    """Do as ``count_transitions`` with rows that stand for several transitions each."""
    for row in range(first, len(code)):
        if used == len(entries):
            return used, row
        entry = entry_for(slots, entries, used, code[row])
        used = max(used, entry + 1)
        fold(entries, entry, count[row], mean[row], m2[row])
    return used, len(code)


@compiled
def fill_slots(slots: Slots, entries: Entries, used: int) -> None:
    """Enter all entries in use into empty slots."""
    for entry in range(used):
        slots[slot_of(slots, entries, entries[entry]["code"])] = entry + 1


@compiled
def columns_of(
    entries: Entries, order: Int64Array, action_count: int, state_count: int
) -> tuple[Int64Array, Int64Array, Int64Array, BoolArray, Int64Array, Float64Array, Float64Array]:
    """Return state, action, next state, terminated, count, mean and m2 of the entries in this order."""
    size = len(order)
    state, action = np.empty(size, dtype=np.int64), np.empty(size, dtype=np.int64)
    next_state, terminated = np.empty(size, dtype=np.int64), np.empty(size, dtype=np.bool_)
    count, mean, m2 = np.empty(size, dtype=np.int64), np.empty(size), np.empty(size)
    for position in range(size):
        entry = entries[order[position]]
        pair = entry["code"] // (2 * state_count)
        successor = entry["code"] - pair * (2 * state_count)
        state[position] = pair // action_count
        action[position] = pair - state[position] * action_count
        next_state[position], terminated[position] = successor >> 1, (successor & 1) == 1
        count[position], mean[position], m2[position] = entry["count"], entry["mean"], entry["m2"]
    return state, action, next_state, terminated, count, mean, m2
