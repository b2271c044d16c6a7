"""Removing experiences that have grown old without losing what they taught.

What belongs here: which chunks and partitions go, and in which order. What does not: how chunks are counted
(`summaries`) and when this runs (the graph, the command line).

A chunk is counted in ``transition_summaries`` and marked as folded in one transaction; from then on nobody
reads it. A partition that holds nothing else is detached, which makes no writer wait, and dropped. Every step
can be repeated, and what a killed run began the next one finishes: a detachment that broke off is finalised,
and what a detached partition holds that is in no summary goes back into the log before it is dropped.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby

import asyncpg

from qe_core.store.connection import Connection, Database
from qe_core.store.experiences import PARTITION_DAYS_AHEAD
from qe_core.store.statements import STATEMENTS
from qe_core.store.summaries import fold_chunks
from qe_core.store.table_rows import affected_count

FLUSH_MEMORY = timedelta(days=1)
"""How long a flush is remembered: far longer than any writer tries to send one again."""

FOLD_ROWS = 1_048_576
"""Experiences after which a fold commits."""


@dataclass(frozen=True, slots=True)
class RetentionReport:
    """What one run of retention did.

    Attributes:
        oldest_day: the first day, UTC, whose arrivals are all kept.
        partitions_made: for days to come.
        chunks_folded: chunks counted in summaries.
        experiences_folded: experiences in them.
        experiences_kept: experiences that arrived before ``oldest_day`` and are kept, because they are among
            their agent's newest.
        partitions_dropped: names, oldest first.
        flushes_forgotten: entries removed from the ledger of flushes.
    """

    oldest_day: date
    partitions_made: int
    chunks_folded: int
    experiences_folded: int
    experiences_kept: int
    partitions_dropped: tuple[str, ...]
    flushes_forgotten: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """How many experiences of one agent under one contract there are.

    Attributes:
        agent: the agent's name.
        fingerprint: the contract.
        live: in the log.
        summarised: counted in summaries.
    """

    agent: str
    fingerprint: str
    live: int
    summarised: int

    @property
    def total(self) -> int:
        """Both together: never less than before."""
        return self.live + self.summarised


class Retention:
    """Removes what has grown old.

    Args:
        database: where the log is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def evidence(self) -> list[Evidence]:
        """Return how much there is to learn from, by agent and contract."""
        return [Evidence(**dict(row)) for row in await self._database.fetch("count_evidence")]

    async def run(self, keep_days: int, keep_newest: int, now: datetime | None = None) -> RetentionReport:
        """Fold and remove experiences that arrived more than ``keep_days`` whole days ago.

        Harmless to repeat, to kill at any moment, and to run from several processes at once: they take turns.
        It waits for transactions that read the log, and no writer waits for it.

        Args:
            keep_days: days whose arrivals are all kept, at least 1.
            keep_newest: experiences of each agent that are kept whatever their age, at least 0.
            now: the present, aware; None for the server's.
        """
        async with self._database.connection() as connection:
            await connection.execute(STATEMENTS["lock_retention"])
            try:
                return await self._run(connection, keep_days, keep_newest, now)
            finally:
                await connection.execute(STATEMENTS["unlock_retention"])

    async def _run(
        self, connection: Connection, keep_days: int, keep_newest: int, now: datetime | None
    ) -> RetentionReport:
        present = now or await connection.fetchval(STATEMENTS["server_time"])
        oldest_day = (present.astimezone(UTC) - timedelta(days=keep_days)).date()
        before = datetime.combine(oldest_day, time(), UTC)
        made = await connection.fetchval(STATEMENTS["make_partitions"], PARTITION_DAYS_AHEAD)
        chunks, experiences = await _fold(connection, before, keep_newest)
        dropped, kept = await _remove_partitions(connection, oldest_day)
        await connection.execute(STATEMENTS["remove_folded_chunks"], before)
        forgotten = await connection.execute(STATEMENTS["prune_flushes"], present - FLUSH_MEMORY)
        return RetentionReport(
            oldest_day, made, chunks, experiences, kept, tuple(dropped), affected_count(forgotten)
        )


async def _fold(connection: Connection, before: datetime, keep_newest: int) -> tuple[int, int]:
    """Count what is to go in the summaries; return how many chunks and experiences that were."""
    chunks, experiences = 0, 0
    expired = await connection.fetch(STATEMENTS["list_expired_chunks"], before, keep_newest)
    for (agent, fingerprint), rows in groupby(expired, key=lambda row: (row["agent"], row["fingerprint"])):
        for chunk_ids in _portions(list(rows)):
            async with connection.transaction():
                experiences += await fold_chunks(connection, agent, fingerprint, chunk_ids, before)
                chunks += len(chunk_ids)
    return chunks, experiences


def _portions(rows: list[asyncpg.Record]) -> Iterator[list[int]]:
    """Yield the numbers of chunks to fold together."""
    portion, size = [], 0
    for row in rows:
        portion.append(row["chunk_id"])
        size += row["experiences"]
        if size >= FOLD_ROWS:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


async def _remove_partitions(connection: Connection, oldest_day: date) -> tuple[list[str], int]:
    """Drop old partitions that hold nothing unfolded; return their names, and what is kept in the others."""
    dropped, kept = [], 0
    for partition in await connection.fetch(STATEMENTS["list_partitions"], oldest_day):
        name = partition["name"]
        if partition["is_pending"]:
            await connection.execute(_about(name, "finish_detachment"))
        elif partition["is_attached"]:
            if unfolded := await connection.fetchval(_about(name, "count_unfolded")):
                kept += unfolded
                continue
            await connection.execute(_about(name, "detach_partition"))
        async with connection.transaction():
            await connection.execute(_about(name, "rescue_unfolded"))
            await connection.execute(_about(name, "drop_partition"))
        dropped.append(name)
    return dropped, kept


def _about(partition: str, statement: str) -> str:
    """Return a statement about one partition; `list_partitions` answers names of safe letters only."""
    return STATEMENTS[statement].replace("old_partition", partition)
