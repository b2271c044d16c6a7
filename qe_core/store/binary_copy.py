"""PostgreSQL's binary COPY format to and from numpy, without an object per row.

What belongs here: rows whose columns all have a fixed width: numbers, booleans and arrays of one length
without nulls. What does not: text and nulls (those travel as CSV), and SQL.

Source of the format: PostgreSQL documentation, COPY, "Binary Format"; arrays as `array_send` writes them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from qe_core.errors import StoreError

Columns: TypeAlias = dict[str, npt.NDArray[Any]]

_SIGNATURE = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_END = b"\xff\xff"
_WIRE_TYPES = {"int2": ">i2", "int4": ">i4", "int8": ">i8", "float8": ">f8", "bool": "?"}
_ELEMENT_OIDS = {"int8": 20, "float8": 701}
_FIRST_CAPACITY = 4_096
_UNEXPECTED = (
    "stored rows do not have the expected layout: an array has another length than the table has actions, "
    "holds "
    "nulls, or the answer broke off"
)


@dataclass(frozen=True, slots=True)
class Column:
    """One column of fixed width.

    Attributes:
        name: of the numpy array.
        kind: int2, int4, int8, float8 or bool.
        length: number of elements where the column is an array of int8 or float8; None for a single value.
    """

    name: str
    kind: str
    length: int | None = None


class RowFormat:
    """The bytes of one row, as a numpy structure.

    Args:
        columns: in the order in which SQL lists them.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = tuple(columns)
        fields: list[tuple[str, str] | tuple[str, Any]] = [("field_count", ">i2")]
        constants: dict[str, int] = {"field_count": len(self.columns)}
        for column in self.columns:
            fields.append((f"{column.name} bytes", ">i4"))
            item = np.dtype(_WIRE_TYPES[column.kind])
            if column.length is None:
                constants[f"{column.name} bytes"] = item.itemsize
                fields.append((column.name, item))
                continue
            element = np.dtype([("bytes", ">i4"), ("value", item)])
            header = {
                "dimensions": 1,
                "has_nulls": 0,
                "oid": _ELEMENT_OIDS[column.kind],
                "length": column.length,
                "base": 1,
            }
            constants[f"{column.name} bytes"] = 4 * len(header) + column.length * element.itemsize
            constants |= {f"{column.name} {part}": value for part, value in header.items()}
            fields += [(f"{column.name} {part}", ">i4") for part in header]
            fields.append((column.name, element, (column.length,)))  # type: ignore[arg-type]
        self.dtype = np.dtype(fields)
        self._constants = constants

    def encode(self, columns: Mapping[str, npt.NDArray[Any]]) -> bytes:
        """Return a whole COPY stream.

        Args:
            columns: one array per column, all of one length N; shape (N, length) for arrays.
        """
        count = len(next(iter(columns.values())))
        rows = np.empty(count, dtype=self.dtype)
        for name, value in self._constants.items():
            rows[name] = value
        for column in self.columns:
            if column.length is None:
                rows[column.name] = columns[column.name]
            else:
                rows[column.name]["bytes"] = 8
                rows[column.name]["value"] = columns[column.name]
        return b"".join((_SIGNATURE, rows.tobytes(), _END))

    def decoder(self) -> "Decoder":
        """Return an empty decoder to be fed one COPY stream."""
        return Decoder(self)

    def check(self, rows: npt.NDArray[np.void]) -> None:
        """Raise ``StoreError`` unless every row has exactly this layout."""
        for name, value in self._constants.items():
            if not (rows[name] == value).all():
                raise StoreError(f"{_UNEXPECTED} ({name} is not {value})")


class Decoder:
    """Collects a COPY stream that arrives in pieces of any size into growing arrays.

    Args:
        row_format: the layout of its rows.
    """

    def __init__(self, row_format: RowFormat) -> None:
        self._format = row_format
        self._pending = b""
        self._has_header = False
        self._count = 0
        self._arrays: Columns = {
            column.name: np.empty(
                (0,) if column.length is None else (0, column.length),
                dtype=np.dtype(_WIRE_TYPES[column.kind]).newbyteorder("="),
            )
            for column in row_format.columns
        }

    async def feed(self, data: bytes) -> None:
        """Take the next piece; awaitable because the driver wants it so."""
        self._pending += data
        if not self._has_header:
            if len(self._pending) < len(_SIGNATURE):
                return
            self._pending = self._pending[len(_SIGNATURE) :]
            self._has_header = True
        size = self._format.dtype.itemsize
        whole = len(self._pending) // size
        if whole:
            self._take(np.frombuffer(self._pending, dtype=self._format.dtype, count=whole))
            self._pending = self._pending[whole * size :]

    def columns(self) -> Columns:
        """Return the arrays, one entry per row, in native byte order.

        Raises:
            StoreError: the stream does not end after a whole row.
        """
        if self._pending != _END:
            raise StoreError(f"{_UNEXPECTED} ({len(self._pending)} bytes are left over)")
        return {name: np.ascontiguousarray(array[: self._count]) for name, array in self._arrays.items()}

    def _take(self, rows: npt.NDArray[np.void]) -> None:
        self._format.check(rows)
        self._reserve(self._count + len(rows))
        for column in self._format.columns:
            values = rows[column.name] if column.length is None else rows[column.name]["value"]
            self._arrays[column.name][self._count : self._count + len(rows)] = values
        self._count += len(rows)

    def _reserve(self, count: int) -> None:
        for name, array in self._arrays.items():
            if len(array) < count:
                capacity = max(count, 2 * len(array), _FIRST_CAPACITY)
                grown = np.empty((capacity, *array.shape[1:]), dtype=array.dtype)
                grown[: self._count] = array[: self._count]
                self._arrays[name] = grown
