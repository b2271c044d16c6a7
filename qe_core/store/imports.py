"""The ledger of imports in PostgreSQL.

What belongs here: how far each file has come. What does not: reading files.
"""

import asyncpg

from qe_core.errors import StoreError
from qe_core.store.connection import Database
from qe_core.store.records import ImportRecord


class ImportLedger:
    """How far the import of each file has come.

    Append a batch to the log first, then advance the ledger past it: after a crash in between the batch is
    appended again, which changes nothing.

    Args:
        database: where it is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, source: str, file_digest: str, file_name: str) -> ImportRecord:
        """Return a file's record: new, or as far as an earlier attempt came (resume at ``rows_read``).

        Args:
            source: what its experiences carry, ``import:<name>``.
            file_digest: SHA-256 of the file, hex.
            file_name: for people.
        """
        return _record(await self._database.fetch("begin_import", source, file_digest, file_name))

    async def advance(self, import_id: int, rows_read: int, rows_new: int, rows_bad: int) -> ImportRecord:
        """Record that the file has been handled up to a row.

        Args:
            import_id: which import.
            rows_read: rows of the file handled so far; must have grown.
            rows_new: rows of this batch that were not in the log before.
            rows_bad: rows of this batch set aside.

        Raises:
            StoreError: the import is not running or has come this far already.
        """
        found = await self._database.fetch("advance_import", import_id, rows_read, rows_new, rows_bad)
        if not found:
            raise StoreError(
                f"import {import_id} is not running or is past row {rows_read} already: "
                "another process imports the same file. Wait for it, or begin again"
            )
        return _record(found)

    async def finish(self, import_id: int, is_successful: bool) -> ImportRecord:
        """Close an import as done or failed and return its record.

        Raises:
            StoreError: there is no such import.
        """
        found = await self._database.fetch("finish_import", import_id, "done" if is_successful else "failed")
        if not found:
            raise StoreError(f"there is no import {import_id}; begin one first")
        return _record(found)

    async def history(self) -> list[ImportRecord]:
        """Return all imports, newest first."""
        return [ImportRecord(**dict(row)) for row in await self._database.fetch("list_imports")]


def _record(found: list[asyncpg.Record]) -> ImportRecord:
    return ImportRecord(**dict(found[0]))
