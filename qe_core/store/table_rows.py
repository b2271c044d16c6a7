"""A table's non-empty rows on their way to and from PostgreSQL.

What belongs here: between dense arrays and rows, and the wire format of both directions. What does not: when
rows may be written (`q_tables`).
"""

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Self

import numpy as np

from qe_core.errors import StoreError
from qe_core.learning.q_table import QTable
from qe_core.store.binary_copy import Column, RowFormat
from qe_core.store.connection import Connection
from qe_core.store.records import FloatArray, IntArray, TableHandle
from qe_core.store.statements import STATEMENTS

if TYPE_CHECKING:
    # At run time it would bring the compiler along, which reading the store does not need.
    pass

_INCOMING = "incoming_rows"


@dataclass(frozen=True, slots=True)
class TableRows:
    """Some states' rows, in state order.

    Attributes:
        state: encoded states, strictly increasing, shape (N,).
        table: their values, shape (N, A).
        weights: confidence x visits, shape (N, A).
    """

    state: IntArray
    table: QTable
    weights: FloatArray

    @classmethod
    def from_dense(cls, handle: TableHandle, table: QTable, weights: FloatArray) -> Self:
        """Return the rows of a dense table that hold anything.

        Raises:
            StoreError: table or weights do not have the registered shape or are not finite.
        """
        shape = (handle.state_count, handle.action_count)
        if table.q.shape != shape or weights.shape != shape:
            raise StoreError(
                f"the {handle.level} table {handle.name} has shape {shape}, got values of shape "
                f"{table.q.shape} and weights of shape {weights.shape}; build both from the contract it is "
                "registered under"
            )
        for what, values in (("q", table.q), ("target_mean", table.target_mean), ("weights", weights)):
            if not np.isfinite(values).all():
                state, action = np.argwhere(~np.isfinite(values))[0].tolist()
                raise StoreError(
                    f"{what} of the {handle.level} table {handle.name} is {values[state, action]} at state "
                    f"{state}, action {action}; nothing was published, look for the experience that caused it"
                )
        state = np.flatnonzero(((table.visits > 0) | (table.q != 0.0)).any(axis=1)).astype(np.int64)
        return cls(state, _rows_of(table, state), weights[state])

    def as_dense(self, handle: TableHandle) -> tuple[QTable, FloatArray]:
        """Return the whole table and its weights, zero where there is no row."""
        dense = QTable.zeros(handle.state_count, handle.action_count)
        weights = np.zeros_like(dense.q)
        weights[self.state] = self.weights
        for name in ("q", "visits", "target_mean", "target_m2"):
            getattr(dense, name)[self.state] = getattr(self.table, name)
        return dense, weights


async def read_rows(connection: Connection, handle: TableHandle) -> TableRows:
    """Return the stored rows of a table.

    Args:
        connection: inside a transaction.
        handle: which table.
    """
    decoder = row_format(handle).decoder()
    await connection.copy_from_query(
        STATEMENTS["read_rows"], handle.q_table_id, output=decoder.feed, format="binary"
    )
    found = decoder.columns()
    table = QTable(found["q"], found["visits"], found["target_mean"], found["target_m2"])
    return TableRows(found["state"], table, found["weights"])


async def write_rows(connection: Connection, handle: TableHandle, rows: TableRows) -> int:
    """Insert or update the rows that differ from what is stored, in state order; return how many.

    The rows stay in the session's incoming table until the transaction ends.
    """
    await connection.execute(STATEMENTS["create_incoming_rows"])
    # Adding zero turns -0.0 into 0.0, which PostgreSQL holds for equal and would not rewrite.
    stream = row_format(handle).encode(
        {
            "state": rows.state,
            "q": rows.table.q + 0.0,
            "visits": rows.table.visits,
            "target_mean": rows.table.target_mean + 0.0,
            "target_m2": rows.table.target_m2,
            "weights": rows.weights,
        }
    )
    await connection.copy_to_table(_INCOMING, source=BytesIO(stream), format="binary")
    return affected_count(await connection.execute(STATEMENTS["write_changed_rows"], handle.q_table_id))


def affected_count(command_tag: str) -> int:
    """Return the number of rows in an answer such as ``INSERT 0 5``."""
    return int(command_tag.rpartition(" ")[2])


def _rows_of(table: QTable, state: IntArray) -> QTable:
    return QTable(table.q[state], table.visits[state], table.target_mean[state], table.target_m2[state])


def row_format(handle: TableHandle) -> RowFormat:
    """Return the layout of the rows of a table on the wire."""
    width = handle.action_count
    return RowFormat(
        [
            Column("state", "int8"),
            Column("q", "float8", width),
            Column("visits", "int8", width),
            Column("target_mean", "float8", width),
            Column("target_m2", "float8", width),
            Column("weights", "float8", width),
        ]
    )
