"""What the team knows, as it was pulled: every version, which of them is in use, and the way back.

What belongs here: storing tables of the team and undoing pulls. What does not: fetching them (the runtime),
and merging them with own evidence (`qe_core.hierarchy.merging`).
"""

import json
from collections.abc import Sequence
from uuid import UUID

import asyncpg
import numpy as np

from qe_core.errors import PrivacyError
from qe_core.learning.team_evidence import TeamEvidence
from qe_core.store.connection import Connection, Database
from qe_core.store.statements import STATEMENTS
from qe_core.store.team.log import note
from qe_core.store.team.records import PulledTable, PullRecord, TableChange, TeamEvent, TeamTable

_ARRAYS = ("q", "visits", "error", "reported")


class TeamTableStore:
    """Tables of the team in this database; only pairs the team knows are stored.

    Args:
        database: where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(self, pull_id: UUID, tables: Sequence[PulledTable], *, by: str) -> list[TableChange]:
        """Store the tables of a pull that are newer than those in use, all or none, and return the changes.

        Storing a pull again changes nothing.

        Args:
            pull_id: chosen at random by who pulls.
            tables: at most one of each agent.
            by: who.
        """
        async with self._database.transaction() as connection:
            await connection.execute(STATEMENTS["lock_pulls"])
            before = await _versions(connection, "read_current_versions")
            newer = [
                table for table in tables if table.version > before.get((table.agent, table.fingerprint), 0)
            ]
            number = await connection.fetchval(STATEMENTS["insert_pull"], pull_id, by) if newer else None
            if number is None:
                return []
            for table in newer:
                await connection.execute(STATEMENTS["insert_team_table"], number, *_stored(table))
            changes = [
                TableChange(
                    table.agent,
                    table.fingerprint,
                    before.get((table.agent, table.fingerprint)),
                    table.version,
                )
                for table in newer
            ]
            await note(connection, TeamEvent.PULL, by, _told(pull_id, changes))
        return changes

    async def undo(self, pull_id: UUID | None = None, *, by: str) -> list[TableChange]:
        """Have a pull not count any more and return which tables are in use instead, and of whom.

        Args:
            pull_id: which; None for the last one that counts.
            by: who.

        Raises:
            PrivacyError: there is none to undo.
        """
        async with self._database.transaction() as connection:
            await connection.execute(STATEMENTS["lock_pulls"])
            before = await _versions(connection, "read_current_versions")
            undone = await connection.fetchval(STATEMENTS["undo_pull"], pull_id, by)
            if undone is None:
                raise PrivacyError(
                    "no pull to undo: nothing was pulled, or it is undone already; see: qe team log"
                )
            after = await _versions(connection, "read_current_versions")
            changes = [
                TableChange(*table, version, after.get(table))
                for table, version in before.items()
                if after.get(table) != version
            ]
            await note(connection, TeamEvent.UNDO, by, _told(undone, changes))
        return changes

    async def current(self, agent: str, fingerprint: str) -> TeamTable | None:
        """Return an agent's table of the team in use under one contract; None where there is none."""
        rows = await self._database.fetch("read_current_team_table", agent, fingerprint)
        return _table(rows[0]) if rows else None

    async def version(self, agent: str, fingerprint: str, version: int) -> TeamTable | None:
        """Return one version of an agent's table, in use or not; None where it never came."""
        rows = await self._database.fetch("read_team_table", agent, fingerprint, version)
        return _table(rows[0]) if rows else None

    async def versions(self) -> dict[tuple[str, str], int]:
        """Return the highest version that ever came, undone or not, by agent and contract.

        Who asks the server for what is newer than these does not get back what was undone.
        """
        async with self._database.connection() as connection:
            return await _versions(connection, "read_known_versions")

    async def pulls(self) -> list[PullRecord]:
        """Return all pulls that brought something, the newest first."""
        rows = await self._database.fetch("list_pulls")
        return [PullRecord(**{**dict(row), "versions": json.loads(row["versions"])}) for row in rows]


async def _versions(connection: Connection, statement: str) -> dict[tuple[str, str], int]:
    rows = await connection.fetch(STATEMENTS[statement])
    return {(row["agent"], row["fingerprint"]): row["version"] for row in rows}


def _stored(table: PulledTable) -> tuple[object, ...]:
    """Return a table's columns as they are stored."""
    evidence = table.evidence
    pair = np.flatnonzero(evidence.visits > 0)
    arrays = (getattr(evidence, name).ravel()[pair].tolist() for name in _ARRAYS)
    return (table.agent, table.fingerprint, table.version, *evidence.q.shape, pair.tolist(), *arrays)


def _table(row: asyncpg.Record) -> TeamTable:
    shape, pair = (row["state_count"], row["action_count"]), row["pair"]
    arrays = {}
    for name in _ARRAYS:
        values = np.zeros(shape, dtype=np.int64 if name == "visits" else np.float64)
        values.ravel()[pair] = row[name]
        arrays[name] = values
    return TeamTable(
        row["agent"],
        row["fingerprint"],
        row["version"],
        TeamEvidence(**arrays),
        row["pull_id"],
        row["pulled_at"],
    )


def _told(pull_id: UUID, changes: Sequence[TableChange]) -> dict[str, object]:
    tables = {change.agent: {"before": change.before, "after": change.after} for change in changes}
    return {"pull_id": str(pull_id), "tables": tables}
