"""Reading experience files as batches of raw columns, in bounded memory, from any row on.

What belongs here: Parquet, and the choice of reader. What does not: cutting text
files into lines (`lines`), what the values mean (`checking`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from qe_core.errors import ImportFileError
from qe_core.runtime.formats import FileFormat, format_of
from qe_core.runtime.importing.lines import csv_batches, json_batches
from qe_core.runtime.importing.raw import RawBatch, flattened, row_numbers

PARQUET_BATCH_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class RowSource:
    """A file of experiences that can be read several times.

    Attributes:
        path: the file.
        file_format: how to read it.
    """

    path: Path
    file_format: FileFormat

    def batches(self, after_row: int = 0) -> Iterator[RawBatch]:
        """Yield the rows after number ``after_row`` (the first row is number 1) in order, a batch at a time.

        Raises:
            ImportFileError: the file cannot be read in this format at all.
        """
        match self.file_format:
            case FileFormat.JSONL:
                return json_batches(self.path, after_row)
            case FileFormat.CSV:
                return csv_batches(self.path, after_row)
            case FileFormat.PARQUET:
                return _parquet_batches(self.path, after_row)


def open_source(path: Path, named_format: str | None = None) -> RowSource:
    """Return the file ready to be read.

    Raises:
        ImportFileError: it does not exist, is not a file, is empty, unreadable or of no known format.
    """
    if path.is_dir():
        raise ImportFileError(f"{path} is a directory; name the files in it, for example {path}/*.jsonl")
    if not path.exists():
        raise ImportFileError(f"{path} does not exist; check the name and the working directory")
    file_format = format_of(path, named_format)
    try:
        with path.open("rb") as file:
            is_empty = not file.read(1)
    except OSError as error:
        raise ImportFileError(f"{path} cannot be read: {error.strerror}; check its permissions") from error
    if is_empty:
        raise ImportFileError(f"{path.name} is empty; there is nothing to import")
    return RowSource(path, file_format)


def _parquet_batches(path: Path, after_row: int) -> Iterator[RawBatch]:
    try:
        with pq.ParquetFile(path) as file:
            row = 0
            for group in range(file.num_row_groups):
                rows_in_group = file.metadata.row_group(group).num_rows
                if row + rows_in_group <= after_row:
                    row += rows_in_group
                    continue
                for record_batch in file.iter_batches(PARQUET_BATCH_ROWS, row_groups=[group]):
                    batch = _numbered(record_batch, row + 1)
                    row += record_batch.num_rows
                    if row > after_row:
                        yield batch.after(after_row)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise ImportFileError(
            f"{path.name} is not a whole Parquet file ({str(error).splitlines()[0]}); "
            "it may be truncated or of another format: write it again or say --format"
        ) from error


def _numbered(record_batch: pa.RecordBatch, first_row: int) -> RawBatch:
    lines = row_numbers(first_row, record_batch.num_rows)
    columns = flattened(pa.Table.from_batches([record_batch]))
    return RawBatch(columns, lines, (), first_row + record_batch.num_rows - 1)
