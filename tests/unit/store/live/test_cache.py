"""Reads, own commits and others' changes meet in one cached row."""

import tracemalloc
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qe_core.learning.affine_updates import AffineUpdates
from qe_core.store.live.cache import CachedTable, RowCache
from qe_core.store.live.reader_settings import ReadCounters
from qe_core.store.live.rows import Row, Update, empty_row, row_after
from tests.unit.store.live.examples import HANDLE

STATE = 3


def composed(updates: Sequence[Update], state: int = STATE) -> AffineUpdates:
    """Return updates of one state as a flush holds them."""
    columns = (np.array([of[place] for of in updates], dtype=kind) for place, kind in enumerate("idd"))
    return AffineUpdates.from_targets(np.full(len(updates), state), *columns)


class Process:
    """A cache beside a writer and a server that are played by the test, for one state of one table."""

    def __init__(self) -> None:
        self.counters = ReadCounters()
        self.waiting: list[Update] = []
        self.sent: list[Update] = []
        self.cache = RowCache(1_000, self.pending, self.counters)
        self.table = self.cache.table(HANDLE)
        self.stored, self.version = empty_row(HANDLE.action_count), 0
        self.is_committed = False
        self.read: tuple[Row, int] | None = None

    def pending(self, _q_table_id: int, state: int) -> list[Update]:
        """Return what was recorded and not acknowledged."""
        return [*self.sent, *self.waiting] if state == STATE else []

    def look_up(self) -> None:
        """Have the row read and answered at once."""
        self.cache.begin((self.table, STATE))
        self.table.adopt(STATE, self.stored, self.version)
        self.cache.end([(self.table, STATE)])
        if self.table.through is None:
            self.table.through = self.version

    def commit(self) -> None:
        """Let the server commit what was sent; the acknowledgement is still on its way."""
        if self.sent and not self.is_committed:
            self.stored, self.version = row_after(self.stored, self.sent), self.version + 1
            self.is_committed = True

    def acknowledge(self) -> None:
        """Let the acknowledgement arrive."""
        if self.is_committed:
            flushed, self.sent, self.is_committed = self.sent, [], False
            self.table.commit(self.version, composed(flushed))

    def send(self) -> None:
        """Send what waits, unless a flush is on its way."""
        if not self.sent:
            self.sent, self.waiting = self.waiting, []

    def start_reading(self) -> None:
        """Let the server answer a query; the answer is still on its way."""
        if self.read is None:
            self.cache.begin((self.table, STATE))
            self.read = (self.stored, self.version)

    def finish_reading(self) -> None:
        """Let the answer arrive."""
        if self.read is not None:
            self.table.adopt(STATE, *self.read)
            self.cache.end([(self.table, STATE)])
            self.read = None


def assert_close(found: Row | None, expected: Row) -> None:
    assert found is not None
    for part, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(part, wanted, rtol=1e-9, atol=1e-9)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.integers(0, 2), st.floats(-100, 100), st.floats(0, 1)),
            st.sampled_from(["send", "commit", "acknowledge", "start_reading", "finish_reading"]),
        ),
        max_size=60,
    )
)
@settings(max_examples=300, deadline=None)  # the first call compiles
def test_own_updates_are_seen_once_each_however_reads_and_acknowledgements_cross(
    events: list[Update | str],
) -> None:
    process = Process()
    process.look_up()
    expected = empty_row(HANDLE.action_count)
    for event in events:
        if isinstance(event, str):
            getattr(process, event)()
        else:
            process.waiting.append(event)
            expected = row_after(expected, [event])
        assert_close(process.table.row(STATE), expected)


def test_a_state_without_a_row_is_remembered_too() -> None:
    process = Process()
    assert process.table.row(STATE) is None
    process.look_up()
    assert process.table.row(STATE) == empty_row(HANDLE.action_count)
    assert process.counters.hits == 1


def test_a_read_older_than_an_own_commit_does_not_undo_it() -> None:
    process = Process()
    process.start_reading()
    process.waiting.append((1, 8.0, 0.5))
    process.send()
    process.commit()
    process.acknowledge()
    process.finish_reading()
    row = process.table.row(STATE)
    assert row is not None
    assert row.q[1] == 4.0


def test_the_exact_version_of_a_read_matters_only_beside_own_updates() -> None:
    process = Process()
    process.cache.begin((process.table, STATE))
    assert process.table.version_of_first_read(STATE) is None  # nothing is known of the table yet
    process.table.through = 4
    assert process.table.version_of_first_read(STATE) == 4
    process.waiting.append((1, 8.0, 0.5))
    assert process.table.version_of_first_read(STATE) is None
    process.send()
    process.commit()
    process.acknowledge()
    assert process.table.version_of_first_read(STATE) is None
    process.table.adopt(STATE, process.stored, 5)
    assert process.table.version_of_first_read(STATE) is None


def test_a_change_elsewhere_makes_only_older_rows_stale() -> None:
    process = Process()
    process.version = 4
    process.look_up()
    assert process.table.touch(4, [STATE, 5]) == []
    assert process.table.touch(5, [STATE, 5]) == [STATE]
    assert not process.table.is_fresh(STATE)
    process.table.adopt(STATE, process.stored, 5)
    assert process.table.is_fresh(STATE)


def test_a_change_heard_of_before_the_answer_arrives_is_not_forgotten() -> None:
    process = Process()
    process.cache.begin((process.table, STATE))
    assert process.table.touch(7, [STATE]) == [STATE]
    process.table.adopt(STATE, process.stored, 6)
    assert not process.table.is_fresh(STATE)


def test_versions_are_accounted_for_in_any_order() -> None:
    table = Process().table
    table.account(1)
    assert table.through is None
    table.through = 3
    for version, through in ((5, 3), (6, 3), (2, 3), (4, 6), (8, 6)):
        table.account(version)
        assert table.through == through
    assert table.touch_all(7) == []
    assert table.through == 8


def test_any_row_may_have_changed() -> None:
    process = Process()
    process.look_up()
    assert process.table.touch_all(2) == [STATE]
    process.table.adopt(STATE, process.stored, 1)
    assert not process.table.is_fresh(STATE)
    process.table.adopt(STATE, process.stored, 2)
    assert process.table.is_fresh(STATE)


def test_own_commits_are_remembered_only_while_a_read_may_miss_them() -> None:
    process = Process()
    process.look_up()
    entry = process.table.entries[STATE]
    process.table.commit(1, composed([(0, 1.0, 0.1)]))
    assert entry.commits == []
    process.start_reading()
    process.table.commit(2, composed([(0, 1.0, 0.1)]))
    assert len(entry.commits) == 1
    process.finish_reading()
    assert entry.commits == []


def test_rows_that_nobody_uses_make_room() -> None:
    counters = ReadCounters()
    cache = RowCache(1_000, lambda _table, _state: (), counters)
    table = cache.table(HANDLE)

    def read(state: int) -> None:
        cache.begin((table, state))
        table.adopt(state, empty_row(3), 0)
        cache.end([(table, state)])

    for state in range(1_000):
        read(state)
    read(1_000)  # the first turn takes the mark of use from all, and the oldest goes
    assert counters.evictions == 1
    assert table.row(1) is not None
    read(1_001)
    assert table.row(1) is not None
    assert table.row(2) is None
    assert len(cache) == 1_000


def test_a_row_that_somebody_waits_for_stays() -> None:
    cache = RowCache(1_000, lambda _table, _state: (), ReadCounters())
    table = cache.table(HANDLE)
    for state in range(1_500):
        cache.begin((table, state))
    assert len(cache) == 1_500
    assert isinstance(table, CachedTable)
    assert all(table.entries[state].asked == 1 for state in range(1_500))


def test_a_kept_row_takes_no_more_memory_than_documented() -> None:
    handle = replace(HANDLE, state_count=3_000, action_names=tuple("abcdefgh"))
    cache = RowCache(20_000, lambda _table, _state: (), ReadCounters())
    table = cache.table(handle)
    tracemalloc.start()
    try:
        for state in range(2_000):
            numbers = [tuple(state + place + part / 7 for place in range(8)) for part in range(4)]
            visits = tuple(1_000 + state + place for place in range(8))
            cache.begin((table, state))
            table.adopt(state, Row(numbers[0], visits, *numbers[1:]), 1)
            cache.end([(table, state)])
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept / 2_000 < 2_500


@pytest.mark.parametrize("away", [0, 1])
def test_lookups_while_the_database_is_away_are_counted(away: int) -> None:
    process = Process()
    process.look_up()
    process.counters.away = away
    process.table.row(STATE)
    assert process.counters.hits_while_away == away
