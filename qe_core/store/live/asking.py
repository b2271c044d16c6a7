"""Lookups that are not in the cache, asked together.

What belongs here: collecting whatever is wanted while a query is under way into the next one, on one
connection kept for it; deadlines of those who wait. What does not: what becomes of the rows (`reader`).

A pool would cost three to four times the query itself on this path, and starve with a thousand callers.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any, TypeAlias

import asyncpg

from qe_core.errors import DatabaseUnavailableError, StoreError
from qe_core.store.connection import Connect
from qe_core.store.live.cache import Key, RowCache
from qe_core.store.live.keeping import LOST, KeptConnection, require_open
from qe_core.store.live.reader_settings import ReadCounters, ReaderSettings
from qe_core.store.live.rows import Row
from qe_core.store.statements import STATEMENTS

Found: TypeAlias = dict[Key, Row]
Adopt: TypeAlias = Callable[[Sequence[asyncpg.Record]], Found]
Waiting: TypeAlias = "asyncio.Future[Found]"


class Asking:
    """Asks for rows on one connection, everything wanted meanwhile in the next query.

    Args:
        connect: opens one connection.
        settings: deadlines and pauses.
        cache: knows which rows are being asked for.
        counters: where queries are counted.
        adopt: takes the rows of a query into the cache and returns them as this process sees them.
    """

    def __init__(
        self,
        connect: Connect,
        settings: ReaderSettings,
        cache: RowCache,
        counters: ReadCounters,
        adopt: Adopt,
    ) -> None:
        self._settings = settings
        self._cache = cache
        self._counters = counters
        self._adopt = adopt
        self._wanted: dict[Key, None] = {}
        self._stale: dict[Key, None] = {}
        self._waiting: list[Waiting] = []
        self._something = asyncio.Event()
        self._refresh_at = 0.0
        self.kept = KeptConnection(connect, "lookups", self._answer, self._something.set, counters)

    async def close(self) -> None:
        """Close the connection; whoever still waits is told so."""
        await self.kept.close()
        _fail(self._waiting, DatabaseUnavailableError("lookups were closed; open the live path again"))

    async def rows(self, keys: Iterable[Key]) -> Found:
        """Return rows from the database, among others perhaps.

        Args:
            keys: which ones.

        Raises:
            DatabaseUnavailableError: there was no answer before the deadline, or too many wait for one.
            StoreError: PostgreSQL refused the query.
        """
        if len(self._wanted) >= self._settings.cache_limit:
            raise DatabaseUnavailableError(
                f"{len(self._wanted)} rows are waiting for the database ({self.kept.reason}); decide again "
                "when it answers"
            )
        for key in keys:
            if key not in self._wanted:
                self._wanted[key] = None
                self._cache.begin(key)
        loop = asyncio.get_running_loop()
        waiting: Waiting = loop.create_future()
        self._waiting.append(waiting)
        self._something.set()
        deadline = loop.call_later(self._settings.deadline_seconds, self._expire, waiting)
        try:
            return await waiting
        finally:
            deadline.cancel()

    def refresh(self, keys: Iterable[Key]) -> None:
        """Have cached rows read again in the background."""
        self._stale.update(dict.fromkeys(keys))
        self._something.set()

    @property
    def stale_count(self) -> int:
        """Cached rows that wait to be read again."""
        return len(self._stale)

    def _expire(self, waiting: Waiting) -> None:
        if not waiting.done():
            self._counters.deadlines += 1
            waiting.set_exception(
                DatabaseUnavailableError(
                    f"no answer from the database within {self._settings.deadline_seconds:g} s "
                    f"({self.kept.reason}); what is cached is still served, decide again when it is back"
                )
            )

    async def _answer(self, connection: asyncpg.Connection) -> None:
        """Answer until the connection is lost; what was under way then is asked again on the next one."""
        seconds = self._settings.query_seconds
        # Prepared once, so the plan must suit tables that were small, or not analysed, at that moment.
        await connection.fetchrow(STATEMENTS["insist_on_indexes"], timeout=seconds)
        statement = await connection.prepare(STATEMENTS["read_live_rows"], timeout=seconds)
        while True:
            await self._until_due(connection)
            await self._ask(statement)

    async def _until_due(self, connection: asyncpg.Connection) -> None:
        """Wait until somebody wants rows, or it is time to refresh some."""
        while not self._wanted:
            self._something.clear()
            require_open(connection)
            pause = self._refresh_at - asyncio.get_running_loop().time() if self._stale else None
            if pause is not None and pause <= 0:
                return
            try:
                async with asyncio.timeout(pause):
                    await self._something.wait()
            except TimeoutError:
                return

    async def _ask(self, statement: Any) -> None:
        """Send one query for all that is wanted, with as many stale rows as are due."""
        wanted, self._wanted = self._wanted, {}
        waiting, self._waiting = self._waiting, []
        refreshed = self._due_for_refresh(wanted)
        keys = [*wanted, *refreshed]
        self._counters.queries += 1
        try:
            records = await statement.fetch(
                [table.handle.q_table_id for table, _ in keys],
                [state for _, state in keys],
                timeout=self._settings.query_seconds,
            )
            found = self._adopt(records)
        except LOST:
            self._wanted, again = wanted | self._wanted, wanted.keys() & self._wanted.keys()
            self._cache.end([*refreshed, *again])
            self._waiting = [*(one for one in waiting if not one.done()), *self._waiting]
            self._stale = dict.fromkeys(refreshed) | self._stale
            raise
        except (asyncpg.PostgresError, StoreError) as error:
            self._cache.end(keys)
            _fail(waiting, StoreError(f"a lookup was refused: {error}; correct it and decide again"))
            return
        self._cache.end(keys)
        self._counters.rows_read += len(records)
        self._counters.refreshed += len(refreshed)
        for one in waiting:
            if not one.done():
                one.set_result(found)

    def _due_for_refresh(self, wanted: dict[Key, None]) -> list[Key]:
        """Take the next stale rows that are still kept and not wanted anyway; none before their time."""
        now = asyncio.get_running_loop().time()
        if not self._stale or now < self._refresh_at:
            return []
        self._refresh_at = now + self._settings.refresh_pause_seconds
        taken = list(islice(self._stale, self._settings.refresh_limit))
        for key in taken:
            del self._stale[key]
        due = [key for key in taken if key not in wanted and key[1] in key[0].entries]
        for key in due:
            self._cache.begin(key)
        return due


def _fail(waiting: Iterable[Waiting], error: StoreError) -> None:
    for one in waiting:
        if not one.done():
            one.set_exception(error)
