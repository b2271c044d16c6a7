"""Experiences on their way into the log: one Arrow table with exactly its columns.

What belongs here: the columns, turning what callers have into them, refusing what the log cannot hold, the
bytes that are sent. What does not: whether states and actions fit a contract (the caller knows it) and SQL.
"""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

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

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
"""Nothing was learned before; an older time is a wrong unit or a zero."""

FUTURE_TOLERANCE = timedelta(days=1)
"""How far ahead of the server's clock a time may be: a day covers every wrong zone."""

_ROWS_PER_PIECE = 65_536

RULES = {
    "experience_names_are_given": "agent, episode, fingerprint and source must not be empty",
    "experience_step_is_positive": "step counts from 0",
    "experience_state_is_positive": "state and next_state are encoded states, at least 0",
    "experience_action_is_positive": "action is an action's index, at least 0",
    "experience_reward_is_in_points": "reward is in points, a number from -100 to 100",
    "experience_end_is_unambiguous": "terminated and truncated must not both be true",
    "experience_propensity_is_a_probability": "propensity is a probability above 0, at most 1",
    "experience_exploration_rate_is_a_probability": "exploration_rate is a probability from 0 to 1",
    "experience_success_is_at_the_end": "success belongs to an episode's last step, terminated or "
    "truncated, only",
}
"""What each of the log's constraints demands, by its name."""


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


def check_times(table: pa.Table, now: datetime) -> list[date]:
    """Return the first days of the months that occur.

    Args:
        table: at least one row.
        now: the present, aware.

    Raises:
        ExperienceRejectedError: a time lies before 2000 or more than a day in the future.
    """
    bounds = pc.min_max(table["occurred_at"]).as_py()
    if bounds["min"] < EARLIEST:
        raise ExperienceRejectedError(
            f"occurred_at {bounds['min'].isoformat()} lies before {EARLIEST.date()}; "
            "check its unit (microseconds of the Unix epoch, or a timestamp) and that it is not zero"
        )
    if bounds["max"] > now + FUTURE_TOLERANCE:
        raise ExperienceRejectedError(
            f"occurred_at {bounds['max'].isoformat()} lies in the future; check its unit and the clock that "
            "wrote it"
        )
    months = pc.unique(pc.floor_temporal(table["occurred_at"], unit="month"))
    return sorted(month.date() for month in months.to_pylist())


async def as_csv(table: pa.Table) -> AsyncIterator[bytes]:
    """Yield the table as CSV in pieces; text is quoted and null is empty, so they stay apart."""
    options = csv.WriteOptions(include_header=False)
    for batch in table.to_batches(max_chunksize=_ROWS_PER_PIECE):
        buffer = BytesIO()
        csv.write_csv(batch, buffer, options)
        yield buffer.getvalue()


def from_csv(received: BytesIO) -> pa.Table:
    """Return rows of the log, numbered, from the CSV of statement ``read_columns``.

    Args:
        received: the whole answer, positioned anywhere; times are microseconds of the Unix epoch.
    """
    fields = [pa.field("experience_id", pa.int64(), nullable=False), *SCHEMA]
    if received.tell() == 0:
        return pa.schema(fields).empty_table()
    received.seek(0)
    found = csv.read_csv(
        received,
        read_options=csv.ReadOptions(column_names=[field.name for field in fields]),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types={field.name: field.type for field in fields} | {"occurred_at": pa.int64()},
            true_values=["t"],
            false_values=["f"],
            quoted_strings_can_be_null=False,
        ),
    )
    return found.cast(pa.schema(fields))


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
