"""The file beside the input that takes the rows which could not be imported.

What belongs here: its name, its columns (line, reason, row) and writing it whole or not at all. What does
not: deciding which rows are bad (`checking`, `repeats`).
"""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import assert_never

import pyarrow as pa
import pyarrow.parquet as pq

from qe_core.runtime.files import replaced_file
from qe_core.runtime.formats import FileFormat
from qe_core.runtime.importing.faults import Fault
from qe_core.runtime.importing.sources import RowSource

Write = Callable[[Sequence[Fault]], None]

_SCHEMA = pa.schema([("line", pa.int64()), ("reason", pa.string()), ("row", pa.string())])


def set_aside_path(path: Path) -> Path:
    """Return where bad rows of ``path`` go: ``runs.csv`` has ``runs.bad.csv``."""
    return path.with_name(f"{path.stem}.bad{path.suffix}")


@contextmanager
def setting_aside(source: RowSource) -> Iterator[Write]:
    """Yield what writes faults to the file beside the input; the file appears when the block ends well.

    Raises:
        OutputError: the directory of the input cannot be written to.
    """
    with replaced_file(set_aside_path(source.path)) as temporary:
        match source.file_format:
            case FileFormat.JSONL:
                with temporary.open("w", encoding="utf-8") as file:
                    yield lambda faults: file.writelines(_json_line(fault) for fault in faults)
            case FileFormat.CSV:
                with temporary.open("w", encoding="utf-8", newline="") as file:
                    writer = csv.writer(file)
                    writer.writerow(_SCHEMA.names)
                    yield lambda faults: writer.writerows(
                        (each.line, each.reason, each.text) for each in faults
                    )
            case FileFormat.PARQUET:
                with pq.ParquetWriter(temporary, _SCHEMA) as writer:
                    yield lambda faults: writer.write_table(_table(faults))
            case _:
                assert_never(source.file_format)


def _json_line(fault: Fault) -> str:
    return (
        json.dumps({"line": fault.line, "reason": fault.reason, "row": fault.text}, ensure_ascii=False) + "\n"
    )


def _table(faults: Sequence[Fault]) -> pa.Table:
    columns = [
        [fault.line for fault in faults],
        [fault.reason for fault in faults],
        [fault.text for fault in faults],
    ]
    return pa.Table.from_arrays([pa.array(column) for column in columns], schema=_SCHEMA)
