"""Counting transitions batch by batch, in memory that grows with what is distinct and not with the log.

What belongs here: the counter. What does not: what is done with the counts (empirical_mdp).
"""

import numpy as np

from qe_core.errors import LearningError
from qe_core.learning.arrays import BoolArray, Float64Array, Int64Array
from qe_core.learning.counting_kernels import (
    ENTRY,
    Entries,
    Slots,
    columns_of,
    count_summaries,
    count_transitions,
    fill_slots,
)
from qe_core.learning.experience import Transitions

FIRST_ROOM = 1 << 12
"""Distinct (state, action, next state, terminated) a new counter has room for; doubles when it is full."""

Counts = tuple[Int64Array, Int64Array, Int64Array, BoolArray, Int64Array, Float64Array, Float64Array]


class TransitionCounter:
    """Counts and reward statistics per (state, action, next state, terminated); changes in place.

    The result is the same bits however a log is cut into batches: each entry takes its rewards one by one in
    the order in which they come. Beside the batch at hand it holds 48 to 112 bytes per distinct entry.

    Args:
        state_count: S.
        action_count: A.

    Raises:
        LearningError: the table is too large to number its transitions.
    """

    def __init__(self, state_count: int, action_count: int) -> None:
        if state_count < 1 or action_count < 1 or 2 * state_count**2 * action_count >= 2**63:
            raise LearningError(
                f"transitions of {state_count} states × {action_count} actions cannot be counted; "
                "take the counts from the agent's contract"
            )
        self.state_count, self.action_count = state_count, action_count
        self._entries: Entries = np.zeros(FIRST_ROOM, dtype=ENTRY)
        self._slots: Slots = np.zeros(2 * FIRST_ROOM, dtype=np.int32)
        self._used = 0

    def __len__(self) -> int:
        """Return how many entries are distinct."""
        return self._used

    def add(self, transitions: Transitions) -> None:
        """Count the next transitions of the log.

        Raises:
            LearningError: a row does not fit; see ``Transitions.validate``. Then nothing is counted.
        """
        transitions.validate(self.state_count, self.action_count)
        row = 0
        while row < len(transitions):
            self._make_room()
            self._used, row = count_transitions(
                self._slots, self._entries, self._used, row, self.action_count, self.state_count,
                transitions.state, transitions.action, transitions.reward, transitions.next_state,
                transitions.terminated,
            )  # fmt: skip

    def add_counts(self, counts: Counts) -> None:
        """Count rows that stand for several transitions each, in the order given.

        Args:
            counts: columns as ``counts`` returns them, already checked; a key may appear more than once.
        """
        state, action, next_state, terminated, count, mean, m2 = counts
        pair = state * self.action_count + action
        code = pair * (2 * self.state_count) + 2 * next_state + terminated
        row = 0
        while row < len(code):
            self._make_room()
            self._used, row = count_summaries(
                self._slots, self._entries, self._used, row, code, count, mean, m2
            )

    def counts(self) -> Counts:
        """Return state, action, next state, terminated, count, reward mean and squared deviations.

        One row per distinct (state, action, next state, terminated), ordered by these; later batches do not
        change what was returned.
        """
        order = np.argsort(self._entries["code"][: self._used])
        return columns_of(self._entries, order, self.action_count, self.state_count)

    def _make_room(self) -> None:
        """Double the room where none is left."""
        if self._used < len(self._entries):
            return
        grown = np.zeros(2 * len(self._entries), dtype=ENTRY)
        grown[: self._used] = self._entries
        self._entries, self._slots = grown, np.zeros(2 * len(grown), dtype=np.int32)
        fill_slots(self._slots, self._entries, self._used)
