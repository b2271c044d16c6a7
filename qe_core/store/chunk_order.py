"""An agent's transitions in canonical order, from chunks that may overlap in time, in bounded memory.

What belongs here: reading chunks by their first times, merging them into canonical order, and cutting the
result into batches. What does not: what is done with transitions.

Chunks are read in the order of their first times, some at once. What happened before the first time of the
next chunk is complete and goes out; the rest waits. So memory holds a batch, the chunks read together, and
those that overlap one moment. Chunks of a few experiences, as single flushes leave them, are spelled out by
the server: a row costs it less than a chunk costs here. Episodes and steps, which are text and seldom needed,
are fetched only for rows whose times tie; times are not even read where chunks follow each other anyway.
"""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from qe_core.learning.experience import COLUMN_TYPES, Transitions
from qe_core.store.array_stream import ArrayDecoder
from qe_core.store.array_wire import EPOCH_MICROSECONDS
from qe_core.store.binary_copy import Column, RowFormat
from qe_core.store.chunks import CHUNK_ROWS, experience_ids
from qe_core.store.connection import Connection
from qe_core.store.statements import STATEMENTS

_GROUP_ROWS = 4 * CHUNK_ROWS
_PG_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_SPANS = RowFormat(
    [
        Column("chunk_id", "int8"),
        Column("experiences", "int4"),
        Column("first_at", "int8"),
        Column("last_at", "int8"),
        Column("is_in_order", "bool"),
    ]
)
FEW_ROWS = 64
"""Chunks that hold fewer on average are read row by row."""

_SINGLE_ROWS = RowFormat(
    [
        Column("experience_id", "int8"),
        Column("occurred_at", "int8"),
        Column("state", "int8"),
        Column("action", "int2"),
        Column("reward", "float8"),
        Column("next_state", "int8"),
        Column("terminated", "bool"),
        Column("truncated", "bool"),
    ]
)
_ROWS = {
    "chunk_id": "int8",
    "experiences": "int4",
    "occurred_at": "timestamptz[]",
    "state": "int8[]",
    "action": "int2[]",
    "reward": "float8[]",
    "next_state": "int8[]",
    "terminated": "bool[]",
    "truncated": "bool[]",
}
_ROWS_IN_ORDER = {name: kind for name, kind in _ROWS.items() if name != "occurred_at"}
_KEYS = {
    "chunk_id": "int8",
    "source": "text",
    "experiences": "int4",
    "episode": "text[]",
    "step": "int4[]",
}

Rows = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which experiences to read.

    Attributes:
        agent: whose.
        fingerprint: the contract they were recorded under.
        after_id: only experiences numbered above this.
        up_to_id: only experiences numbered up to this.
    """

    agent: str
    fingerprint: str
    after_id: int
    up_to_id: int

    @property
    def chunk_range(self) -> tuple[int, int]:
        """The lowest and the highest chunk that may hold any."""
        return (self.after_id + 1) // CHUNK_ROWS, self.up_to_id // CHUNK_ROWS

    def trimmed(self, rows: Rows) -> Rows:
        """Return those rows of these chunks whose numbers are wanted."""
        is_in = (rows["experience_id"] > self.after_id) & (rows["experience_id"] <= self.up_to_id)
        return rows if is_in.all() else {name: values[is_in] for name, values in rows.items()}


async def canonical_batches(
    connection: Connection, wanted: Wanted, batch_rows: int | None
) -> AsyncIterator[Transitions]:
    """Yield transitions in canonical order, every batch but the last of exactly ``batch_rows``.

    The size of a batch does not depend on how the log is cut into chunks.

    Args:
        connection: inside a transaction that sees one moment.
        wanted: which.
        batch_rows: at least 1; None for all in one batch.
    """
    spans = await _spans(connection, wanted)
    left = int(spans["experiences"].sum())
    batch = _Batch(left if batch_rows is None else min(batch_rows, left))
    async for rows in _ordered(connection, wanted, spans):
        position, count = 0, len(rows["state"])
        while position < count:
            position += batch.fill(rows, position)
            if batch.is_full:
                yield batch.transitions()
                batch = _Batch(batch.capacity)
    if batch.count:
        yield batch.transitions()


class _Batch:
    """Columns that are filled up."""

    def __init__(self, capacity: int) -> None:
        self.capacity, self.count = capacity, 0
        self._columns = {name: np.empty(capacity, dtype=kind) for name, kind in COLUMN_TYPES.items()}

    @property
    def is_full(self) -> bool:
        return self.count == self.capacity

    def fill(self, rows: Rows, position: int) -> int:
        """Take as many rows from ``position`` on as there is room for, and return how many."""
        taken = min(self.capacity - self.count, len(rows["state"]) - position)
        for name, column in self._columns.items():
            column[self.count : self.count + taken] = rows[name][position : position + taken]
        self.count += taken
        return taken

    def transitions(self) -> Transitions:
        return Transitions(**{name: column[: self.count] for name, column in self._columns.items()})


async def _spans(connection: Connection, wanted: Wanted) -> Rows:
    """Return number, size and first time (PostgreSQL's microseconds) of each chunk, by first time."""
    decoder = _SPANS.decoder()
    await connection.copy_from_query(
        STATEMENTS["list_chunks"],
        *(wanted.agent, wanted.fingerprint, *wanted.chunk_range),
        output=decoder.feed,
        format="binary",
    )
    return decoder.columns()


async def _ordered(connection: Connection, wanted: Wanted, spans: Rows) -> AsyncIterator[Rows]:
    """Yield rows in canonical order, some at a time."""
    waiting: Rows | None = None
    for begin, end in _groups(spans):
        group = {name: values[begin:end] for name, values in spans.items()}
        is_waiting = waiting is not None and len(waiting["state"]) > 0
        if not is_waiting and _is_large(group) and _is_in_order(spans, begin, end):
            yield wanted.trimmed(await _read_chunks(connection, wanted, group, is_in_order=True))
            continue
        arrived = wanted.trimmed(await _read_group(connection, wanted, group))
        rows = arrived if waiting is None else _joined(waiting, arrived)
        times = rows["occurred_at"]
        if not (np.diff(times) > 0).all():
            rows = _taken(rows, np.lexsort((rows["experience_id"], times)))
            times = rows["occurred_at"]
        ready = len(times)
        if end < len(spans["first_at"]):
            ready = int(np.searchsorted(times, spans["first_at"][end] + EPOCH_MICROSECONDS))
        waiting = {name: values[ready:] for name, values in rows.items()}
        yield await _with_ties_ordered(
            connection, wanted.agent, {name: values[:ready] for name, values in rows.items()}
        )


def _groups(spans: Rows) -> Iterator[tuple[int, int]]:
    """Yield begin and end of chunks to read together; chunks with the same first time stay together."""
    first_at, begin = spans["first_at"], 0
    filled = np.cumsum(spans["experiences"])
    while begin < len(first_at):
        before = filled[begin - 1] if begin else 0
        end = int(np.searchsorted(filled, before + _GROUP_ROWS)) + 1
        end = int(np.searchsorted(first_at, first_at[min(end, len(first_at)) - 1], side="right"))
        yield begin, end
        begin = end


def _is_in_order(spans: Rows, begin: int, end: int) -> bool:
    """Return whether chunks hold times that increase throughout and end before the next chunk begins."""
    next_first = spans["first_at"][begin + 1 : end + 1]
    follows = spans["last_at"][begin : begin + len(next_first)] < next_first
    return bool(spans["is_in_order"][begin:end].all() and follows.all())


def _is_large(spans: Rows) -> bool:
    """Return whether chunks are better read by columns than row by row."""
    return int(spans["experiences"].sum()) >= FEW_ROWS * len(spans["experiences"])


async def _read_group(connection: Connection, wanted: Wanted, spans: Rows) -> Rows:
    """Return all rows of some chunks."""
    if _is_large(spans):
        return await _read_chunks(connection, wanted, spans, is_in_order=False)
    decoder = _SINGLE_ROWS.decoder()
    await connection.copy_from_query(
        STATEMENTS["read_single_transitions"],
        *_place(wanted, spans),
        output=decoder.feed,
        format="binary",
    )
    rows = decoder.columns()
    rows["occurred_at"] += EPOCH_MICROSECONDS
    return rows


async def _read_chunks(connection: Connection, wanted: Wanted, spans: Rows, *, is_in_order: bool) -> Rows:
    """Return all rows of some chunks by whole columns; without times where they are known to be in order."""
    decoder = ArrayDecoder(_ROWS_IN_ORDER if is_in_order else _ROWS)
    await connection.copy_from_query(
        STATEMENTS["read_transitions_in_order" if is_in_order else "read_transitions"],
        *_place(wanted, spans),
        output=decoder.feed,
        format="binary",
    )
    rows = decoder.columns()
    rows["experience_id"] = experience_ids(rows.pop("chunk_id"), rows.pop("experiences"))
    return rows


def _place(wanted: Wanted, spans: Rows) -> tuple[Any, ...]:
    """Return what names some chunks in a statement."""
    first, last = _moment(spans["first_at"][0]), _moment(spans["first_at"][-1])
    return (wanted.agent, wanted.fingerprint, first, last, *wanted.chunk_range)


async def _with_ties_ordered(connection: Connection, agent: str, rows: Rows) -> Rows:
    """Return rows that are ordered by time with those of equal times by source, episode and step."""
    is_equal = np.diff(rows["occurred_at"]) == 0
    if not is_equal.any():
        return rows
    is_tied = np.concatenate([is_equal, [False]]) | np.concatenate([[False], is_equal])
    tied = np.flatnonzero(is_tied)
    ids = rows["experience_id"][tied]
    keys = await _keys(connection, agent, ids)
    keys = keys.append_column("occurred_at", pa.array(rows["occurred_at"][tied]))
    order = pc.sort_indices(
        keys, [(name, "ascending") for name in ("occurred_at", "source", "episode", "step")]
    )
    places = np.arange(len(rows["state"]))
    places[tied] = tied[np.asarray(order)]
    return _taken(rows, places)


async def _keys(connection: Connection, agent: str, ids: npt.NDArray[np.int64]) -> pa.Table:
    """Return source, episode and step of these experiences, in this order."""
    decoder = ArrayDecoder(_KEYS)
    await connection.copy_from_query(
        STATEMENTS["read_keys"],
        *(agent, np.unique(ids // CHUNK_ROWS).tolist()),
        output=decoder.feed,
        format="binary",
    )
    found = decoder.columns()
    known = experience_ids(found["chunk_id"], found["experiences"])
    places = pa.array(np.searchsorted(known, ids))
    chunk = np.repeat(np.arange(len(found["experiences"])), found["experiences"])
    source = pa.array(found["source"], pa.string()).take(pa.array(chunk))
    return pa.table(
        {
            "source": source.take(places),
            "episode": found["episode"].take(places),
            "step": pa.array(found["step"]).take(places),
        }
    )


def _joined(left: Rows, right: Rows) -> Rows:
    return {name: np.concatenate([left[name], right[name]]) for name in left}


def _taken(rows: Rows, places: npt.NDArray[np.int64]) -> Rows:
    return {name: values[places] for name, values in rows.items()}


def _moment(pg_microseconds: Any) -> datetime:
    return _PG_EPOCH + timedelta(microseconds=int(pg_microseconds))
