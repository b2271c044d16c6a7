"""Q-tables in PostgreSQL."""

from collections.abc import Awaitable, Callable, Sequence

from qe_core.learning.q_table import QTable
from qe_core.store.experiences import ExperienceColumns
from qe_core.store.records import (
    AffineUpdates, FloatArray, HierarchicalRows, IntArray, Level, PublishResult, Rebuild, Source, StoredTable,
    TableHandle, TableSummary,
)


class QTableStore:
    """Registered Q-tables and their rows."""

    async def ensure(
        self, level: Level, name: str, fingerprint: str, state_count: int, action_names: Sequence[str]
    ) -> TableHandle:
        """Return the current table of that name under that contract, created if need be (handle.replaced_fingerprint)."""
        raise ConnectionError

    async def load(self, level: Level, name: str, fingerprint: str) -> StoredTable:
        """Return the current table, dense. FingerprintMismatchError / StoreError when there is none."""
        raise ConnectionError

    async def publish(
        self, handle: TableHandle, table: QTable, weights: FloatArray, expected_version: int, source: Source
    ) -> PublishResult:
        """Replace the contents; only changed rows are written; VersionConflictError when it moved on."""
        raise ConnectionError

    async def publish_with_retry(
        self, handle: TableHandle, recompute: Callable[[], Awaitable[Rebuild]], attempts: int = 8
    ) -> PublishResult:
        """Publish what ``recompute`` returns, recomputing after each conflict, bounded, jittered back-off."""
        raise ConnectionError

    async def list_tables(self) -> list[TableSummary]:
        """Return one line for each current table."""
        raise ConnectionError

    async def raise_epoch(self, handle: TableHandle) -> TableHandle:
        """Return a handle under a new fencing epoch; writers with an older one are refused from now on."""
        raise ConnectionError

    async def apply_updates(
        self, handle: TableHandle, updates: AffineUpdates, experiences: ExperienceColumns | None = None
    ) -> int:
        """Commit updates and their experiences in one transaction; returns pairs updated (0: this very flush was applied before)."""
        raise ConnectionError

    async def lookup(
        self, agent: str, category: str, states: IntArray, category_states: IntArray, fleet_states: IntArray,
        action_count: int, approach_count: int = 6,
    ) -> HierarchicalRows:
        """Return what all three levels know about these states, in one query."""
        raise ConnectionError
