"""Single rows of PostgreSQL's binary COPY whose fields are arrays of any length, from numpy's memory.

What belongs here: encoding one field, one row, one stream. What does not: rows of fixed width
(`binary_copy`), decoding, and SQL. The driver's own encoder spends a quarter of a microsecond on every number
of an array; this spends it once per array.

Source of the format: PostgreSQL documentation, COPY, "Binary Format"; arrays as `array_send` writes them.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt
import pyarrow as pa

NULL = struct.pack(">i", -1)
"""A field without a value."""

EPOCH_MICROSECONDS = 946_684_800_000_000
"""PostgreSQL counts time from 2000-01-01 UTC; this is that moment in microseconds of the Unix epoch."""

_STREAM_START = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_STREAM_END = b"\xff\xff"
_HEADER = struct.Struct(">iiiiii")
_BOOL = struct.Struct(">i?")
_SCALARS = {"int4": struct.Struct(">ii"), "int8": struct.Struct(">iq")}
_ELEMENTS = {
    "bool": (16, np.dtype("?")),
    "int2": (21, np.dtype(">i2")),
    "int4": (23, np.dtype(">i4")),
    "int8": (20, np.dtype(">i8")),
    "float8": (701, np.dtype(">f8")),
    "timestamptz": (1184, np.dtype(">i8")),
}
_WIRE_ELEMENTS = {
    kind: np.dtype([("bytes", ">i4"), ("value", item)]) for kind, (_, item) in _ELEMENTS.items()
}
_TEXT_OID = 25


def copy_stream(rows: Iterable[Sequence[bytes]]) -> bytes:
    """Return a whole COPY stream.

    Args:
        rows: each the fields of one row, in the order of the columns.
    """
    parts = [_STREAM_START]
    for fields in rows:
        parts.append(struct.pack(">h", len(fields)))
        parts.extend(fields)
    parts.append(_STREAM_END)
    return b"".join(parts)


def int_field(kind: str, value: int) -> bytes:
    """Return one whole number as ``int4`` or ``int8``."""
    form = _SCALARS[kind]
    return form.pack(form.size - 4, value)


def bool_field(value: bool) -> bytes:
    """Return one ``bool``."""
    return _BOOL.pack(1, value)


def time_field(unix_microseconds: int) -> bytes:
    """Return one ``timestamptz``."""
    return int_field("int8", unix_microseconds - EPOCH_MICROSECONDS)


def text_field(value: str | None) -> bytes:
    """Return one ``text``, or none."""
    if value is None:
        return NULL
    encoded = value.encode()
    return struct.pack(">i", len(encoded)) + encoded


def uuid_field(value: UUID) -> bytes:
    """Return one ``uuid``."""
    return struct.pack(">i", 16) + value.bytes


def array_field(kind: str, values: npt.NDArray[Any]) -> bytes:
    """Return a one-dimensional array without nulls.

    Args:
        kind: bool, int2, int4, int8, float8 or timestamptz.
        values: any shape, read row by row; ``timestamptz`` as microseconds of the Unix epoch.
    """
    oid, item = _ELEMENTS[kind]
    if kind == "timestamptz":
        values = values - EPOCH_MICROSECONDS
    elements = np.empty(values.size, dtype=_WIRE_ELEMENTS[kind])
    elements["bytes"] = item.itemsize
    elements["value"] = values.reshape(-1)
    return _array(oid, values.size, elements.tobytes())


def text_array_field(values: pa.StringArray) -> bytes:
    """Return an array of ``text`` without nulls."""
    count = len(values)
    offsets = np.frombuffer(values.buffers()[1], dtype=np.int32)[values.offset : values.offset + count + 1]
    lengths = np.diff(offsets)
    body = np.empty(4 * count + int(offsets[-1] - offsets[0]), dtype=np.uint8)
    starts = 4 * np.arange(count) + (offsets[:-1] - offsets[0])
    is_text = np.ones(len(body), dtype=np.bool_)
    for byte in range(4):
        body[starts + byte] = (lengths >> (24 - 8 * byte)) & 0xFF
        is_text[starts + byte] = False
    data = values.buffers()[2]
    if data is not None:
        body[is_text] = np.frombuffer(data, dtype=np.uint8)[offsets[0] : offsets[-1]]
    return _array(_TEXT_OID, count, body.tobytes())


def _array(oid: int, count: int, elements: bytes) -> bytes:
    """Return an array's header and elements; PostgreSQL writes an empty array without dimensions."""
    if count == 0:
        return struct.pack(">iiii", 12, 0, 0, oid)
    return _HEADER.pack(20 + len(elements), 1, 0, oid, count, 1) + elements
