"""The ledger of imports."""

from qe_core.store.records import ImportRecord


class ImportLedger:
    """How far the import of each file has come."""

    async def begin(self, source: str, file_digest: str, file_name: str) -> ImportRecord:
        """Return the file's record, new or as far as an earlier attempt came (resume at rows_read)."""
        raise ConnectionError

    async def advance(self, import_id: int, rows_read: int, rows_new: int, rows_bad: int) -> ImportRecord:
        """Set rows_read and add rows_new and rows_bad to the record."""
        raise ConnectionError

    async def finish(self, import_id: int, is_successful: bool) -> ImportRecord:
        """Close the record."""
        raise ConnectionError

    async def history(self) -> list[ImportRecord]:
        """Return all records, newest first."""
        raise ConnectionError
