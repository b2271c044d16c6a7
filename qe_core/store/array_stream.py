"""Rows of PostgreSQL's binary COPY whose fields are arrays of any length, into numpy and Arrow.

What belongs here: decoding, without an object per number. What does not: encoding (`array_wire`), rows of
fixed width (`binary_copy`) and SQL.

Source of the format: PostgreSQL documentation, COPY, "Binary Format"; arrays as `array_send` writes them.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from qe_core.errors import StoreError
from qe_core.store.array_wire import EPOCH_MICROSECONDS

_HEADER_BYTES = 19
_FIELD_COUNT = struct.Struct(">h")
_LENGTH = struct.Struct(">i")
_ARRAY = struct.Struct(">iiiii")
_SCALARS = {"bool": struct.Struct(">?"), "int4": struct.Struct(">i"), "int8": struct.Struct(">q")}
_ITEMS = {
    "bool[]": np.dtype("?"),
    "int2[]": np.dtype(">i2"),
    "int4[]": np.dtype(">i4"),
    "int8[]": np.dtype(">i8"),
    "float8[]": np.dtype(">f8"),
    "timestamptz[]": np.dtype(">i8"),
}
_FEW_TEXTS = 64
_UNEXPECTED = "stored rows do not have the expected layout"


class ArrayDecoder:
    """Collects a COPY stream that arrives in pieces of any size.

    Args:
        columns: kind by name, in the order in which SQL lists them: bool, int4, int8, text, or an array of
            bool, int2, int4, int8, float8, timestamptz or text, written ``int8[]``.
    """

    def __init__(self, columns: Mapping[str, str]) -> None:
        self._kinds = dict(columns)
        self._fields: dict[str, list[Any]] = {name: [] for name in columns}
        self._pending = b""
        self._has_header = False
        self._has_ended = False

    async def feed(self, data: bytes) -> None:
        """Take the next piece; awaitable because the driver wants it so."""
        data = self._pending + data if self._pending else data
        position = 0
        if not self._has_header:
            if len(data) < _HEADER_BYTES:
                self._pending = data
                return
            self._has_header, position = True, _HEADER_BYTES
        view = memoryview(data)
        while (end := self._take_row(view, position)) is not None:
            position = end
        self._pending = b"" if position == len(data) else data[position:]

    def columns(self) -> dict[str, Any]:
        """Return the columns: numbers and flags as int64[rows], text as lists, arrays joined in order.

        Times are microseconds of the Unix epoch; arrays of text become an Arrow array.

        Raises:
            StoreError: the stream is not whole.
        """
        if self._pending or not self._has_ended:
            raise StoreError(f"{_UNEXPECTED}: the answer broke off; read again")
        return {name: self._joined(kind, self._fields[name]) for name, kind in self._kinds.items()}

    def _take_row(self, view: memoryview, position: int) -> int | None:
        """Note the fields of one row and return where it ends; None where it is not all there."""
        if position + 2 > len(view):
            return None
        (count,) = _FIELD_COUNT.unpack_from(view, position)
        position += 2
        if count == -1:
            self._has_ended = True
            return position
        if count != len(self._kinds):
            raise StoreError(f"{_UNEXPECTED}: {count} columns instead of {len(self._kinds)}")
        row, length_at = [], _LENGTH.unpack_from
        try:
            for _ in range(count):
                (length,) = length_at(view, position)
                if length < 0:
                    raise StoreError(f"{_UNEXPECTED}: a field has no value")
                position += 4 + length
                row.append(view[position - length : position])
        except struct.error:
            return None
        if position > len(view):
            return None
        for fields, value in zip(self._fields.values(), row, strict=True):
            fields.append(value)
        return position

    @staticmethod
    def _joined(kind: str, fields: list[memoryview]) -> Any:
        if kind == "text":
            return [str(field, "utf-8") for field in fields]
        if kind == "text[]":
            return _joined_texts(fields)
        if kind in _ITEMS:
            return _joined_numbers(kind, fields)
        unpack = _SCALARS[kind].unpack
        return np.array([unpack(field)[0] for field in fields], dtype=np.int64)


def _joined_numbers(kind: str, fields: Sequence[memoryview]) -> npt.NDArray[Any]:
    """Return the elements of all arrays, one array after the other, in native byte order."""
    item = _ITEMS[kind]
    element = np.dtype([("bytes", ">i4"), ("value", item)])
    bodies = []
    for field in fields:
        if _element_count(field) * element.itemsize != len(field) - _ARRAY.size:
            raise StoreError(f"{_UNEXPECTED}: an array does not hold {kind} of {item.itemsize} bytes each")
        bodies.append(field[_ARRAY.size :])
    body = bodies[0] if len(bodies) == 1 else b"".join(bodies)
    values = np.frombuffer(body, dtype=element)["value"].astype(item.newbyteorder("="))
    return values + EPOCH_MICROSECONDS if kind == "timestamptz[]" else values


def _joined_texts(fields: Sequence[memoryview]) -> pa.Array:
    """Return the elements of all arrays, one array after the other."""
    lengths = [_text_lengths(field[_ARRAY.size :], _element_count(field)) for field in fields]
    length = np.concatenate([np.empty(0, dtype=np.int64), *lengths])
    body = np.frombuffer(b"".join(field[_ARRAY.size :] for field in fields), dtype=np.uint8)
    starts = np.cumsum(length + 4) - (length + 4)
    is_text = np.ones(len(body), dtype=np.bool_)
    for byte in range(4):
        is_text[starts + byte] = False
    offsets = np.concatenate([[0], np.cumsum(length)])
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(body[is_text])]
    return pa.Array.from_buffers(pa.large_string(), len(length), buffers).cast(pa.string())


def _text_lengths(body: memoryview, count: int) -> npt.NDArray[np.int64]:
    """Return the length of each text; at once where all are alike, as names often are."""
    size, rest = divmod(len(body), count)
    if rest == 0 and count >= _FEW_TEXTS:
        heads = np.ndarray(count, dtype=">i4", buffer=body, strides=(size,))
        if (heads == size - 4).all():
            return np.full(count, size - 4, dtype=np.int64)
    lengths, position = np.empty(count, dtype=np.int64), 0
    for index in range(count):
        (length,) = _LENGTH.unpack_from(body, position)
        lengths[index] = length
        position += 4 + length
    return lengths


def _element_count(field: memoryview) -> int:
    """Return how many elements a one-dimensional array without nulls has."""
    if len(field) < _ARRAY.size:
        raise StoreError(f"{_UNEXPECTED}: an array is empty")
    dimensions, has_nulls, _, count, _ = _ARRAY.unpack_from(field)
    if dimensions != 1 or has_nulls:
        raise StoreError(f"{_UNEXPECTED}: an array has {dimensions} dimensions or holds nulls")
    return int(count)
