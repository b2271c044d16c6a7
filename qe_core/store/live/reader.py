"""The reading side of the hot path: cached rows, kept fresh, and everything else asked for together.

What belongs here: joining cache, queries and notifications. What does not: what an agent makes of the rows
(`qe_core.runtime`).

A cached row is never waited for. It may be older than the database by one refresh; what this process itself
recorded is in it at once. Every way in which a change could go unheard ends in reading all rows of its table
again: a gap in the versions heard of, a listener that had to reconnect, a version that differs at the check.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

import asyncpg

from qe_core.errors import StoreError
from qe_core.store.connection import Connect
from qe_core.store.live.asking import Answer, Asking, Found
from qe_core.store.live.cache import CachedTable, Key, RowCache
from qe_core.store.live.listener import NOBODY, Listener, Notice
from qe_core.store.live.reader_settings import DEFAULT_READER, ReadCounters, ReaderSettings
from qe_core.store.live.rows import Row, Update, decode_row
from qe_core.store.records import TableHandle

if TYPE_CHECKING:
    # At run time it would bring the compiler along, which reading does not need.
    from qe_core.learning.affine_updates import AffineUpdates


class Writing(Protocol):
    """What reading needs to know of the writing side."""

    writer_id: UUID

    def pending(self, q_table_id: int, state: int) -> Sequence[Update]:
        """Return what was recorded here for a state and is not known to be committed, in order."""

    def on_commit(self, callback: Callable[[int, int, "AffineUpdates"], None]) -> None:
        """Call back with table, version and updates in the moment a flush stops pending."""


class Reader:
    """Rows of Q-tables for one process, kept in memory and fresh; open it inside one event loop.

    Args:
        connect: opens one connection.
        writing: the writing side of the same process.
        settings: sizes, deadlines, pauses.

    Attributes:
        counters: what has been met.
    """

    def __init__(self, connect: Connect, writing: Writing, settings: ReaderSettings = DEFAULT_READER) -> None:
        self._settings = settings
        self._own_name = str(writing.writer_id)
        self.counters = ReadCounters()
        self._cache = RowCache(settings.cache_limit, writing.pending, self.counters)
        self._asking = Asking(connect, settings, self._cache, self.counters, self._adopt)
        self._listener = Listener(
            connect, settings, self.counters, self._cache.tables.keys, self._hear, self._compare
        )
        self._checked_at = 0.0
        self._gap_checks: set[int] = set()
        writing.on_commit(self._committed)

    async def start(self) -> None:
        """Connect and begin to listen.

        Raises:
            DatabaseUnavailableError: nobody answers.
        """
        self._checked_at = asyncio.get_running_loop().time()
        await self._asking.kept.start()
        try:
            await self._listener.start()
        except StoreError:
            await self._asking.close()
            raise

    async def close(self) -> None:
        """Close both connections; lookups that wait fail by name."""
        await self._listener.kept.close()
        await self._asking.close()

    def hear_also(self, channel: str, hear: Callable[[str], None]) -> None:
        """Hand on what is said on another channel over the same connection; call it before `start`."""
        self._listener.hear_also(channel, hear)

    def table(self, handle: TableHandle) -> CachedTable:
        """Return the cached part of a table: its ``row(state)`` is None where ``rows`` must be asked."""
        return self._cache.table(handle)

    async def rows(self, keys: Sequence[Key]) -> list[Row]:
        """Return rows as this process should see them, from the cache or, all together, from the database.

        Args:
            keys: tables as from ``table`` and states inside them.

        Raises:
            DatabaseUnavailableError: there was no answer before the deadline.
            StoreError: PostgreSQL refused the query, or a table does not exist.
        """
        cached = {key: row for key in keys if (row := key[0].row(key[1])) is not None}
        missing = [key for key in keys if key not in cached]
        if not missing:
            return [cached[key] for key in keys]
        self.counters.misses += len(missing)
        # What was cached may be dropped to make room while the rest is on its way.
        cached |= await self._asking.rows(missing)
        return [self._row(key, cached) for key in keys]

    @property
    def is_away(self) -> bool:
        """Whether the database cannot be heard or asked at present: cached rows may be out of date."""
        return self.counters.away > 0

    @property
    def staleness_seconds(self) -> float:
        """How long ago the cached tables' versions were last compared with the database."""
        return asyncio.get_running_loop().time() - self._checked_at

    @property
    def tables(self) -> tuple[CachedTable, ...]:
        """The tables in use."""
        return tuple(self._cache.tables.values())

    @property
    def stale_count(self) -> int:
        """Cached rows known to have changed elsewhere that wait to be read again."""
        return self._asking.stale_count

    def _row(self, key: Key, found: Found) -> Row:
        table, state = key
        row = table.row(state)
        if row is None and (row := found.get(key)) is None:
            raise StoreError(
                f"there is no {table.handle.level} table {table.handle.name} with key "
                f"{table.handle.q_table_id}; take a new handle"
            )
        return row

    def _adopt(self, answers: Sequence[Answer]) -> Found:
        """Take a query's rows into the cache; those that changed since are asked for again."""
        found: Found = {}
        again: list[Key] = []
        for key, version, epoch, is_current, packed in answers:
            table, state = key
            found[key] = table.adopt(state, decode_row(packed, table.handle.action_count), version)
            if not table.is_fresh(state):
                again.append(key)
            table.epoch, table.is_current = epoch, is_current
            if table.through is None:
                table.through = version
            self._expect(table, version)
        if again:
            self._asking.refresh(again)
        return found

    def _committed(self, q_table_id: int, version: int, updates: "AffineUpdates") -> None:
        """Take an own flush."""
        table = self._cache.tables.get(q_table_id)
        if table is not None:
            table.commit(version, updates)
            self._expect(table, version)

    def _hear(self, notice: Notice) -> None:
        """Take what another process did; what this one did is known."""
        table = self._cache.tables.get(notice.q_table_id)
        if table is None or notice.writer == self._own_name:
            return
        self.counters.notifications += 1
        if notice.states is None:
            self._refresh(table, table.touch_all(notice.version))
        else:
            self._refresh(table, table.touch(notice.version, notice.states))
            self._expect(table, notice.version)
        if notice.writer == NOBODY:
            self._listener.check_soon()

    def _compare(self, lines: Sequence[asyncpg.Record], is_after_silence: bool) -> None:
        """Compare what is known of the tables in use with what they are."""
        self._checked_at = asyncio.get_running_loop().time()
        for q_table_id, version, epoch, is_current in lines:
            table = self._cache.tables[q_table_id]
            table.epoch, table.is_current = epoch, is_current
            if not is_after_silence:
                self._expect(table, version)
            elif table.through is not None and table.through < version:
                self._read_all_again(table, version)

    def _expect(self, table: CachedTable, version: int) -> None:
        """Note that a table reached a version; unless all changes up to it are heard soon, read it again."""
        if table.through is None or table.through >= version:
            return
        if table.handle.q_table_id not in self._gap_checks:
            self._gap_checks.add(table.handle.q_table_id)
            loop = asyncio.get_running_loop()
            loop.call_later(self._settings.grace_seconds, self._check_gap, table, version)

    def _check_gap(self, table: CachedTable, version: int) -> None:
        self._gap_checks.discard(table.handle.q_table_id)
        if table.through is not None and table.through < version:
            self._read_all_again(table, version)

    def _read_all_again(self, table: CachedTable, version: int) -> None:
        self.counters.missed_notifications += 1
        self._refresh(table, table.touch_all(version))

    def _refresh(self, table: CachedTable, states: Iterable[int]) -> None:
        keys = [(table, state) for state in states]
        if keys:
            self._asking.refresh(keys)
