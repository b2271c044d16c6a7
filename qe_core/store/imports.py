"""The ledger of imports in PostgreSQL.

What belongs here: how far each file has come. What does not: reading files.
"""

import asyncpg

from qe_core.errors import StoreError
from qe_core.store.connection import Database
from qe_core.store.experience_rows import ExperienceColumns
from qe_core.store.experiences import ExperienceLog
from qe_core.store.records import ImportRecord
from qe_core.store.statements import STATEMENTS


class ImportLedger:
    """How far the import of each file has come.

    Args:
        database: where it is.
        experiences: the log that chunks are appended to.
    """

    def __init__(self, database: Database, experiences: ExperienceLog) -> None:
        self._database = database
        self._experiences = experiences

    async def begin(self, source: str, file_digest: str, file_name: str) -> ImportRecord:
        """Return a file's record: new, or as far as an earlier attempt came (resume at ``rows_read``).

        Args:
            source: what its experiences carry, ``import:<name>``.
            file_digest: SHA-256 of the file, hex.
            file_name: for people.
        """
        return _record(await self._database.fetch("begin_import", source, file_digest, file_name))

    async def append_chunk(
        self, import_id: int, rows: ExperienceColumns, rows_read: int, rows_bad: int
    ) -> int:
        """Append the next rows of a file and move its record past them, in one transaction.

        Args:
            import_id: which import.
            rows: the good rows of this chunk; may be none.
            rows_read: rows of the file handled including this chunk; must have grown.
            rows_bad: rows of this chunk set aside.

        Returns:
            How many rows the log did not have yet.

        Raises:
            ExperienceRejectedError: a row breaks a rule of the log; nothing of the chunk was stored.
            StoreError: the import is not running or has come this far already; nothing was stored.
        """
        table = self._experiences.prepare(rows)

        async def append() -> int:
            """Append and move the record in one transaction."""
            async with self._database.transaction() as connection:
                rows_new = await self._experiences.insert(connection, table)
                moved = await connection.fetchval(
                    STATEMENTS["advance_import"], import_id, rows_read, rows_new, rows_bad
                )
                if moved is None:
                    raise StoreError(
                        f"import {import_id} is not running or is past row {rows_read} already: "
                        "another process imports the same file. Wait for it, or begin again"
                    )
                return rows_new

        return await self._experiences.stored(append)

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
