"""Ways to hand one flush to PostgreSQL: why the inbox is what it is.

What belongs here: the same updates through the inbox and through the forms it was chosen over, one connection
each. What does not: throughput of the whole write path (`updates`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from io import BytesIO
from typing import Any
from uuid import uuid4

import asyncpg
import numpy as np

from benchmarks.harness import Benchmark, Contestant, Measurement, Of, ResultsDifferError, Row, Running, timed
from benchmarks.place import Place
from benchmarks.statements import PEER_STATEMENTS, settle
from qe_core.learning.affine_updates import AffineUpdates
from qe_core.store import Store, TableHandle
from qe_core.store.binary_copy import Column, RowFormat
from qe_core.store.live.flush import INBOX, Flush
from qe_core.store.live.updates import PackedUpdates

STATES, ACTIONS = 5_000, 8
DENSE = ("scale", "q_offset", "visits", "target_mean", "target_m2")
_TOLERANCE = 1e-9


class Table:
    """One contestant's table in a database of its own, and its connection.

    Args:
        url: of the database.
        loop: runs everything.
    """

    def __init__(self, url: str, loop: asyncio.Runner) -> None:
        self._url = url
        self._loop = loop
        self.handle, self.connection = loop.run(self._open())

    async def _open(self) -> tuple[TableHandle, asyncpg.Connection]:
        async with Store.connect(self._url) as store:
            names = [f"action-{number}" for number in range(ACTIONS)]
            handle = await store.q_tables.ensure("individual", "measured", "f", STATES, names)
        connection = await asyncpg.connect(self._url, server_settings={"jit": "off"})
        for statement in ("create_incoming_updates", "create_incoming_rows_of_peer"):
            await connection.execute(PEER_STATEMENTS[statement])
        return handle, connection

    def run(self, form: "Form", batches: list[PackedUpdates]) -> Measurement:
        """Apply batches one after the other; the result is the table's values."""
        settle(self._url)

        async def apply() -> None:
            for batch in batches:
                await form(self.connection, self.handle, batch)

        measured = timed(lambda: self._loop.run(apply()))
        return Measurement(measured.values, self._loop.run(self._values()))

    async def _values(self) -> tuple[np.ndarray, np.ndarray]:
        async with Store.connect(self._url) as store:
            table = (await store.q_tables.load("individual", "measured", "f")).table
        return table.visits, np.stack([table.q, table.target_mean, table.target_m2])

    def close(self) -> None:
        """Close the connection."""
        self._loop.run(self.connection.close())


Form = Callable[[asyncpg.Connection, TableHandle, PackedUpdates], Awaitable[None]]


async def by_inbox(connection: asyncpg.Connection, handle: TableHandle, batch: PackedUpdates) -> None:
    """Copy one row into the inbox: the product's form."""
    flush = Flush.compose(uuid4(), handle, [batch], "benchmark")
    await connection.copy_to_table(INBOX, source=flush.pieces(), format="binary")


async def by_parameters(connection: asyncpg.Connection, handle: TableHandle, batch: PackedUpdates) -> None:
    """Insert the same row with the driver's own encoding of arrays."""
    state, dense = _dense(batch)
    arrays = [state.tolist(), *(values.ravel().tolist() for values in dense)]
    await connection.execute(
        PEER_STATEMENTS["insert_into_inbox"], uuid4(), handle.q_table_id, handle.epoch, ACTIONS, *arrays
    )


async def by_temporary_table(
    connection: asyncpg.Connection, handle: TableHandle, batch: PackedUpdates
) -> None:
    """Copy rows into a temporary table and merge them from there, in one transaction."""
    state, dense = _dense(batch)
    stream = _UPDATES.encode({"state": state, **dict(zip(DENSE, dense, strict=True))})
    async with connection.transaction():
        await connection.execute(PEER_STATEMENTS["raise_version"], handle.q_table_id)
        await connection.copy_to_table("incoming_updates", source=BytesIO(stream), format="binary")
        await connection.execute(PEER_STATEMENTS["merge_incoming_updates"], handle.q_table_id)


async def by_ordered_lock(connection: asyncpg.Connection, handle: TableHandle, batch: PackedUpdates) -> None:
    """Lock and read the rows in key order, compute here, write them back, in one transaction."""
    state, dense = _dense(batch)
    decoder = _ROWS.decoder()
    async with connection.transaction():
        await connection.execute(PEER_STATEMENTS["raise_version"], handle.q_table_id)
        await connection.copy_from_query(
            PEER_STATEMENTS["lock_rows"],
            handle.q_table_id,
            state.tolist(),
            output=decoder.feed,
            format="binary",
        )
        rows = _merged(state, decoder.columns(), dense)
        await connection.copy_to_table(
            "incoming_peer_rows", source=BytesIO(_ROWS.encode(rows)), format="binary"
        )
        await connection.execute(PEER_STATEMENTS["write_peer_rows"], handle.q_table_id)


_UPDATES = RowFormat(
    [Column("state", "int8")]
    + [Column(name, "int8" if name == "visits" else "float8", ACTIONS) for name in DENSE]
)
_ROWS = RowFormat(
    [
        Column("state", "int8"),
        Column("q", "float8", ACTIONS),
        Column("visits", "int8", ACTIONS),
        Column("target_mean", "float8", ACTIONS),
        Column("target_m2", "float8", ACTIONS),
    ]
)


def _dense(batch: PackedUpdates) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the states and scale … target_m2, each [K, A]."""
    updates = AffineUpdates.from_targets(batch.state, batch.action, batch.target, batch.learning_rate)
    state, row = np.unique(updates.state, return_inverse=True)
    dense = []
    for values, rest in (
        (updates.scale, 1.0),
        (updates.offset, 0.0),
        (updates.count, 0),
        (updates.target_mean, 0.0),
        (updates.target_m2, 0.0),
    ):
        whole = np.full((len(state), ACTIONS), rest, dtype=values.dtype)
        whole[row, updates.action] = values
        dense.append(whole)
    return state, dense


def _merged(
    state: np.ndarray, stored: Mapping[str, np.ndarray], dense: list[np.ndarray]
) -> dict[str, np.ndarray]:
    """Return the rows after the updates; a state without a row starts from zero."""
    before = {
        name: np.zeros((len(state), ACTIONS), dtype=np.int64 if name == "visits" else np.float64)
        for name in ("q", "visits", "target_mean", "target_m2")
    }
    places = np.searchsorted(state, stored["state"])
    for name, values in before.items():
        values[places] = stored[name]
    scale, offset, added, new_mean, new_m2 = dense
    visits = before["visits"] + added
    weight = added / np.maximum(visits, 1)
    deviation = new_mean - before["target_mean"]
    return {
        "state": state,
        "q": scale * before["q"] + offset,
        "visits": visits,
        "target_mean": before["target_mean"] + deviation * weight,
        "target_m2": before["target_m2"] + new_m2 + deviation**2 * before["visits"] * weight,
    }


def _batches(seed: int, size: int, count: int) -> list[PackedUpdates]:
    rng = np.random.default_rng(seed)
    return [
        PackedUpdates(
            rng.integers(0, STATES, size),
            rng.integers(0, ACTIONS, size).astype(np.int16),
            rng.normal(scale=20.0, size=size),
            rng.uniform(0.0, 1.0, size),
            None,
        )
        for _ in range(count)
    ]


FORMS: dict[str, tuple[str, Form]] = {
    "inbox": ("one row copied into the inbox, whose trigger does everything: one round trip", by_inbox),
    "parameters": ("the same row inserted with arrays as parameters of the driver", by_parameters),
    "temporary table": ("COPY into a temporary table, then one merging statement", by_temporary_table),
    "ordered lock": ("SELECT … ORDER BY … FOR UPDATE, computed in numpy, written back", by_ordered_lock),
}


@contextmanager
def prepare(place: Place, size: int, count: int) -> Iterator[Running]:
    """Yield every form on the same batches, each in a database of its own."""
    rounds = dict.fromkeys(FORMS, 0)
    with ExitStack() as opened:
        loop = opened.enter_context(asyncio.Runner())
        tables = {name: Table(opened.enter_context(place.database()), loop) for name in FORMS}
        for table in tables.values():
            opened.callback(table.close)

        def run(name: str) -> Measurement:
            rounds[name] += 1
            return tables[name].run(FORMS[name][1], _batches(rounds[name], size, place.size(count, 2)))

        def check(found: Mapping[str, Any]) -> None:
            """Every form leads to the same table."""
            visits, values = found["inbox"]
            for name, (other_visits, other_values) in found.items():
                scale = np.maximum(1.0, np.abs(values))
                if (
                    not (visits == other_visits).all()
                    or (np.abs(values - other_values) / scale).max() > _TOLERANCE
                ):
                    raise ResultsDifferError(f"the table after {name} is not the one after inbox")

        yield Running({name: partial(run, name) for name in FORMS}, check)


def _benchmark(name: str, size: int, count: int) -> Benchmark:
    rows = tuple(
        Row(
            f"{name}: {other}",
            f"one flush of {size:,} updates: {other} ÷ inbox, seconds",
            Of(other, "seconds"),
            Of("inbox", "seconds"),
        )
        for other in FORMS
        if other != "inbox"
    )
    contestants = tuple(Contestant(form, description) for form, (description, _) in FORMS.items())
    return Benchmark(name, contestants, rows, partial(prepare, size=size, count=count))


BENCHMARKS = (_benchmark("flush of 50", 50, 100), _benchmark("flush of 10000", 10_000, 5))
