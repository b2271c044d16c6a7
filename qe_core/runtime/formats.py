"""The formats experiences come and go in.

What belongs here: their names, and how a file's name says its format. What does not: reading (`importing`)
and writing (`exporting`).
"""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

from qe_core.errors import ImportFileError


class FileFormat(StrEnum):
    """The formats experiences come in."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


FORMATS: Mapping[str, FileFormat] = {
    ".jsonl": FileFormat.JSONL,
    ".ndjson": FileFormat.JSONL,
    ".csv": FileFormat.CSV,
    ".parquet": FileFormat.PARQUET,
    ".pq": FileFormat.PARQUET,
}


def format_of(path: Path, named: str | None = None) -> FileFormat:
    """Return the format of a file: the one named, otherwise by its extension.

    Raises:
        ImportFileError: neither says.
    """
    allowed = ", ".join(FileFormat)
    if named is not None:
        if named not in list(FileFormat):
            raise ImportFileError(f"there is no format {named!r}; choose one of {allowed}")
        return FileFormat(named)
    found = FORMATS.get(path.suffix.lower())
    if found is None:
        is_json = path.suffix.lower() == ".json"
        hint = " (a JSON array must be rewritten with one object on each line)" if is_json else ""
        raise ImportFileError(
            f"{path.name}: the extension {path.suffix or '(none)'} says nothing about the format{hint}; "
            f"rename it or say --format, one of {allowed}"
        )
    return found
