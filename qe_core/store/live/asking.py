"""Lookups that are not in the cache, asked together.

What belongs here: collecting whatever is wanted while a query is under way into the next one, on one
connection kept for it; deadlines of those who wait. What does not: what becomes of the rows (`reader`).

A pool would cost three to four times the query itself on this path, and starve with a thousand callers.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Self, TypeAlias

import asyncpg
from asyncpg.prepared_stmt import PreparedStatement

from qe_core.errors import DatabaseUnavailableError, StoreError
from qe_core.store.connection import Connect
from qe_core.store.live.cache import Key, RowCache
from qe_core.store.live.keeping import LOST, KeptConnection, require_open
from qe_core.store.live.reader_settings import ReadCounters, ReaderSettings
from qe_core.store.live.rows import Row
from qe_core.store.statements import STATEMENTS

Found: TypeAlias = dict[Key, Row]
Answer: TypeAlias = "tuple[Key, int, int, bool, bytes | None]"
"""A table and a state; the table's version, epoch and whether it is current; the packed row, if any."""
Adopt: TypeAlias = Callable[[Sequence[Answer]], Found]
Waiting: TypeAlias = "asyncio.Future[Found]"


class Asking:
    """Asks for rows on one connection, everything wanted meanwhile in the next query.

    Who asks while nobody else does sends the query himself: handing it to a task and the answer back would
    take two more turns of the event loop, about as long as the query.

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
        self._statements: Statements | None = None
        self._is_busy = False
        self._refresh_at = 0.0
        self.kept = KeptConnection(connect, "lookups", self._answer, self._something.set, counters)

    async def close(self) -> None:
        """Close the connection; whoever still waits is told so."""
        self._statements = None
        await self.kept.close()
        _fail(self._waiting, DatabaseUnavailableError("lookups were closed; open the live path again"))

    async def rows(self, keys: Sequence[Key]) -> Found:
        """Return rows from the database, among others perhaps.

        Args:
            keys: which ones.

        Raises:
            DatabaseUnavailableError: there was no answer before the deadline, or too many wait for one.
            StoreError: PostgreSQL refused the query.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._settings.deadline_seconds
        if self._statements is not None and not self._is_busy and not self._wanted:
            try:
                return await self._ask(self._statements, keys)
            except LOST:
                # Whatever it was, the next connection answers, if one comes in time.
                self._counters.lost_queries += 1
        if len(self._wanted) >= self._settings.cache_limit:
            raise DatabaseUnavailableError(
                f"{len(self._wanted)} rows are waiting for the database ({self.kept.reason}); decide again "
                "when it answers"
            )
        for key in keys:
            if key not in self._wanted:
                self._wanted[key] = None
                self._cache.begin(key)
        waiting: Waiting = loop.create_future()
        self._waiting.append(waiting)
        self._something.set()
        timer = loop.call_at(deadline, self._expire, waiting)
        try:
            return await waiting
        finally:
            timer.cancel()

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
        self._statements = await Statements.prepare(connection, self._settings)
        try:
            while True:
                await self._until_due(connection)
                await self._ask_together(self._statements)
        finally:
            self._statements = None

    async def _until_due(self, connection: asyncpg.Connection) -> None:
        """Wait until somebody wants rows, or it is time to refresh some, and the connection is free."""
        while True:
            self._something.clear()
            require_open(connection)
            pause = None
            if not self._is_busy:
                if self._wanted:
                    return
                if self._stale:
                    pause = self._refresh_at - asyncio.get_running_loop().time()
                    if pause <= 0:
                        return
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._something.wait()

    async def _ask(self, statements: "Statements", keys: Sequence[Key]) -> Found:
        """Send one query and take what it answers into the cache."""
        self._is_busy = True
        self._counters.queries += 1
        for key in keys:
            self._cache.begin(key)
        try:
            answers = await statements.ask(keys)
            found = self._adopt(answers)
        except LOST:
            statements.connection.terminate()
            raise
        except (asyncpg.PostgresError, StoreError) as error:
            raise StoreError(f"a lookup was refused: {error}; correct it and decide again") from error
        finally:
            self._cache.end(keys)
            self._is_busy = False
            if self._wanted or self._stale:
                self._something.set()
        self._counters.rows_read += len(answers)
        return found

    async def _ask_together(self, statements: "Statements") -> None:
        """Send one query for all that is wanted, with as many stale rows as are due."""
        wanted, self._wanted = self._wanted, {}
        waiting, self._waiting = self._waiting, []
        refreshed = self._due_for_refresh(wanted)
        try:
            found = await self._ask(statements, [*wanted, *refreshed])
        except LOST:
            again = wanted.keys() & self._wanted.keys()
            self._cache.end(again)
            self._wanted = wanted | self._wanted
            self._waiting = [*(one for one in waiting if not one.done()), *self._waiting]
            self._stale = dict.fromkeys(refreshed) | self._stale
            raise
        except StoreError as error:
            self._cache.end(wanted)
            _fail(waiting, error)
            return
        self._cache.end(wanted)
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
        return [key for key in taken if key not in wanted and key[1] in key[0].entries]


@dataclass(frozen=True, slots=True)
class Statements:
    """What is prepared on one connection.

    Attributes:
        connection: where.
        one: answers one state, without saying at which version.
        many: answers any number.
        seconds: how long an answer may take.
    """

    connection: asyncpg.Connection
    one: PreparedStatement
    many: PreparedStatement
    seconds: float

    @classmethod
    async def prepare(cls, connection: asyncpg.Connection, settings: ReaderSettings) -> Self:
        """Prepare them on a connection."""
        seconds = settings.query_seconds
        # Prepared once, so the plans must suit tables that were small, or not analysed, at that moment.
        await connection.fetchrow(STATEMENTS["insist_on_indexes"], timeout=seconds)
        one = await connection.prepare(STATEMENTS["read_live_row"], timeout=seconds)
        many = await connection.prepare(STATEMENTS["read_live_rows"], timeout=seconds)
        return cls(connection, one, many, min(seconds, settings.deadline_seconds))

    async def ask(self, keys: Sequence[Key]) -> list[Answer]:
        """Return what the database holds; nothing for tables it does not have."""
        if len(keys) == 1:
            (key,) = keys
            table, state = key
            version = table.version_of_first_read(state)
            if version is not None:
                found = await self.one.fetch(table.handle.q_table_id, state, timeout=self.seconds)
                if table.version_of_first_read(state) is not None:
                    return [(key, version, table.epoch, table.is_current, found[0][0] if found else None)]
        tables = {table.handle.q_table_id: table for table, _ in keys}
        records = await self.many.fetch(
            [table.handle.q_table_id for table, _ in keys],
            [state for _, state in keys],
            timeout=self.seconds,
        )
        return [((tables[table], state), *rest) for table, state, *rest in records]


def _fail(waiting: Iterable[Waiting], error: StoreError) -> None:
    for one in waiting:
        if not one.done():
            one.set_exception(error)
