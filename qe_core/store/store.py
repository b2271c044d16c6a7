"""The store: one pool of connections and the things kept behind it.

What belongs here: opening, closing and what concerns all of them at once. What does not: single tables
(`q_tables`), the log (`experiences`) and anything that computes values.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from qe_core.store.ab_tests import ABTestStore
from qe_core.store.adjustments import AdjustmentStore
from qe_core.store.alerts import AlertStore
from qe_core.store.connection import Database, open_database
from qe_core.store.experiences import ExperienceLog
from qe_core.store.identity import NOBODY, Identity
from qe_core.store.imports import ImportLedger
from qe_core.store.live import (
    DEFAULT_LIVE,
    DEFAULT_READER,
    Live,
    LiveSettings,
    ReaderSettings,
    open_live,
)
from qe_core.store.memory import QEMemory
from qe_core.store.policies import PolicyStore
from qe_core.store.q_tables import QTableStore
from qe_core.store.records import AgentStatus, StoreCounters
from qe_core.store.retention import Retention
from qe_core.store.stats import StatsStore
from qe_core.store.team import OptOutStore, PrivacyLedger, ReleaseStore, TeamLog, TeamTableStore


class Store:
    """Everything the product keeps in PostgreSQL.

    Open it with ``async with Store.connect(url) as store`` and keep it inside one event loop.

    Attributes:
        q_tables: current Q-tables of all levels.
        experiences: the append-only log of transitions.
        stats: statistics windows and verdicts.
        imports: how far imports have come.
        alerts: what needs a person, and who was told.
        adjustments: what was changed about how agents learn.
        memory: what agents remember for each other.
        policies: frozen versions, and what each agent serves.
        ab_tests: comparisons of two versions, and what came of them.
        releases: what was shared with the team, is, or will be.
        privacy_ledger: what that cost in privacy.
        opt_outs: who does not take part in it.
        team_tables: what came back from the team.
        team_log: everything that passed between this database and the team.
        retention: removes old experiences without losing what they taught.
        identity: whose the experiences are that are stored through it.
    """

    def __init__(self, database: Database, identity: Identity = NOBODY) -> None:
        self._database = database
        self.identity = identity
        self.experiences = ExperienceLog(database, identity)
        self.q_tables = QTableStore(database)
        self.stats = StatsStore(database)
        self.imports = ImportLedger(database, self.experiences)
        self.retention = Retention(database)
        self.alerts = AlertStore(database)
        self.adjustments = AdjustmentStore(database)
        self.memory = QEMemory(database)
        self.policies = PolicyStore(database, self.q_tables)
        self.ab_tests = ABTestStore(database)
        self.releases = ReleaseStore(database)
        self.privacy_ledger = PrivacyLedger(database)
        self.opt_outs = OptOutStore(database)
        self.team_tables = TeamTableStore(database)
        self.team_log = TeamLog(database)

    @classmethod
    @asynccontextmanager
    async def connect(
        cls, database_url: str, pool_size: int = 4, identity: Identity = NOBODY
    ) -> AsyncIterator[Self]:
        """Yield an open store, closed again on the way out.

        Args:
            database_url: ``postgresql://user:password@host:port/database``;
                `qe_core.store.server.database_url` knows the project's.
            pool_size: the most connections used at once, at least 1.
            identity: whose the experiences are that are stored through it; `qe_core.runtime.identity` makes
                it of the names in the settings.

        Raises:
            ConfigError: the URL is not a PostgreSQL URL.
            DatabaseUnavailableError: nobody answers there, refuses the login, is too old or is read-only.
            MigrationError: database or schema is missing, or older or newer than this version.
        """
        async with open_database(database_url, pool_size) as database:
            yield cls(database, identity)

    @asynccontextmanager
    async def live(
        self, settings: LiveSettings = DEFAULT_LIVE, reading: ReaderSettings = DEFAULT_READER
    ) -> AsyncIterator[Live]:
        """Yield this process's hot path; on the way out what was recorded is committed first.

        Args:
            settings: sizes and deadlines of recording.
            reading: sizes and deadlines of lookups.
        """
        async with open_live(
            self._database,
            self.q_tables,
            self.policies,
            self.ab_tests,
            settings,
            reading,
            self.identity,
        ) as live:
            yield live

    @property
    def counters(self) -> StoreCounters:
        """What this store has met since it was opened."""
        return self._database.counter.snapshot()

    async def status(self) -> list[AgentStatus]:
        """Return one line for each agent that has a table or experiences, by name."""
        return [AgentStatus(**dict(row)) for row in await self._database.fetch("agent_status")]
