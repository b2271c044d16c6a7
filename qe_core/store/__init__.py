"""The only way to PostgreSQL: Q-tables, the log of experiences, statistics, and the embedded server.

What belongs here: connections, SQL and the records that cross them. What does not: learning mathematics.
"""

from qe_core.store.audit import LogAudit
from qe_core.store.errors import ExperienceRejectedError, StaleEpochError
from qe_core.store.experience_rows import ExperienceColumns
from qe_core.store.memory import MemoryConflictError, MemoryEntry, QEMemory
from qe_core.store.migration import MigrationReport, migrate
from qe_core.store.records import (
    AgentStatus,
    EpisodeReturns,
    ExperienceCounts,
    ImportRecord,
    Level,
    PublishResult,
    Rebuild,
    StatsWindow,
    StoreCounters,
    StoredTable,
    TableHandle,
    TableSummary,
)
from qe_core.store.retention import Evidence, RetentionReport
from qe_core.store.store import Store

__all__ = [
    "AgentStatus",
    "EpisodeReturns",
    "Evidence",
    "ExperienceColumns",
    "ExperienceCounts",
    "ExperienceRejectedError",
    "ImportRecord",
    "Level",
    "LogAudit",
    "MemoryConflictError",
    "MemoryEntry",
    "MigrationReport",
    "PublishResult",
    "QEMemory",
    "Rebuild",
    "RetentionReport",
    "StaleEpochError",
    "StatsWindow",
    "Store",
    "StoreCounters",
    "StoredTable",
    "TableHandle",
    "TableSummary",
    "migrate",
]
