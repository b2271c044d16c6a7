"""Experiences on their way into the log: one Arrow table with exactly its columns.

What belongs here: the columns, and turning what callers have into them. What does not: the rules rows must
satisfy (`experience_rules`) and how they are stored (`chunks`).
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from qe_core.errors import nearest
from qe_core.store.errors import ExperienceRejectedError

ExperienceColumns: TypeAlias = pa.Table | pa.RecordBatch | Mapping[str, Any]
"""Experiences as callers have them: an Arrow table or batch, or columns by name.

A mapping's values are arrays of one length (numpy, Arrow or lists), or single values that hold for every row.
Times without zone are UTC. Columns: those of `SCHEMA`; the nullable ones may be left out.
"""

SCHEMA = pa.schema(
    [
        pa.field("occurred_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("agent", pa.string(), nullable=False),
        pa.field("episode", pa.string(), nullable=False),
        pa.field("step", pa.int32(), nullable=False),
        pa.field("state", pa.int64(), nullable=False),
        pa.field("action", pa.int16(), nullable=False),
        pa.field("reward", pa.float64(), nullable=False),
        pa.field("next_state", pa.int64(), nullable=False),
        pa.field("terminated", pa.bool_(), nullable=False),
        pa.field("truncated", pa.bool_(), nullable=False),
        pa.field("propensity", pa.float64(), nullable=False),
        pa.field("exploration_rate", pa.float64()),
        pa.field("success", pa.bool_()),
        pa.field("policy_version", pa.int64()),
        pa.field("fingerprint", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
    ]
)
"""The columns of the log that callers give, in the order in which they are sent."""


def as_experience_table(rows: ExperienceColumns) -> pa.Table:
    """Return experiences with exactly the columns of `SCHEMA`, converted only where that loses nothing.

    Raises:
        ExperienceRejectedError: a column is unknown, missing, incomplete, of another length or type.
    """
    match rows:
        case pa.RecordBatch():
            given = {name: rows.column(name) for name in rows.schema.names}
            count = rows.num_rows
        case pa.Table():
            given = {name: rows.column(name) for name in rows.schema.names}
            count = rows.num_rows
        case _:
            given = dict(rows)
            count = _row_count(given)
    unknown = [name for name in given if name not in SCHEMA.names]
    if unknown:
        raise ExperienceRejectedError(
            f"experiences have no column {unknown[0]!r}; {nearest(unknown[0], SCHEMA.names)}"
        )
    return pa.table([_column(field, given.get(field.name), count) for field in SCHEMA], schema=SCHEMA)


def _row_count(given: Mapping[str, Any]) -> int:
    lengths = {name: len(values) for name, values in given.items() if _is_column(values)}
    if not lengths or len(set(lengths.values())) > 1:
        raise ExperienceRejectedError(
            f"experience columns must be arrays of one length, got {lengths}; align them by row"
        )
    return next(iter(lengths.values()))


def _is_column(values: object) -> bool:
    return isinstance(values, (list, tuple, np.ndarray, pa.Array, pa.ChunkedArray))


def _column(field: pa.Field, values: Any, count: int) -> pa.Array | pa.ChunkedArray:
    if values is None:
        if not field.nullable:
            raise ExperienceRejectedError(f"experiences need the column {field.name}; add it ({field.type})")
        return pa.nulls(count, field.type)
    try:
        is_arrow = isinstance(values, (pa.Array, pa.ChunkedArray))
        is_constant = not _is_column(values)
        given = values if is_arrow else pa.array([values] if is_constant else values)
        column = _with_zone(given).cast(field.type)
        if is_constant:
            column = pa.repeat(column[0], count)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise ExperienceRejectedError(
            f"experience column {field.name} must be {field.type}: {error}"
        ) from None
    if not field.nullable and column.null_count:
        row = pc.index(pc.is_null(column), True).as_py()
        raise ExperienceRejectedError(f"experience column {field.name} has no value in row {row}; fill it in")
    return column


def _with_zone(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    if pa.types.is_timestamp(column.type) and column.type.tz is None:
        return column.cast(pa.timestamp(column.type.unit, tz="UTC"))
    return column
