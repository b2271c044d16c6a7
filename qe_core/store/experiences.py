"""The log of experiences in PostgreSQL: appending and reading in bulk.

What belongs here: the log as a whole. What does not: the shape of what arrives (`experience_rows`) and its
rules (`experience_rules`), how new rows are found (`appending`), how chunks are packed (`chunks`) and merged
(`chunk_order`), what becomes of old ones (`retention`), and what is learned from them (`qe_core.learning`).

The canonical order of an agent's log is (occurred_at, source, episode, step), by bytes where it is text. It
does not depend on when or in how many pieces the experiences arrived, so neither does anything computed in
this order.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from qe_core.learning.experience import Transitions
from qe_core.store.appending import MissingPartitionError, append_chunks
from qe_core.store.audit import LogAudit, audit_log
from qe_core.store.binary_copy import Column, RowFormat
from qe_core.store.chunk_order import Wanted, canonical_batches
from qe_core.store.chunks import (
    CHUNK_ROWS,
    NUMBERED_SCHEMA,
    columns_decoder,
    numbered_table,
)
from qe_core.store.connection import Connection, Database
from qe_core.store.experience_rows import ExperienceColumns, as_experience_table
from qe_core.store.experience_rules import check_experiences
from qe_core.store.identity import NOBODY, Identity
from qe_core.store.records import EpisodeReturns, ExperienceCounts
from qe_core.store.statements import STATEMENTS
from qe_core.store.summaries import read_summaries

if TYPE_CHECKING:
    # At run time it would bring the compiler along, which reading the store does not need.
    from qe_core.learning.empirical_mdp import EmpiricalMdp

BATCH_ROWS = 1_048_576
"""Transitions in a batch unless asked otherwise: 29 MB."""

PARTITION_DAYS_AHEAD = 7
_LARGEST_ID = np.iinfo(np.int64).max
_EPISODE_FORMAT = RowFormat(
    [
        Column("total_reward", "float8"),
        Column("steps", "int8"),
        Column("success", "int2"),
        Column("exploration_rate", "float8"),
        Column("reward_sum_squares", "float8"),
        Column("first_experience_id", "int8"),
        Column("last_experience_id", "int8"),
        Column("is_finished", "bool"),
    ]
)
Result = TypeVar("Result")


class ExperienceLog:
    """All transitions of all agents, append-only.

    Args:
        database: where they are.
        identity: whose the experiences are that are appended here.
    """

    def __init__(self, database: Database, identity: Identity = NOBODY) -> None:
        self._database = database
        self._identity = identity

    async def append(self, rows: ExperienceColumns) -> int:
        """Store those rows the log does not have yet, all or none, and return how many that were.

        A row is known by (agent, occurred_at, source, episode, step): appending it again changes nothing, as
        long as retention has not removed it.

        Args:
            rows: see `ExperienceColumns`.

        Raises:
            ExperienceRejectedError: a row breaks a rule of the log; the message names the rule.
        """
        table = self.prepare(rows)

        async def insert() -> int:
            """Append in a transaction of its own."""
            async with self._database.transaction() as connection:
                return await self.insert(connection, table)

        appended = await self.stored(insert)
        self._database.counter.add(
            experiences_appended=appended, experiences_repeated=table.num_rows - appended
        )
        return appended

    async def load_transitions(
        self, agent: str, fingerprint: str, after_id: int = 0, up_to_id: int | None = None
    ) -> Transitions:
        """Return an agent's transitions under one contract, in canonical order, as arrays.

        Args:
            agent: whose.
            fingerprint: the contract they were recorded under; others are left out.
            after_id: only experiences numbered above this.
            up_to_id: only experiences numbered up to this; None for all. Numbers are given on arrival: a
                transaction still open may later add numbers below one already seen.
        """
        upper = _LARGEST_ID if up_to_id is None else up_to_id
        wanted = Wanted(agent, fingerprint, after_id, upper)
        async with self._database.snapshot() as connection:
            found = [batch async for batch in canonical_batches(connection, wanted, None)]
        return found[0] if found else Transitions.empty()

    async def transition_batches(
        self, agent: str, fingerprint: str, batch_rows: int = BATCH_ROWS
    ) -> AsyncIterator[Transitions]:
        """Yield an agent's transitions in canonical order, in batches that fit into little memory.

        ``async for batch in store.experiences.transition_batches(agent, fingerprint)`` gives `Transitions`
        of exactly ``batch_rows`` rows, the last one of 1 to ``batch_rows``; an empty log gives none. Joined
        they are what `load_transitions` returns, as of the moment the first was asked for. Each batch is an
        own copy and 28 bytes a row; reading holds half a million rows besides. A connection is held until
        the iteration ends (leave it early inside ``contextlib.aclosing``).

        Args:
            agent: whose.
            fingerprint: the contract they were recorded under; others are left out.
            batch_rows: rows of a batch, at least 1.
        """
        wanted = Wanted(agent, fingerprint, 0, _LARGEST_ID)
        async with self._database.snapshot() as connection:
            async for batch in canonical_batches(connection, wanted, batch_rows):
                yield batch

    async def load_mdp(
        self, agent: str, fingerprint: str, state_count: int, action_count: int
    ) -> "EmpiricalMdp":
        """Return all that an agent's log and its summaries say under one contract, at one moment.

        Retention changes nothing in it but the last digits. Memory grows with what is distinct, not with the
        log; as long as nothing is summarised, the same log gives the same bits.

        Args:
            agent: whose.
            fingerprint: the contract.
            state_count: states of the contract.
            action_count: actions of the contract.

        Raises:
            LearningError: an experience does not fit the contract.
        """
        from qe_core.learning.empirical_mdp import EmpiricalMdp
        from qe_core.learning.transition_counter import TransitionCounter

        counter = TransitionCounter(state_count, action_count)
        wanted = Wanted(agent, fingerprint, 0, _LARGEST_ID)
        async with self._database.snapshot() as connection:
            summaries = await read_summaries(connection, agent, fingerprint)
            async for batch in canonical_batches(connection, wanted, BATCH_ROWS):
                counter.add(batch)
        found = EmpiricalMdp.from_counter(counter)
        if len(summaries["state"]) == 0:
            return found
        return EmpiricalMdp.from_summaries(state_count, action_count, **summaries).merge(found)

    async def read_columns(self, agent: str, after_id: int, limit: int) -> pa.Table:
        """Return an agent's next experiences in order of arrival, with all columns and ``experience_id``.

        Args:
            agent: whose.
            after_id: only experiences numbered above this.
            limit: the most rows to return; fewer come only at the end.
        """
        first_chunk, skipped = divmod(after_id + 1, CHUNK_ROWS)
        async with self._database.snapshot() as connection:
            sizes = await connection.fetch(STATEMENTS["list_arrivals"], agent, first_chunk, limit + 1)
            filled = np.cumsum([row["experiences"] for row in sizes], dtype=np.int64)
            if len(sizes) == 0:
                return NUMBERED_SCHEMA.empty_table()
            last = min(int(np.searchsorted(filled, limit + skipped)), len(sizes) - 1)
            decoder = columns_decoder()
            await connection.copy_from_query(
                STATEMENTS["read_columns"],
                *(agent, first_chunk, sizes[last]["chunk_id"]),
                output=decoder.feed,
                format="binary",
            )
        found = numbered_table(decoder.columns())
        return found.filter(pc.greater(found["experience_id"], after_id)).slice(0, limit)

    async def counts(self) -> list[ExperienceCounts]:
        """Return how much each agent has in the log, by name; agents without anything are not listed."""
        return [ExperienceCounts(**dict(row)) for row in await self._database.fetch("count_experiences")]

    async def episode_returns(self, agent: str, fingerprint: str | None = None) -> EpisodeReturns:
        """Return one entry for each episode of an agent, in the canonical order of their last steps.

        Args:
            agent: whose.
            fingerprint: only experiences under this contract; None for all.
        """
        decoder = _EPISODE_FORMAT.decoder()
        async with self._database.connection() as connection:
            await connection.copy_from_query(
                STATEMENTS["read_episodes"], agent, fingerprint, output=decoder.feed, format="binary"
            )
        found = decoder.columns()
        return EpisodeReturns(**{**found, "success": found["success"].astype(np.int8)})

    async def audit(self) -> list[LogAudit]:
        """Return figures of the whole log that show faults, one entry for each agent and contract."""
        return await audit_log(self._database)

    def prepare(self, rows: ExperienceColumns) -> pa.Table:
        """Return rows ready to insert.

        Raises:
            ExperienceRejectedError: columns do not fit or a row breaks a rule of the log.
        """
        table = as_experience_table(rows)
        if table.num_rows:
            check_experiences(table, datetime.now(UTC))
        return table

    async def stored(self, operation: Callable[[], Awaitable[Result]]) -> Result:
        """Return what ``operation`` returns, repeated where a deadlock or a missing partition broke it off.

        Partitions are made ahead (`retention`) and here, in a transaction of its own: a partition too many
        does no harm, a lock held too long would.

        Args:
            operation: one whole transaction that calls `insert`.
        """
        try:
            return await self._database.repeated(operation)
        except MissingPartitionError:
            await self._database.fetch("make_partitions", PARTITION_DAYS_AHEAD)
            return await self._database.repeated(operation)

    async def insert(self, connection: Connection, table: pa.Table) -> int:
        """Append rows inside the caller's transaction and return how many the log did not have yet.

        Args:
            connection: inside a transaction.
            table: from `prepare`.

        Raises:
            ExperienceRejectedError: a row breaks a rule of the log; the message names the rule.
            MissingPartitionError: see `stored`, which calls this.
        """
        return await append_chunks(connection, table, self._identity)
