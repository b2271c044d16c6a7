"""The store: one pool of connections and the things kept behind it.

What belongs here: opening, closing and what concerns all tables at once. What does not: single tables
(`q_tables`), the log (`experiences`) and anything that computes values.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from qe_core.store.experiences import ExperienceLog
from qe_core.store.imports import ImportLedger
from qe_core.store.q_tables import QTableStore
from qe_core.store.records import AgentStatus, StoreCounters
from qe_core.store.stats import StatsStore


class Store:
    """Everything the product keeps in PostgreSQL.

    Open it with ``async with Store.connect(url) as store``; never keep it across event loops.

    Attributes:
        q_tables: current Q-tables of all levels.
        experiences: the append-only log of transitions.
        stats: statistics windows and verdicts.
        imports: how far imports have come.
    """

    q_tables: QTableStore
    experiences: ExperienceLog
    stats: StatsStore
    imports: ImportLedger

    @classmethod
    @asynccontextmanager
    async def connect(cls, database_url: str, pool_size: int = 4) -> AsyncIterator[Self]:
        """Yield an open store, closed again on the way out.

        Args:
            database_url: ``postgresql://user:password@host:port/database``; see `qe_core.store.server.database_url`.
            pool_size: the most connections used at once, at least 1.

        Raises:
            ConfigError: the URL is not a PostgreSQL URL.
            DatabaseUnavailableError: nobody answers there, refuses the login, is too old or is read-only.
            MigrationError: the schema is missing, older or newer than this version of the product.
        """
        raise ConnectionError
        yield cls()

    @property
    def counters(self) -> StoreCounters:
        """What this store has met since it was opened."""
        raise ConnectionError

    async def status(self) -> list[AgentStatus]:
        """Return one line for each agent that has a table or experiences, by name."""
        raise ConnectionError
