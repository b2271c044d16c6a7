"""The ledger of privacy: what releases have cost, and how little is left.

What belongs here: reading it. What does not: debiting, which only a release does (`releases`), and what a
cost means (`qe_core.privacy.accounting`). Sums and limits are kept by the database itself, in whole
billionths of ρ, so that nobody can spend around them.
"""

from uuid import UUID

from qe_core.store.connection import Database
from qe_core.store.team.records import LedgerEntry


class PrivacyLedger:
    """All debits of this database, only ever added to.

    Args:
        database: where it is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def entries(self) -> list[LedgerEntry]:
        """Return all debits, the oldest first."""
        return [LedgerEntry(**dict(row)) for row in await self._database.fetch("read_ledger")]

    async def spent_nano_rho(self) -> int:
        """Return what all releases cost together, billionths of ρ."""
        return int((await self._database.fetch("sum_ledger"))[0]["spent"])

    async def database_id(self) -> UUID:
        """Return this database's random name, which leaves it only as a keyed pseudonym."""
        return UUID(str((await self._database.fetch("read_database_id"))[0]["database_id"]))
