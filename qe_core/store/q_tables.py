"""Q-tables in PostgreSQL: registering, reading and writing them.

What belongs here: whole tables. What does not: what values mean (`qe_core.learning`), how rows are laid out
on the wire (`table_rows`), single updates (`live`).

Every transaction that changes a table's rows first locks its line in ``q_tables``. Writers of one table
therefore queue and cannot deadlock, writers of different tables do not meet, readers never wait.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence

import asyncpg

from qe_core.errors import StoreError, VersionConflictError
from qe_core.learning.q_table import QTable
from qe_core.store.connection import Connection, Database
from qe_core.store.errors import StaleEpochError
from qe_core.store.records import (
    FloatArray,
    Level,
    PublishResult,
    Rebuild,
    Source,
    StoredTable,
    TableHandle,
    TableSummary,
)
from qe_core.store.statements import STATEMENTS
from qe_core.store.table_handles import (
    handle_of,
    matching_handle,
    replaced_contract,
    stale,
)
from qe_core.store.table_rows import TableRows, affected_count, read_rows, write_rows

PUBLISH_ATTEMPTS = 8
EXCLUSIVE_SECONDS = 60.0
"""How long the last attempt to publish may keep other writers waiting."""


class QTableStore:
    """Registered Q-tables and their rows.

    Args:
        database: where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ensure(
        self,
        level: Level,
        name: str,
        fingerprint: str,
        state_count: int,
        action_names: Sequence[str],
        *,
        may_replace: bool = True,
    ) -> TableHandle:
        """Return the current table of that name under that contract, registered if need be.

        A current table under another contract is retired: it stays readable in SQL, but is no longer served,
        and writers that hold it are refused. The handle's ``replaced_fingerprint`` then names its contract.

        Args:
            level: individual, category or fleet.
            name: the agent's, the category's or the fleet's name.
            fingerprint: of the contract.
            state_count: number of states, at least 1.
            action_names: names of the columns, at least one.
            may_replace: whether a current table under another contract is retired; refused if not.

        Raises:
            FingerprintMismatchError: the same fingerprint was registered with another shape, or the current
                table is under another contract and may not be replaced.
            StoreError: a name is empty, the level unknown or the shape not positive.
        """
        names = tuple(action_names)

        async def register() -> TableHandle:
            """Find or create, alone under this name."""
            async with self._database.transaction() as connection:
                await connection.execute(STATEMENTS["lock_table_name"], level, name)
                found = await connection.fetchrow(STATEMENTS["find_table"], level, name)
                if found is not None and found["fingerprint"] == fingerprint:
                    return matching_handle(level, name, found, state_count, names)
                if found is not None and not may_replace:
                    raise replaced_contract(handle_of(level, name, found), fingerprint)
                if found is not None:
                    await connection.execute(STATEMENTS["retire_table"], found["q_table_id"])
                    await self._announce(connection, found["q_table_id"], found["version"])
                created = await connection.fetchrow(
                    STATEMENTS["create_table"], level, name, fingerprint, state_count, list(names)
                )
                replaced = None if found is None else str(found["fingerprint"])
                return TableHandle(
                    created["q_table_id"],
                    *(level, name, fingerprint, state_count, names),
                    *(created["epoch"], created["version"], replaced),
                )

        try:
            return await self._database.repeated(register)
        except asyncpg.CheckViolationError as error:
            raise StoreError(
                f"table {level}/{name} with {state_count} states and {len(names)} actions breaks the rule "
                f"{error.constraint_name}; take level, fingerprint and shape from the agent's contract"
            ) from error

    async def load(self, level: Level, name: str, fingerprint: str) -> StoredTable:
        """Return the current table as it was last committed, dense.

        Raises:
            FingerprintMismatchError: the current table was learned under another contract.
            StoreError: no such table is registered.
        """
        async with self._database.snapshot() as connection:
            found = await connection.fetchrow(STATEMENTS["find_table"], level, name)
            if found is None:
                raise StoreError(f"there is no {level} table {name} yet; register it first with ensure()")
            handle = handle_of(level, name, found)
            if handle.fingerprint != fingerprint:
                raise replaced_contract(handle, fingerprint)
            rows = await read_rows(connection, handle)
        table, weights = rows.as_dense(handle)
        return StoredTable(handle, table, weights, json.loads(found["source_version"]))

    async def publish(
        self, handle: TableHandle, table: QTable, weights: FloatArray, expected_version: int, source: Source
    ) -> PublishResult:
        """Make the table's contents exactly these, in one transaction; write only rows that differ.

        A table that does not differ is left entirely alone: same version, same time, same source.

        Args:
            handle: which table, and the epoch to write under.
            table: the new contents, shape (S, A), finite.
            weights: confidence x visits, shape (S, A).
            expected_version: the version the contents were computed from.
            source: what they were built from; JSON values.

        Raises:
            VersionConflictError: the table changed since that version; read again, recompute, publish again.
            StaleEpochError: the table was restored or replaced since the handle was taken.
            StoreError: contents do not have the table's shape or are not finite.
        """
        return await self._publish(handle, Rebuild(table, weights, expected_version, source), conflicts=0)

    async def publish_with_retry(
        self,
        handle: TableHandle,
        recompute: Callable[[], Awaitable[Rebuild]],
        attempts: int = PUBLISH_ATTEMPTS,
    ) -> PublishResult:
        """Publish what ``recompute`` returns, recomputing after each conflict with jittered back-off.

        The last attempt holds the table against other writers while it recomputes: they wait, and a table
        that never rests is rebuilt all the same.

        Args:
            handle: which table.
            recompute: reads the table and the log afresh and returns the new contents; it writes nothing.
            attempts: how often to try, at least 1.

        Raises:
            VersionConflictError: the contents were computed from another version even then.
            StaleEpochError: the table was restored or replaced; not retried.
        """
        for attempt in range(attempts - 1):
            rebuild = await recompute()
            try:
                return await self._publish(handle, rebuild, conflicts=attempt)
            except StaleEpochError:
                raise
            except VersionConflictError:
                self._database.counter.add(retries=1)
                await self._database.back_off(attempt)
        async with self._database.lone_transaction() as connection:
            await self._locked_version(connection, handle)
            try:
                async with asyncio.timeout(EXCLUSIVE_SECONDS):
                    rebuild = await recompute()
            except TimeoutError:
                raise StoreError(
                    f"recomputing the {handle.level} table {handle.name} took over {EXCLUSIVE_SECONDS:g} s "
                    "while its writers waited; nothing was published, try again when the server is less busy"
                ) from None
            rows = TableRows.from_dense(handle, rebuild.table, rebuild.weights)
            try:
                result = await self._replace_rows(connection, handle, rows, rebuild, attempts - 1)
            except StaleEpochError:
                raise
            except VersionConflictError as error:
                raise VersionConflictError(
                    f"the {handle.level} table {handle.name} was not at the version that each of {attempts} "
                    f"attempts computed from, the last one although nobody could write: {error}"
                ) from error
        return self._counted(result)

    async def _publish(self, handle: TableHandle, rebuild: Rebuild, conflicts: int) -> PublishResult:
        rows = TableRows.from_dense(handle, rebuild.table, rebuild.weights)

        async def attempt() -> PublishResult:
            """Write in a transaction of its own."""
            async with self._database.transaction() as connection:
                return await self._replace_rows(connection, handle, rows, rebuild, conflicts)

        return self._counted(await self._database.repeated(attempt))

    async def _replace_rows(
        self, connection: Connection, handle: TableHandle, rows: TableRows, rebuild: Rebuild, conflicts: int
    ) -> PublishResult:
        """Check the version and write, alone on this table."""
        version = await self._locked_version(connection, handle)
        if version != rebuild.expected_version:
            self._database.counter.add(version_conflicts=1)
            raise VersionConflictError(
                f"the {handle.level} table {handle.name} is at version {version}, not "
                f"{rebuild.expected_version}: it changed meanwhile; read it again, recompute, publish again"
            )
        written = await write_rows(connection, handle, rows)
        removed = affected_count(
            await connection.execute(STATEMENTS["remove_absent_rows"], handle.q_table_id)
        )
        if written + removed > 0:
            version = await connection.fetchval(
                STATEMENTS["record_publication"], handle.q_table_id, json.dumps(rebuild.source), conflicts
            )
            await self._announce(connection, handle.q_table_id, version)
        return PublishResult(version, written, removed, conflicts + 1)

    def _counted(self, result: PublishResult) -> PublishResult:
        self._database.counter.add(**({"publishes": 1} if result.is_changed else {"unchanged_publishes": 1}))
        return result

    async def list_tables(self) -> list[TableSummary]:
        """Return one line for each current table: individual, then category, then fleet, each by name."""
        return [TableSummary(**dict(row)) for row in await self._database.fetch("list_tables")]

    async def raise_epoch(self, handle: TableHandle) -> TableHandle:
        """Return a handle under a new fencing epoch; holders of older ones are refused from now on.

        Raises:
            StaleEpochError: the table was replaced by one under another contract.
        """
        async with self._database.transaction() as connection:
            found = await connection.fetch(STATEMENTS["raise_table_epoch"], handle.q_table_id)
            if not found:
                raise stale(handle)
            await self._announce(connection, handle.q_table_id, found[0]["version"])
        return TableHandle(
            *(handle.q_table_id, handle.level, handle.name, handle.fingerprint),
            *(handle.state_count, handle.action_names, found[0]["epoch"], handle.version),
        )

    async def _announce(self, connection: Connection, q_table_id: int, version: int) -> None:
        """Tell every process at the commit that a table is no longer what it was."""
        await connection.execute(STATEMENTS["announce_table"], q_table_id, version)

    async def _locked_version(self, connection: Connection, handle: TableHandle) -> int:
        """Lock the table against other writers and return its version, or refuse a stale handle."""
        found = await connection.fetchrow(STATEMENTS["lock_table"], handle.q_table_id)
        if found is None or not found["is_current"] or found["epoch"] != handle.epoch:
            self._database.counter.add(refused_epochs=1)
            raise stale(handle)
        return int(found["version"])
