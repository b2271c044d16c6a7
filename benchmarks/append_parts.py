"""What appending experiences spends its time on, and the form it was not given.

What belongs here: the same chunks encoded beforehand, as arrays and as packed bytes, each into a plain table.
What does not: comparisons with peers (`experience_log`).
"""

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import asyncpg
import numpy as np
import pyarrow as pa

from benchmarks.experience_log import STEPS, append, rate_of
from benchmarks.harness import Benchmark, Contestant, Measurement, Of, ResultsDifferError, Row, Running
from benchmarks.place import Place
from benchmarks.statements import execute, settle, value_of
from benchmarks.workload import drawn_log
from qe_core.fleet import registry
from qe_core.store.array_wire import copy_stream
from qe_core.store.chunks import CHUNK_COLUMNS, CHUNK_ROWS, chunk_streams

BYTE_COLUMNS = ("occurred_at", "step", "state", "action", "reward", "next_state", "propensity")
"""Numbers kept as bytes; flags and the rarer columns are one more each, texts one for all."""


@contextmanager
def prepare(place: Place) -> Iterator[Running]:
    """Yield appending, and COPY alone of the same rows in both forms."""
    count = place.size(full=500_000, quick=20_000)
    contract, *_ = registry()
    log = drawn_log(contract, count, STEPS, seed=1)
    arrays, packed = (
        list(chunk_streams(log)),
        [_bytes_stream(log, start) for start in range(0, count, CHUNK_ROWS)],
    )
    with place.database() as url, asyncio.Runner() as runner:
        execute(url, "create_chunk_log", "create_byte_log", "store_bytes_as_they_are")
        connection = runner.run(asyncpg.connect(url))

        def ours() -> Measurement:
            """Append in full: checked, told apart from what is known, encoded, stored."""
            execute(url, "empty_log")
            settle(url)
            appended, seconds = runner.run(append(url, log))
            return rate_of(count, seconds, appended)

        def copy(table: str, streams: list[bytes], **options: Any) -> Measurement:
            """Store chunks that were encoded beforehand."""
            execute(url, f"empty_{table}")
            settle(url)
            seconds = runner.run(_copied(connection, table, streams, options))
            return rate_of(count, seconds, None)

        def check(found: Mapping[str, Any]) -> None:
            """Compare what the plain tables hold with what the product stored and what was given."""
            if found["ours"] != count or value_of(url, "count_foreign_chunks") != 0:
                raise ResultsDifferError("the chunks stored alone are not those that were appended")
            stored = bytes(value_of(url, "read_byte_states"))
            if not np.array_equal(np.frombuffer(stored, np.int64), log["state"].to_numpy()):
                raise ResultsDifferError("the packed bytes hold other states than were given")

        yield Running(
            {
                "ours": ours,
                "arrays alone": lambda: copy("chunk_log", arrays, columns=CHUNK_COLUMNS),
                "bytes alone": lambda: copy("byte_log", packed),
            },
            check,
        )
        runner.run(connection.close())


async def _copied(
    connection: asyncpg.Connection, table: str, streams: list[bytes], options: Mapping[str, Any]
) -> float:
    began = time.perf_counter()
    async with connection.transaction():
        for stream in streams:
            await connection.copy_to_table(table, source=BytesIO(stream), format="binary", **options)
    return time.perf_counter() - began


def _bytes_stream(log: pa.Table, start: int) -> bytes:
    """Return one row: its place, each number column as bytes, all other columns together as bytes."""
    rows = log.slice(start, CHUNK_ROWS).combine_chunks()
    numbers = [
        rows[name].cast(pa.int64() if name == "occurred_at" else rows[name].type) for name in BYTE_COLUMNS
    ]
    rest = [rows[name] for name in ("terminated", "truncated", "success")]
    names = b"".join(
        buffer.to_pybytes() for buffer in rows["episode"].chunk(0).buffers() if buffer is not None
    )
    fields = [_field(start.to_bytes(8, "big", signed=True))]
    fields += [_field(column.to_numpy().tobytes()) for column in numbers]
    fields += [_field(column.cast(pa.int8()).fill_null(-1).to_numpy().tobytes()) for column in rest]
    fields += [_field(rows["exploration_rate"].to_numpy().tobytes()), _field(names)]
    return copy_stream([fields])


def _field(value: bytes) -> bytes:
    return len(value).to_bytes(4, "big") + value


_RATE = "rows_per_second"

BENCHMARKS = (
    Benchmark(
        "append-parts",
        (
            Contestant("ours", "store.experiences.append in full"),
            Contestant(
                "arrays alone", "COPY of the same chunks, encoded beforehand, into a plain table of arrays"
            ),
            Contestant(
                "bytes alone", "the same columns packed as bytes beforehand, into a plain table of bytea"
            ),
        ),
        (
            Row(
                "append-server-share",
                "of an append, the time the server takes to store its chunks",
                Of("arrays alone", "seconds"),
                Of("ours", "seconds"),
            ),
            Row(
                "append-bytes-vs-arrays",
                "storing the columns as packed bytes ÷ as arrays, seconds",
                Of("bytes alone", "seconds"),
                Of("arrays alone", "seconds"),
            ),
        ),
        prepare,
    ),
)
