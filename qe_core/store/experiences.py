"""The log of experiences in PostgreSQL: appending and reading in bulk.

What belongs here: the log as a whole. What does not: the shape of what arrives (`experience_rows`) and what
is learned from it (`qe_core.learning`).

The canonical order of an agent's log is (occurred_at, source, episode, step), by bytes where it is text. It
does not depend on when or in how many pieces the experiences arrived, so neither does anything computed in
this order.
"""

from datetime import UTC, date, datetime
from io import BytesIO
from typing import Any

import asyncpg
import numpy as np
import pyarrow as pa

from qe_core.learning.experience import Transitions
from qe_core.store.audit import LogAudit, audit_log
from qe_core.store.binary_copy import Column, Columns, RowFormat
from qe_core.store.connection import Connection, Database
from qe_core.store.errors import ExperienceRejectedError
from qe_core.store.experience_rows import (
    RULES,
    SCHEMA,
    ExperienceColumns,
    as_csv,
    as_experience_table,
    check_times,
    from_csv,
)
from qe_core.store.records import EpisodeReturns, ExperienceCounts
from qe_core.store.statements import STATEMENTS
from qe_core.store.table_rows import affected_count

_LARGEST_ID = np.iinfo(np.int64).max
_INCOMING = "incoming_experiences"
_TRANSITION_FORMAT = RowFormat(
    [
        Column("state", "int8"),
        Column("action", "int2"),
        Column("reward", "float8"),
        Column("next_state", "int8"),
        Column("terminated", "bool"),
        Column("truncated", "bool"),
    ]
)
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


class ExperienceLog:
    """All transitions of all agents, append-only.

    Args:
        database: where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known_months: set[date] = set()

    async def append(self, rows: ExperienceColumns) -> int:
        """Store those rows the log does not have yet, all or none, and return how many that were.

        A row is known by (agent, occurred_at, source, episode, step): appending it again changes nothing.

        Args:
            rows: see `ExperienceColumns`.

        Raises:
            ExperienceRejectedError: a row breaks a rule of the log; the message names the rule.
        """
        table = await self.prepare(rows)

        async def insert() -> int:
            """Append in a transaction of its own."""
            async with self._database.transaction() as connection:
                return await self.insert(connection, table)

        appended = await self._database.repeated(insert)
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
        found = await self._read(_TRANSITION_FORMAT, "read_transitions", agent, fingerprint, after_id, upper)
        return Transitions(**found)

    async def read_columns(self, agent: str, after_id: int, limit: int) -> pa.Table:
        """Return an agent's next experiences in order of arrival, with all columns and ``experience_id``.

        Args:
            agent: whose.
            after_id: only experiences numbered above this.
            limit: the most rows to return; fewer come only at the end.
        """
        received = BytesIO()
        async with self._database.connection() as connection:
            await connection.copy_from_query(
                STATEMENTS["read_columns"], agent, after_id, limit, output=received, format="csv"
            )
        return from_csv(received)

    async def counts(self) -> list[ExperienceCounts]:
        """Return how much each agent has in the log, by name; agents without anything are not listed."""
        return [ExperienceCounts(**dict(row)) for row in await self._database.fetch("count_experiences")]

    async def episode_returns(self, agent: str, fingerprint: str | None = None) -> EpisodeReturns:
        """Return one entry for each episode of an agent, in the canonical order of their last steps.

        Args:
            agent: whose.
            fingerprint: only experiences under this contract; None for all.
        """
        found = await self._read(_EPISODE_FORMAT, "read_episodes", agent, fingerprint)
        return EpisodeReturns(**{**found, "success": found["success"].astype(np.int8)})

    async def audit(self) -> list[LogAudit]:
        """Return figures of the whole log that show faults, one entry for each agent and contract."""
        return await audit_log(self._database)

    async def prepare(self, rows: ExperienceColumns) -> pa.Table:
        """Return rows ready to insert, with the partitions they need.

        Partitions are made in transactions of their own, before the one that inserts: a partition too many
        does no harm, a lock held too long would.

        Raises:
            ExperienceRejectedError: columns do not fit or a time is absurd.
        """
        table = as_experience_table(rows)
        if table.num_rows == 0:
            return table
        for month in check_times(table, datetime.now(UTC)):
            if month not in self._known_months:
                await self._database.fetch("ensure_partition", month)
                self._known_months.add(month)
        return table

    async def insert(self, connection: Connection, table: pa.Table) -> int:
        """Append rows inside the caller's transaction and return how many the log did not have yet.

        Args:
            connection: inside a transaction.
            table: from `prepare`.

        Raises:
            ExperienceRejectedError: a row breaks a rule of the log; the message names the rule.
        """
        if table.num_rows == 0:
            return 0
        try:
            await connection.execute(STATEMENTS["create_incoming_experiences"])
            await connection.copy_to_table(
                _INCOMING, source=as_csv(table), columns=SCHEMA.names, format="csv"
            )
            return affected_count(await connection.execute(STATEMENTS["insert_new_experiences"]))
        except asyncpg.CheckViolationError as error:
            # Without a constraint's name it is a missing partition: dropped since this log made sure of it.
            self._known_months.clear()
            rule = RULES.get(error.constraint_name, "its month must have a partition; append it again")
            raise ExperienceRejectedError(
                f"an experience breaks a rule of the log: {rule}. None of its batch was stored. "
                f"{error.detail}"
            ) from error
        except asyncpg.DataError as error:
            raise ExperienceRejectedError(
                f"PostgreSQL cannot hold an experience: {error}. None of its batch was stored"
            ) from error

    async def _read(self, row_format: RowFormat, statement: str, *parameters: Any) -> Columns:
        decoder = row_format.decoder()
        async with self._database.connection() as connection:
            await connection.copy_from_query(
                STATEMENTS[statement], *parameters, output=decoder.feed, format="binary"
            )
        return decoder.columns()
