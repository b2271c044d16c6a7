"""Importing experiences from any system: JSON Lines, CSV or Parquet, checked whole before a write.

What belongs here: the documented columns, reading, checking and the two passes over a file.
What does not: what happens to experiences afterwards (`qe_pipelines`).
"""

from qe_core.runtime.importing.columns import COLUMNS, Column, example_rows, json_schema
from qe_core.runtime.importing.importer import ImportOptions, ImportReport, import_file

__all__ = [
    "COLUMNS",
    "Column",
    "ImportOptions",
    "ImportReport",
    "example_rows",
    "import_file",
    "json_schema",
]
