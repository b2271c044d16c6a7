"""The log of team learning: everything that passed between this database and the team.

What belongs here: adding to it and reading it. What does not: what happened (its neighbours, the runtime).
"""

import json
from collections.abc import Mapping
from typing import Any

from qe_core.store.connection import Connection, Database
from qe_core.store.json_text import json_text
from qe_core.store.statements import STATEMENTS
from qe_core.store.team.records import TeamEvent, TeamLogEntry


class TeamLog:
    """Who pushed, pulled, refused, opted out, and when; only ever added to.

    Args:
        database: where it is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, kind: TeamEvent, *, by: str, details: Mapping[str, Any]) -> None:
        """Add a line.

        Args:
            kind: what it tells of.
            by: who.
            details: what, JSON values by name; no names of people, no paths.
        """
        async with self._database.connection() as connection:
            await note(connection, kind, by, details)

    async def entries(self, limit: int = 1_000, kind: TeamEvent | None = None) -> list[TeamLogEntry]:
        """Return lines, the newest first.

        Args:
            limit: at most so many.
            kind: only these; None for all.
        """
        rows = await self._database.fetch("read_team_log", kind, limit)
        return [
            TeamLogEntry(**{**row, "kind": TeamEvent(row["kind"]), "details": json.loads(row["details"])})
            for row in map(dict, rows)
        ]


async def note(connection: Connection, kind: TeamEvent, by: str, details: Mapping[str, Any]) -> None:
    """Add a line inside the caller's transaction, so that it is told exactly if it happened."""
    await connection.execute(STATEMENTS["add_team_log"], kind, by, json_text(dict(details)))
