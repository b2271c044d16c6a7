"""Appending to the log what it does not have yet.

What belongs here: finding out which rows are new, and storing them as chunks. What does not: their rules
(`experience_rules`), how chunks are packed (`chunks`) and transactions (`experiences`).
"""

from collections.abc import Iterator
from io import BytesIO

import asyncpg
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from qe_core.errors import StoreError
from qe_core.store.array_stream import ArrayDecoder
from qe_core.store.chunks import CHUNK_COLUMNS, chunk_streams
from qe_core.store.connection import Connection
from qe_core.store.errors import ExperienceRejectedError
from qe_core.store.experience_rules import RULES
from qe_core.store.identity import Identity
from qe_core.store.statements import STATEMENTS

_KEY = ("occurred_at", "episode", "step")
_KEY_COLUMNS = {"occurred_at": "timestamptz[]", "episode": "text[]", "step": "int4[]"}


class MissingPartitionError(StoreError):
    """The log has no partition for this day; `ExperienceLog.stored` makes it and repeats."""


async def append_chunks(connection: Connection, table: pa.Table, identity: Identity) -> int:
    """Store the rows the log does not have and return how many that were.

    Args:
        connection: inside a transaction.
        table: rows that satisfy the rules.
        identity: whose they are.

    Raises:
        ExperienceRejectedError: a constraint of the database is broken all the same.
        MissingPartitionError: there is no partition for today.
    """
    appended = 0
    try:
        for agent, source, rows in _by_log(table):
            await connection.execute(STATEMENTS["lock_log"], agent, source)
            new = await _without_known(connection, agent, source, _in_order(rows))
            for _, part in _parted(new, "fingerprint"):
                for stream in chunk_streams(part, identity):
                    await connection.copy_to_table(
                        "experience_chunks",
                        source=BytesIO(stream),
                        columns=CHUNK_COLUMNS,
                        format="binary",
                    )
            appended += new.num_rows
    except asyncpg.CheckViolationError as error:
        if error.constraint_name is None:
            raise MissingPartitionError(
                "the log has no partition for today and none could be made; see qe_core.store.retention"
            ) from error
        raise ExperienceRejectedError(
            f"an experience breaks a rule of the log: "
            f"{RULES.get(error.constraint_name, error.constraint_name)}. None of its batch was stored"
        ) from error
    return appended


def _by_log(table: pa.Table) -> Iterator[tuple[str, str, pa.Table]]:
    """Yield rows by agent and source, sorted so that concurrent writers lock in one order."""
    for agent, rows in _parted(table, "agent"):
        for source, part in _parted(rows, "source"):
            yield agent, source, part


def _parted(rows: pa.Table, name: str) -> Iterator[tuple[str, pa.Table]]:
    """Yield the rows of each value of a column, by value; rows that are all alike are not copied."""
    values = sorted(pc.unique(rows[name]).to_pylist())
    for value in values:
        yield value, rows if len(values) == 1 else rows.filter(pc.equal(rows[name], value))


def _in_order(rows: pa.Table) -> pa.Table:
    """Return rows of one agent and source in canonical order, each once."""
    times = rows["occurred_at"].cast(pa.int64()).to_numpy()
    if (np.diff(times) > 0).all():
        return rows
    rows = rows.take(pc.sort_indices(rows, [(name, "ascending") for name in _KEY])).combine_chunks()
    is_repeated = np.ones(rows.num_rows - 1, dtype=np.bool_)
    for name in _KEY:
        is_repeated &= np.asarray(pc.equal(rows[name][1:], rows[name][:-1]))
    return rows.filter(pa.array(np.concatenate([[True], ~is_repeated])))


async def _without_known(connection: Connection, agent: str, source: str, rows: pa.Table) -> pa.Table:
    """Return the rows the log does not have, by the keys of chunks whose times overlap theirs."""
    first, last = rows["occurred_at"][0].as_py(), rows["occurred_at"][-1].as_py()
    overlapping = await connection.fetchval(STATEMENTS["first_overlapping_time"], agent, source, first, last)
    if overlapping is None:
        return rows
    decoder = ArrayDecoder({"occurred_at": "timestamptz[]"})
    await connection.copy_from_query(
        STATEMENTS["read_overlapping_times"],
        *(agent, source, first, last),
        output=decoder.feed,
        format="binary",
    )
    times = rows["occurred_at"].cast(pa.int64()).to_numpy()
    met = np.flatnonzero(np.isin(times, decoder.columns()["occurred_at"]))
    if len(met) == 0:
        return rows
    first, last = rows["occurred_at"][int(met[0])].as_py(), rows["occurred_at"][int(met[-1])].as_py()
    decoder = ArrayDecoder(_KEY_COLUMNS)
    await connection.copy_from_query(
        STATEMENTS["read_overlapping_keys"],
        *(agent, source, first, last),
        output=decoder.feed,
        format="binary",
    )
    known = pa.table(decoder.columns())
    asked = pa.table({"occurred_at": times, "episode": rows["episode"], "step": rows["step"]})
    asked = asked.append_column("row", pa.array(np.arange(len(times)))).take(pa.array(met))
    repeated = asked.join(known, list(_KEY), join_type="left semi")["row"].to_numpy()
    is_new = np.ones(len(times), dtype=np.bool_)
    is_new[repeated] = False
    return rows.filter(pa.array(is_new))
