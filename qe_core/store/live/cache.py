"""Rows kept in the process: what was read, plus what this process wrote since, exactly.

What belongs here: the rules by which reads, own commits and others' changes meet in one row, and how many
rows are kept. What does not: asking PostgreSQL (`asking`), hearing of changes (`listener`), deciding when to
read again (`reader`).

A row was read at some version of its table: every flush up to that version is in it, no later one is. What
this process committed under a later version is applied on top, then what it recorded and has not committed. A
read that arrives while this process has updates of that state under way might contain them or not: only their
version tells. Such a read is set aside until they are committed.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from qe_core.store.live.reader_settings import ReadCounters
from qe_core.store.live.rows import Composed, Row, Update, empty_row, row_after, row_merged
from qe_core.store.records import TableHandle

if TYPE_CHECKING:
    # At run time it would bring the compiler along, which reading does not need.
    from qe_core.learning.affine_updates import AffineUpdates

Pending: TypeAlias = Callable[[int, int], Sequence[Update]]
"""Given a table and a state, what was recorded here and is not committed, in order."""

Key: TypeAlias = "tuple[CachedTable, int]"
"""A table's cache and a state."""

_NEVER = -1


class Entry:
    """One state of one table.

    Attributes:
        row: as read, with own later commits; None until the first answer.
        effective: with what is recorded and not committed; None when it must be computed again.
        version: of the table when it was read.
        needed: the version it must be read at, at least, to be fresh.
        commits: own commits after ``version`` that a read under way may or may not have.
        parked: a read set aside, with its version.
        pending: what ``effective`` includes.
        is_used: whether it was looked up since eviction last came by.
        asked: queries for it that wait or are under way; while there are any, it is not dropped.
    """

    __slots__ = (
        "asked",
        "commits",
        "effective",
        "is_used",
        "needed",
        "parked",
        "pending",
        "row",
        "version",
    )

    def __init__(self) -> None:
        self.row: Row | None = None
        self.effective: Row | None = None
        self.version = _NEVER
        self.needed = _NEVER
        self.commits: list[tuple[int, list[Composed]]] = []
        self.parked: tuple[Row, int] | None = None
        self.pending: Sequence[Update] = ()
        self.is_used = True
        self.asked = 0

    def adopt(self, row: Row, version: int) -> None:
        """Take a row as read, and apply own commits it does not have."""
        self.parked = None
        if version < self.version:
            return
        self.version = version
        self.commits = [commit for commit in self.commits if commit[0] > version]
        for _, flushed in self.commits:
            row = row_merged(row, flushed)
        self.row, self.effective = row, None

    def settle(self) -> None:
        """Forget own commits once no read is under way: whatever is asked from now on has them."""
        if self.commits and not self.asked and self.parked is None:
            self.commits.clear()


class CachedTable:
    """One table's rows kept here, and how far its changes are known.

    Attributes:
        handle: as the table was registered.
        epoch: as last seen.
        is_current: as last seen; False once it was replaced.
        through: every change up to this version is accounted for; None before the first answer.
        floor: rows read before this version are not fresh, whatever their states.
    """

    def __init__(self, handle: TableHandle, pending: Pending, counters: ReadCounters) -> None:
        self.handle = handle
        self.entries: dict[int, Entry] = {}
        self.epoch = handle.epoch
        self.is_current = True
        self.through: int | None = None
        self.floor = _NEVER
        self._ahead: set[int] = set()
        self._pending = pending
        self._counters = counters
        self._nothing = empty_row(handle.action_count)

    def row(self, state: int) -> Row | None:
        """Return the row as this process should see it now, or None if it must be asked for."""
        entry = self.entries.get(state)
        if entry is None or entry.row is None:
            return None
        counters = self._counters
        counters.hits += 1
        if counters.away:
            counters.hits_while_away += 1
        entry.is_used = True
        return self._seen(entry, state)

    def adopt(self, state: int, row: Row, version: int) -> Row:
        """Take a row as read at a version; return it as this process should see it now."""
        entry = self.entries[state]
        if entry.row is not None and self._pending(self.handle.q_table_id, state):
            entry.parked = (row, version)
        else:
            entry.adopt(row, version)
        return self._seen(entry, state)

    def version_of_first_read(self, state: int) -> int | None:
        """Return a version that a row read from now on has at least, where it need not be known exactly.

        That is so for a row not kept yet of which this process has no updates: then nothing recorded here can
        be in it or not, and a later change elsewhere is heard of. None where the exact version is needed.
        """
        entry = self.entries[state]
        is_first = entry.row is None and not entry.commits
        return self.through if is_first and not self._pending(self.handle.q_table_id, state) else None

    def commit(self, version: int, updates: "AffineUpdates") -> None:
        """Take an own flush that committed.

        Args:
            version: it raised the table to.
            updates: of the flush; they are pending no longer.
        """
        self.account(version)
        for state, flushed in self._kept(updates).items():
            entry = self.entries[state]
            entry.effective = None
            if version > entry.version:
                entry.commits.append((version, flushed))
                if entry.row is not None:
                    entry.row = row_merged(entry.row, flushed)
            if entry.parked is not None:
                entry.adopt(*entry.parked)
            entry.settle()

    def touch(self, version: int, states: Iterable[int]) -> list[int]:
        """Take others' change of some states; return those kept here that are older than it."""
        self.account(version)
        due = []
        for state in states:
            entry = self.entries.get(state)
            if entry is not None and entry.version < version:
                entry.needed = max(entry.needed, version)
                due.append(state)
        return due

    def touch_all(self, version: int) -> list[int]:
        """Take that any row may have changed up to a version; return the states kept here older than it."""
        self.floor = max(self.floor, version)
        self.through = max(version, _NEVER if self.through is None else self.through)
        self._ahead = {ahead for ahead in self._ahead if ahead > self.through}
        self._close_gap()
        return [state for state, entry in self.entries.items() if entry.version < self.floor]

    def account(self, version: int) -> None:
        """Note that the change that led to a version is known."""
        if self.through is None:
            return  # rows read from now on have it
        if version > self.through:
            self._ahead.add(version)
            self._close_gap()

    def is_fresh(self, state: int) -> bool:
        """Whether a kept row has everything known to have happened to it."""
        entry = self.entries[state]
        version = entry.version if entry.parked is None else entry.parked[1]
        return version >= entry.needed and version >= self.floor

    def _kept(self, updates: "AffineUpdates") -> dict[int, list[Composed]]:
        """Return those updates whose states are kept here, by state."""
        kept: dict[int, list[Composed]] = {}
        entries = self.entries
        for place, state in enumerate(updates.state.tolist()):
            if state in entries:
                flushed = Composed(
                    int(updates.action[place]),
                    float(updates.scale[place]),
                    float(updates.offset[place]),
                    int(updates.count[place]),
                    float(updates.target_mean[place]),
                    float(updates.target_m2[place]),
                )
                kept.setdefault(state, []).append(flushed)
        return kept

    def _close_gap(self) -> None:
        """Move ``through`` over what is known ahead of it."""
        through = self.through
        while through is not None and through + 1 in self._ahead:
            through += 1
            self._ahead.discard(through)
        self.through = through

    def _seen(self, entry: Entry, state: int) -> Row:
        """Return an entry's row with what is pending on top."""
        pending = self._pending(self.handle.q_table_id, state)
        if entry.parked is not None and not pending:
            entry.adopt(*entry.parked)
        if entry.effective is None or entry.pending != pending:
            row = self._nothing if entry.row is None else entry.row
            entry.effective = row_after(row, pending) if pending else row
            entry.pending = pending
        return entry.effective


class RowCache:
    """All tables' rows, no more than a given number: the longest unused ones make room (CLOCK).

    Args:
        limit: rows kept; rows being asked for come on top.
        pending: what was recorded and is not committed.
        counters: where events are counted.
    """

    def __init__(self, limit: int, pending: Pending, counters: ReadCounters) -> None:
        self._limit = limit
        self._pending = pending
        self._counters = counters
        self._clock: deque[tuple[CachedTable, int]] = deque()
        self.tables: dict[int, CachedTable] = {}

    def __len__(self) -> int:
        return len(self._clock)

    def table(self, handle: TableHandle) -> CachedTable:
        """Return the part of one table, begun if need be."""
        key = handle.q_table_id
        if key not in self.tables:
            self.tables[key] = CachedTable(handle, self._pending, self._counters)
        return self.tables[key]

    def begin(self, key: Key) -> None:
        """Note that a row is being asked for, and make room for it if it is new."""
        table, state = key
        entry = table.entries.get(state)
        if entry is None:
            self._make_room()
            entry = table.entries[state] = Entry()
            self._clock.append(key)
        entry.asked += 1

    def end(self, keys: Iterable[Key]) -> None:
        """Note that rows are no longer being asked for."""
        for table, state in keys:
            entry = table.entries[state]
            entry.asked -= 1
            entry.settle()

    def _make_room(self) -> None:
        """Drop the first row, in turn, that nobody used since the last turn and nobody waits for."""
        turns = 2 * len(self._clock)
        while len(self._clock) >= self._limit and turns > 0:
            turns -= 1
            table, state = key = self._clock.popleft()
            entry = table.entries[state]
            if entry.asked or entry.is_used:
                entry.is_used = False
                self._clock.append(key)
            else:
                del table.entries[state]
                self._counters.evictions += 1
