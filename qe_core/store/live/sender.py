"""Sending flushes over one connection, and telling apart what can go wrong.

What belongs here: one attempt to send, and what its failure means. What does not: queues, deadlines and when
to try again (`writer`).
"""

import logging
from uuid import UUID

import asyncpg

from qe_core.errors import DatabaseUnavailableError, StoreError
from qe_core.store.connection import LOST, Connect
from qe_core.store.errors import DecisionClaimedError
from qe_core.store.live.flush import INBOX, Flush
from qe_core.store.live.line import Acknowledgement
from qe_core.store.statements import STATEMENTS
from qe_core.store.table_handles import stale

STALE_EPOCH = "QE001"
"""The SQLSTATE with which ``take_flush`` refuses an epoch."""

CLAIMED = "QE002"
"""The SQLSTATE with which ``take_flush`` refuses a decision that another process took over."""

LOGGER = logging.getLogger(__name__)

_PASSING = ("25", "40", "53", "55", "57", "58")
"""SQLSTATE classes of trouble that passes: read-only, deadlock, resources, locks, shutdown, input/output."""

_NAMED_STATES = 400
"""States up to which an announcement names each; PostgreSQL allows 8,000 bytes."""


class FlushTroubleError(Exception):
    """An attempt failed for a reason that may pass.

    Attributes:
        is_ambiguous: whether the flush may have been applied all the same.
    """

    def __init__(self, cause: BaseException, *, is_ambiguous: bool) -> None:
        super().__init__(str(cause) or type(cause).__name__)
        self.is_ambiguous = is_ambiguous


class Sender:
    """A connection that sends flushes, opened when it is needed.

    Args:
        connect: opens one connection.
        writer_id: named in announcements, so that the process knows its own.
        timeout_seconds: how long an attempt may take.
    """

    def __init__(self, connect: Connect, writer_id: UUID, timeout_seconds: float) -> None:
        self._connect = connect
        self._writer_id = writer_id
        self._timeout_seconds = timeout_seconds
        self._connection: asyncpg.Connection | None = None

    async def connect(self) -> asyncpg.Connection:
        """Return the connection, opened anew where there is none.

        Raises:
            FlushTroubleError: nobody answers.
        """
        if self._connection is None or self._connection.is_closed():
            try:
                self._connection = await self._connect()
            except DatabaseUnavailableError as error:
                raise FlushTroubleError(error, is_ambiguous=False) from error
        return self._connection

    async def send(self, flush: Flush) -> Acknowledgement:
        """Have a flush applied and announced; return when that is durable.

        Raises:
            StaleEpochError: the table was restored or replaced; nothing was applied.
            DecisionClaimedError: a decision in it was taken over; nothing was applied.
            StoreError: the server refuses it for good; nothing was applied.
            FlushTroubleError: try again later with the same flush.
        """
        connection = await self.connect()
        is_applied = False
        try:
            is_repeated = await self._apply(connection, flush)
            is_applied = True
            version = await self._announce(connection, flush)
        except (*LOST, TimeoutError) as error:
            self.close()
            raise FlushTroubleError(error, is_ambiguous=True) from error
        except asyncpg.PostgresError as error:
            if is_applied:
                # It was applied: sent anew under another number it would be applied twice.
                raise FlushTroubleError(error, is_ambiguous=True) from error
            if error.sqlstate == STALE_EPOCH:
                await self._report_refusal(connection, flush)
            raise self._explained(error, flush) from error
        return Acknowledgement(flush.handle.q_table_id, version, is_repeated)

    def close(self) -> None:
        """Give the connection up at once."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def _apply(self, connection: asyncpg.Connection, flush: Flush) -> bool:
        """Copy the flush into the inbox; return whether the server had it already."""
        try:
            await connection.copy_to_table(
                INBOX, source=flush.pieces(), format="binary", timeout=self._timeout_seconds
            )
        except asyncpg.UniqueViolationError as error:
            if error.constraint_name != "flushes_pkey":
                raise
            return True
        except asyncpg.CheckViolationError as error:
            if error.constraint_name is not None:
                raise
            # Nobody made partitions ahead: the log has none for today.
            await connection.execute(STATEMENTS["ensure_day"], timeout=self._timeout_seconds)
            return await self._apply(connection, flush)
        return False

    async def _announce(self, connection: asyncpg.Connection, flush: Flush) -> int:
        """Tell whoever listens about a committed flush; return the version it raised its table to."""
        states = flush.updates.state
        named = "*" if len(states) > _NAMED_STATES else ",".join(map(str, dict.fromkeys(states.tolist())))
        try:
            return int(
                await connection.fetchval(
                    STATEMENTS["announce_flush"],
                    flush.flush_id,
                    f"{self._writer_id} {named}",
                    timeout=self._timeout_seconds,
                )
            )
        except asyncpg.ProgramLimitExceededError:
            # The queue of notifications is full, of anybody's. Versions are compared now and then anyway.
            return int(
                await connection.fetchval(
                    STATEMENTS["find_flush"], flush.flush_id, timeout=self._timeout_seconds
                )
            )

    async def _report_refusal(self, connection: asyncpg.Connection, flush: Flush) -> None:
        """Have the server count a flush it refused; its own transaction was undone, and its count with it."""
        try:
            await connection.execute(
                STATEMENTS["note_refused_flush"],
                *(flush.flush_id, flush.handle.q_table_id, flush.handle.epoch, flush.count),
                timeout=self._timeout_seconds,
            )
        except (*LOST, TimeoutError, asyncpg.PostgresError) as error:
            # The refusal itself stands and is told to the caller; only the count in the database is short.
            LOGGER.warning("a refused flush of %s was not counted: %s", flush.handle.name, error)

    def _explained(self, error: asyncpg.PostgresError, flush: Flush) -> Exception:
        """Return what a refusal means; the transaction was undone by the server."""
        if error.sqlstate == STALE_EPOCH:
            return stale(flush.handle)
        if error.sqlstate == CLAIMED:
            return DecisionClaimedError(
                f"another process took over a decision of {flush.handle.name} that this flush "
                "records; nothing of it was stored. Make sure of its outcome with Learner.recover()"
            )
        if error.sqlstate.startswith(_PASSING):
            return FlushTroubleError(error, is_ambiguous=False)
        return StoreError(
            f"PostgreSQL refused {flush.count} updates of the {flush.handle.level} table {flush.handle.name} "
            f"({error.sqlstate}: {error}); none of them was stored"
        )
