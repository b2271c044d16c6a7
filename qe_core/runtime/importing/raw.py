"""A batch of raw columns with the number each row has in its file.

What belongs here: the container the readers hand to the checks. What does not: reading and checking.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from qe_core.runtime.importing.faults import BoolArray, Fault, IntArray
from qe_core.runtime.importing.values import flat


@dataclass(frozen=True, slots=True)
class RawBatch:
    """Consecutive rows of a file.

    Attributes:
        columns: by name, each of N values.
        lines: the number of each row in the file, from 1, int64[N].
        faults: rows that could not even be taken apart; they are not among the N.
        last_line: the number of the last row of the file this batch covers.
        texts: each row as the file has it, or None where the file has no text.
    """

    columns: Mapping[str, pa.Array]
    lines: IntArray
    faults: tuple[Fault, ...]
    last_line: int
    texts: pa.Array | None = None

    def __len__(self) -> int:
        return len(self.lines)

    def after(self, line: int) -> "RawBatch":
        """Return the part of the batch whose rows come after number ``line``."""
        return self if len(self) == 0 or self.lines[0] > line else self.only(self.lines > line)

    def only(self, is_kept: BoolArray) -> "RawBatch":
        """Return the batch with only the rows marked, bool[N], and the faults beyond its first row."""
        keep = pa.array(is_kept)
        lines = self.lines[is_kept]
        first = int(lines[0]) if len(lines) else self.last_line + 1
        return RawBatch(
            {name: column.filter(keep) for name, column in self.columns.items()},
            lines,
            tuple(fault for fault in self.faults if fault.line >= first),
            self.last_line,
            None if self.texts is None else self.texts.filter(keep),
        )

    def text(self, row: int) -> str:
        """Return the row as the file has it, or as JSON where the file has no text."""
        if self.texts is not None:
            return str(self.texts[row].as_py()).strip()
        values = {name: column[row].as_py() for name, column in self.columns.items()}
        return json.dumps({name: value for name, value in values.items() if value is not None}, default=str)


def flattened(table: pa.Table) -> dict[str, pa.Array]:
    """Return the table's columns as plain arrays; ``{"state": {"size": 1}}`` becomes ``state.size``."""
    while any(pa.types.is_struct(field.type) for field in table.schema):
        table = table.flatten()
    return {name: flat(table.column(index)) for index, name in enumerate(table.column_names)}


def columns_of_rows(rows: list[dict[str, Any]]) -> dict[str, pa.Array]:
    """Return rows whose values have mixed types as columns: plain where the types agree, texts otherwise."""
    names = dict.fromkeys(name for row in rows for name in row)
    columns = {}
    for name in names:
        values = [row.get(name) for row in rows]
        columns[name] = _typed(values)
    return columns


def flattened_row(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a row with nested objects spelled as ``outer.inner``."""
    result: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, dict):
            result.update(flattened_row(value, f"{prefix}{name}."))
        else:
            result[f"{prefix}{name}"] = value
    return result


def row_numbers(first: int, count: int) -> IntArray:
    """Return ``count`` consecutive row numbers from ``first`` on, int64[count]."""
    return np.arange(first, first + count, dtype=np.int64)


def _typed(values: list[Any]) -> pa.Array:
    kinds = {type(value) for value in values if value is not None}
    is_mixed = bool in kinds and len(kinds) > 1  # Arrow would take true for 1.0
    try:
        return flat(pa.array([_text(value) for value in values] if is_mixed else values))
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return pa.array([_text(value) for value in values], pa.string())


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)
