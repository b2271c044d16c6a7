"""Hearing of others' changes, and comparing versions in case something was not heard.

What belongs here: LISTEN on a connection of its own, the form of a notification, the periodic comparison.
What does not: what a change means for cached rows (`cache`, `reader`).
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import asyncpg

from qe_core.errors import DatabaseUnavailableError
from qe_core.store.connection import Connect
from qe_core.store.live.keeping import KeptConnection, require_open
from qe_core.store.live.reader_settings import ReadCounters, ReaderSettings
from qe_core.store.statements import STATEMENTS

CHANNEL = "qe_tables"
NOBODY = "-"
"""Stands for the writer of anything but a flush: a publication, a raised epoch, a retired table."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One change of one table.

    Attributes:
        q_table_id: which table.
        version: it has afterwards.
        writer: who flushed, or ``NOBODY``.
        states: the changed ones; None for any.
    """

    q_table_id: int
    version: int
    writer: str
    states: tuple[int, ...] | None


def parse_notice(payload: str) -> Notice | None:
    """Return what ``<table> <version> <writer> <states, or *>`` says, None if it is not of that form."""
    parts = payload.split(" ")
    if len(parts) != 4:
        return None
    try:
        states = None if parts[3] == "*" else tuple(int(state) for state in parts[3].split(","))
        return Notice(int(parts[0]), int(parts[1]), parts[2], states)
    except ValueError:
        return None


class Listener:
    """Listens on one connection and compares versions on it now and then.

    Args:
        connect: opens one connection.
        settings: how often to compare.
        counters: where notices are counted.
        tables: which tables are in use now.
        hear: takes one notice.
        compare: takes the tables' lines in the database and whether notices may have been lost before.
    """

    def __init__(
        self,
        connect: Connect,
        settings: ReaderSettings,
        counters: ReadCounters,
        tables: Callable[[], Iterable[int]],
        hear: Callable[[Notice], None],
        compare: Callable[[Sequence[asyncpg.Record], bool], None],
    ) -> None:
        self._settings = settings
        self._tables = tables
        self._hear = hear
        self._compare = compare
        self._others: dict[str, Callable[[str], None]] = {}
        self._is_check_due = asyncio.Event()
        self._is_listening = asyncio.Event()
        self.kept = KeptConnection(connect, "notifications", self._listen, self.check_soon, counters)

    def hear_also(self, channel: str, hear: Callable[[str], None]) -> None:
        """Hand on what is said on another channel; call it before `start`.

        Nothing makes up for what is missed there while the connection is away: ask now and then.
        """
        self._others[channel] = hear

    async def start(self) -> None:
        """Connect and begin to listen; return when nothing is missed from now on.

        Raises:
            DatabaseUnavailableError: nobody answers, or not in time.
        """
        await self.kept.start()
        try:
            async with asyncio.timeout(self._settings.query_seconds):
                await self._is_listening.wait()
        except TimeoutError:
            await self.kept.close()
            raise DatabaseUnavailableError(
                f"the database did not begin to notify within {self._settings.query_seconds:g} s "
                f"({self.kept.reason}); try again when it is less busy"
            ) from None

    def check_soon(self) -> None:
        """Compare versions, epochs and which tables are current now instead of at the next time."""
        self._is_check_due.set()

    async def _listen(self, connection: asyncpg.Connection) -> None:
        async with asyncio.timeout(self._settings.query_seconds):
            for channel in (CHANNEL, *self._others):
                await connection.add_listener(channel, self._heard)
        self._is_listening.set()
        # Whatever happened before LISTEN was not heard.
        is_after_silence = True
        while True:
            self._is_check_due.clear()
            require_open(connection)
            lines = await connection.fetch(
                STATEMENTS["read_table_versions"],
                list(self._tables()),
                timeout=self._settings.query_seconds,
            )
            self._compare(lines, is_after_silence)
            is_after_silence = False
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.check_seconds):
                    await self._is_check_due.wait()

    def _heard(self, _connection: Any, _process: int, channel: str, payload: str) -> None:
        if (hear := self._others.get(channel)) is not None:
            hear(payload)
            return
        notice = parse_notice(payload)
        if notice is not None:
            self._hear(notice)
