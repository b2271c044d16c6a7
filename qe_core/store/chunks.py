"""Chunks of experiences on their way into the log, and whole columns on their way out.

What belongs here: between Arrow tables and rows of ``experience_chunks``, both ways. What does not: which
experiences are new (`experiences`), the order in which agents learn (`chunk_order`), and SQL.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from qe_core.store.array_stream import ArrayDecoder
from qe_core.store.array_wire import (
    array_field,
    bool_field,
    copy_stream,
    int_field,
    text_array_field,
    text_field,
    time_field,
)
from qe_core.store.experience_rows import SCHEMA
from qe_core.store.identity import NOBODY, Identity

CHUNK_ROWS = 65_536
"""The most experiences of a chunk; an experience's number is its chunk's times this plus its position."""

_SHARED = ("agent", "fingerprint", "source")
_IDENTITY = ("developer", "project")
_ARRAYS = {
    "occurred_at": "timestamptz",
    "episode": "text",
    "step": "int4",
    "state": "int8",
    "action": "int2",
    "reward": "float8",
    "next_state": "int8",
    "terminated": "bool",
    "truncated": "bool",
    "propensity": "float8",
    "exploration_rate": "float8",
    "success": "int2",
    "policy_version": "int8",
}
_UNKNOWN = {"exploration_rate": float("nan"), "success": -1, "policy_version": -1}

CHUNK_COLUMNS = (*_SHARED, "experiences", "first_at", "last_at", "is_in_order", *_ARRAYS, *_IDENTITY)
"""The columns of a chunk, in the order in which they are sent."""

NUMBERED_SCHEMA = pa.schema([pa.field("experience_id", pa.int64(), nullable=False), *SCHEMA])
"""The columns of the log with each experience's number."""


def chunk_streams(rows: pa.Table, identity: Identity = NOBODY) -> Iterator[bytes]:
    """Yield one COPY stream for each chunk of these rows.

    Args:
        rows: columns of `experience_rows.SCHEMA` of one agent, fingerprint and source, in the order to store.
        identity: whose they are.
    """
    for start in range(0, rows.num_rows, CHUNK_ROWS):
        yield copy_stream([_chunk_fields(rows.slice(start, CHUNK_ROWS).combine_chunks(), identity)])


def _chunk_fields(rows: pa.Table, identity: Identity) -> list[bytes]:
    times = _stored("occurred_at", rows["occurred_at"])
    fields = [text_field(rows[name][0].as_py()) for name in _SHARED]
    fields.append(int_field("int4", rows.num_rows))
    fields += [time_field(int(times.min())), time_field(int(times.max()))]
    fields.append(bool_field(bool((np.diff(times) > 0).all())))
    for name, kind in _ARRAYS.items():
        if kind == "text":
            fields.append(text_array_field(rows[name].chunk(0)))
        else:
            fields.append(array_field(kind, _stored(name, rows[name])))
    fields += [text_field(getattr(identity, name)) for name in _IDENTITY]
    return fields


def _stored(name: str, column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """Return a column as it is stored: numbers alone, unknown values as numbers of their own."""
    if name == "occurred_at":
        column = column.cast(pa.int64())
    if name == "success":
        column = column.cast(pa.int16())
    if name in _UNKNOWN:
        column = pc.fill_null(column, pa.scalar(_UNKNOWN[name], column.type))
    return np.asarray(column.chunk(0).to_numpy(zero_copy_only=False))


def columns_decoder() -> ArrayDecoder:
    """Return a decoder of statement ``read_columns``."""
    shared = dict.fromkeys(_SHARED, "text")
    arrays = {name: f"{kind}[]" for name, kind in _ARRAYS.items()}
    return ArrayDecoder({"chunk_id": "int8", "experiences": "int4", **shared, **arrays})


def numbered_table(found: dict[str, Any]) -> pa.Table:
    """Return the rows of some chunks, one after the other, with their numbers.

    Args:
        found: what a `columns_decoder` decoded.
    """
    chunk = np.repeat(np.arange(len(found["experiences"])), found["experiences"])
    columns = {"experience_id": experience_ids(found["chunk_id"], found["experiences"])}
    for field in SCHEMA:
        values = found[field.name]
        if field.name in _SHARED:
            columns[field.name] = pa.array(values, pa.string()).take(pa.array(chunk))
        elif field.name == "exploration_rate":
            columns[field.name] = pa.array(values, field.type, from_pandas=True)
        elif field.name in _UNKNOWN:
            columns[field.name] = pa.array(values, mask=values == _UNKNOWN[field.name]).cast(field.type)
        else:
            columns[field.name] = pa.array(values).cast(field.type)
    return pa.table(columns, schema=NUMBERED_SCHEMA)


def experience_ids(chunk_id: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the number of each experience of some chunks, one chunk after the other."""
    starts = np.cumsum(lengths) - lengths
    numbers: npt.NDArray[np.int64] = np.repeat(chunk_id * CHUNK_ROWS - starts, lengths)
    return numbers + np.arange(len(numbers))
