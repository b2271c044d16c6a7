"""Statistics windows in PostgreSQL.

What belongs here: storing and reading them. What does not: computing them (`qe_core.learning`).
"""

from collections.abc import Sequence
from dataclasses import astuple

import asyncpg

from qe_core.errors import StoreError
from qe_core.store.connection import Database
from qe_core.store.records import StatsWindow
from qe_core.store.statements import STATEMENTS


class StatsStore:
    """Statistics windows of all agents.

    Args:
        database: where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def replace(self, agent: str, windows: Sequence[StatsWindow]) -> bool:
        """Make these an agent's windows, all or none; return whether that changed anything.

        Raises:
            StoreError: a figure is not finite, a rate lies outside [0, 1] or a verdict is unknown.
        """
        wanted = sorted(windows, key=lambda window: window.window_index)

        async def rewrite() -> bool:
            """Compare and write, alone on this agent's windows."""
            async with self._database.transaction() as connection:
                await connection.execute(STATEMENTS["lock_stats"], agent)
                found = await connection.fetch(STATEMENTS["read_windows"], agent)
                if [StatsWindow(**dict(row)) for row in found] == wanted:
                    return False
                await connection.execute(STATEMENTS["remove_windows"], agent)
                await connection.executemany(
                    STATEMENTS["insert_window"], [(agent, *astuple(window)) for window in wanted]
                )
                return True

        try:
            return await self._database.repeated(rewrite)
        except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError) as error:
            raise StoreError(
                f"statistics of {agent} cannot be stored, the old ones are kept: {error}; compute them again"
            ) from error

    async def windows(self, agent: str) -> list[StatsWindow]:
        """Return an agent's windows, oldest first; empty where none was computed."""
        return [StatsWindow(**dict(row)) for row in await self._database.fetch("read_windows", agent)]

    async def latest(self) -> dict[str, StatsWindow]:
        """Return the newest window of each agent that has any."""
        found = [dict(row) for row in await self._database.fetch("read_latest_windows")]
        return {row.pop("agent"): StatsWindow(**row) for row in found}
