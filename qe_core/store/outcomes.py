"""What came of an agent's last episodes, from the newest chunks of the log.

What belongs here: reading just enough chunks. What does not: judging outcomes (`qe_core.rollout`).
"""

from datetime import UTC, datetime

import numpy as np

from qe_core.store.binary_copy import Column, RowFormat
from qe_core.store.connection import Connection
from qe_core.store.policy_records import RecentOutcomes
from qe_core.store.statements import STATEMENTS

_FORMAT = RowFormat(
    [
        Column("total_reward", "float8"),
        Column("success", "int2"),
        Column("last_experience_id", "int8"),
    ]
)
_FIRST_READ = 4_096
_GROWTH = 8
_ALWAYS = datetime(2000, 1, 1, tzinfo=UTC)


async def read_outcomes(
    connection: Connection,
    agent: str,
    policy_version: int | None,
    limit: int,
    since: datetime | None,
    read_limit: int,
) -> RecentOutcomes:
    """Return an agent's last whole episodes under a version; see `PolicyStore.recent_outcomes`.

    Args:
        connection: inside a transaction that sees one moment.
        agent: whose.
        policy_version: None for the live table.
        limit: at most so many episodes.
        since: None for all.
        read_limit: at most so many experiences, up to a chunk more, are read.
    """
    arrived_from = _ALWAYS if since is None else since
    wanted, known = -1 if policy_version is None else policy_version, -1
    reading = min(_FIRST_READ, read_limit)
    while True:
        found = await connection.fetchrow(STATEMENTS["find_newest_chunks"], agent, arrived_from, reading)
        decoder = _FORMAT.decoder()
        await connection.copy_from_query(
            STATEMENTS["read_recent_outcomes"],
            *(agent, arrived_from, found["first_chunk"], wanted, limit),
            output=decoder.feed,
            format="binary",
        )
        columns = decoder.columns()
        is_all = found["experiences"] == known or found["experiences"] < reading
        if len(columns["success"]) >= limit or is_all or reading >= read_limit:
            return RecentOutcomes(
                columns["total_reward"], columns["success"].astype(np.int8), columns["last_experience_id"]
            )
        known, reading = found["experiences"], min(reading * _GROWTH, read_limit)
