"""Frozen tables: taking them, reading them, putting them back, and letting old ones go.

What belongs here: statements inside the caller's transaction. What does not: when a version is taken
(`policies`, `rollbacks`) and which ones are let go (`thinning`).

A row is stored once for all snapshots in a row that hold it: from the first that does up to the first that
does not. So a snapshot costs what changed, any is read by one condition, and letting one go changes no other.
"""

import json
from collections.abc import Sequence
from typing import Any

import asyncpg

from qe_core.learning.q_table import QTable
from qe_core.store.connection import Connection
from qe_core.store.errors import PolicyError
from qe_core.store.json_text import json_text
from qe_core.store.policy_records import FrozenTable, PolicyRows, PolicyVersion
from qe_core.store.records import TableHandle
from qe_core.store.statements import STATEMENTS
from qe_core.store.table_rows import TableRows, affected_count, row_format

_ALL = 2**31 - 1


async def lock_snapshots(connection: Connection, q_table_ids: Sequence[int]) -> None:
    """Wait until nobody else takes or removes snapshots of these tables, in the order of their numbers."""
    for q_table_id in sorted(set(q_table_ids)):
        await connection.execute(STATEMENTS["lock_snapshots"], q_table_id)


async def take_version(
    connection: Connection,
    agent: str,
    fingerprint: str,
    q_table_ids: Sequence[int],
    *,
    reason: str,
    by: str,
    exploration_state: dict[str, Any] | None,
) -> PolicyVersion:
    """Return a version of what three tables hold at this moment: the newest one where nothing changed.

    Args:
        connection: inside a transaction that has locked the snapshots of the three tables.
        agent: whose.
        fingerprint: the contract of its own table.
        q_table_ids: its own table, its category's, the fleet's.
        reason: why.
        by: who asks.
        exploration_state: where exploration stands; None where not known, which is no change.
    """
    ids = list(q_table_ids)
    await connection.execute(STATEMENTS["create_differing_rows"])
    await connection.execute(STATEMENTS["find_differing_rows"], ids)
    await connection.execute(STATEMENTS["insert_snapshots"])
    taken = dict(await connection.fetch(STATEMENTS["read_newest_snapshots"], ids))
    snapshots = [taken[q_table_id] for q_table_id in ids]
    await connection.execute(STATEMENTS["end_replaced_rows"], ids, snapshots)
    await connection.execute(STATEMENTS["store_differing_rows"], ids, snapshots)
    for newest in await read_versions(connection, agent, None, limit=1):
        known = [newest.own_snapshot, newest.category_snapshot, newest.fleet_snapshot]
        if known == snapshots and exploration_state in (None, newest.exploration_state):
            return newest
    state = None if exploration_state is None else json_text(exploration_state)
    number = await connection.fetchval(
        STATEMENTS["insert_version"], agent, fingerprint, *snapshots, state, reason, by
    )
    return await read_version(connection, number)


async def read_versions(
    connection: Connection, agent: str | None, number: int | None, limit: int = _ALL
) -> list[PolicyVersion]:
    """Return versions of an agent, or the one of a number, newest first."""
    rows = await connection.fetch(STATEMENTS["read_versions"], agent, number, limit)
    return [_version(row) for row in rows]


async def read_version(connection: Connection, number: int) -> PolicyVersion:
    """Return a version by its number.

    Raises:
        PolicyError: there is none.
    """
    found = await read_versions(connection, None, number)
    if not found:
        raise PolicyError(
            f"there is no policy version {number}, or it was thinned out by age; take the number of one of "
            "the agent's versions"
        )
    return found[0]


async def read_policy_rows(connection: Connection, number: int) -> PolicyRows:
    """Return the three tables of a version.

    Args:
        connection: inside a transaction that sees one moment.
        number: the version's.

    Raises:
        PolicyError: there is none.
    """
    found = await connection.fetch(STATEMENTS["read_frozen_tables"], number)
    if not found:
        await read_version(connection, number)
    return PolicyRows(number, *[await _read_table(connection, row) for row in found])


async def restore(connection: Connection, q_table_id: int, snapshot_id: int) -> tuple[int, int, int]:
    """Make a live table's rows exactly those of a snapshot, under a new version and a new epoch.

    Args:
        connection: inside a transaction that holds the table's line.
        q_table_id: the table.
        snapshot_id: one of its snapshots.

    Returns:
        The new version, rows written, rows removed.
    """
    written = await connection.execute(STATEMENTS["restore_rows"], q_table_id, snapshot_id)
    removed = await connection.execute(STATEMENTS["remove_rows_not_frozen"], q_table_id, snapshot_id)
    version = await connection.fetchval(STATEMENTS["restore_table"], q_table_id, snapshot_id)
    return version, affected_count(written), affected_count(removed)


async def _read_table(connection: Connection, found: asyncpg.Record) -> FrozenTable:
    line = dict(found)
    snapshot_id = line.pop("snapshot_id")
    handle = TableHandle(**{**line, "action_names": tuple(line["action_names"])})
    decoder = row_format(handle).decoder()
    await connection.copy_from_query(
        STATEMENTS["read_frozen_rows"],
        *(handle.q_table_id, snapshot_id),
        output=decoder.feed,
        format="binary",
    )
    columns = decoder.columns()
    table = QTable(columns["q"], columns["visits"], columns["target_mean"], columns["target_m2"])
    return FrozenTable.of(handle, TableRows(columns["state"], table, columns["weights"]))


def _version(row: asyncpg.Record) -> PolicyVersion:
    fields = dict(row)
    state = fields["exploration_state"]
    return PolicyVersion(**{**fields, "exploration_state": None if state is None else json.loads(state)})
