"""The log of experiences: appending against COPY of rows, reading against Arrow over ADBC.

What belongs here: both comparisons and the digest by which what was stored is compared. What does not: the
path that learns (`updates`).
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from itertools import cycle
from typing import Any

import asyncpg
import numpy as np
import pyarrow as pa
from pyarrow import csv

from benchmarks.harness import (
    Benchmark,
    Contestant,
    Measurement,
    Of,
    ResultsDifferError,
    Row,
    Running,
    at_least,
    require_equal,
)
from benchmarks.place import Place
from benchmarks.statements import PEER_STATEMENTS, execute, settle
from benchmarks.workload import drawn_log
from qe_core.fleet import registry
from qe_core.learning.experience import COLUMN_TYPES, Transitions
from qe_core.store import Store

STEPS = 50
_ADBC = ("adbc_driver_postgresql", "adbc_driver_manager")
_ROWS_PER_PIECE = 65_536


class RowLog:
    """A connection of a peer to its row tables.

    Args:
        connection: in a database that has `create_row_log` and its indexed and staging twins.
    """

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def encode(self, log: pa.Table) -> bytes:
        """Return experiences as PostgreSQL itself writes them in binary, via a staging table."""
        await self._connection.execute(PEER_STATEMENTS["empty_staging"])
        await self._connection.copy_to_table("staging_log", source=as_csv(log), format="csv")
        encoded = BytesIO()
        await self._connection.copy_from_table("staging_log", output=encoded, format="binary")
        return encoded.getvalue()

    async def copy(self, table: str, encoded: bytes) -> float:
        """Append encoded rows in one COPY and return the seconds it took to commit."""
        began = time.perf_counter()
        await self._connection.copy_to_table(table, source=BytesIO(encoded), format="binary")
        return time.perf_counter() - began

    async def copy_records(self, table: str, log: pa.Table) -> float:
        """Append experiences as rows the driver encodes, and return the seconds it took to commit."""
        began = time.perf_counter()
        rows = zip(*(column.to_pylist() for column in log.columns), strict=True)
        await self._connection.copy_records_to_table(table, records=rows, columns=log.column_names)
        return time.perf_counter() - began

    async def digest(self, statement: str, *parameters: str) -> tuple[int, str]:
        """Return how many experiences a named statement sees, and a digest of every value of them."""
        count, digest = await self._connection.fetchrow(PEER_STATEMENTS[statement], *parameters)
        return int(count), str(digest)


async def as_csv(log: pa.Table) -> Any:
    """Yield the rows in pieces."""
    for batch in log.to_batches(max_chunksize=_ROWS_PER_PIECE):
        buffer = BytesIO()
        csv.write_csv(batch, buffer, csv.WriteOptions(include_header=False))
        yield buffer.getvalue()


def rate_of(count: int, seconds: float, result: Any) -> Measurement:
    """Return rows a second, and seconds."""
    return Measurement({"rows_per_second": count / seconds, "seconds": seconds}, result)


@contextmanager
def prepare_append(place: Place) -> Iterator[Running]:
    """Yield ours and four forms of COPY, each storing the same fresh experiences, one agent's a round."""
    count = place.size(full=500_000, quick=20_000)
    contracts = cycle(registry())
    log, encoded = pa.table({}), b""
    with place.database() as url, asyncio.Runner() as runner:
        execute(url, "create_row_log", "create_indexed_row_log", "create_row_log_index", "create_staging_log")
        connection = runner.run(asyncpg.connect(url))
        peer = RowLog(connection)

        def ours() -> Measurement:
            """Append a new agent's experiences in one call; the others get the same ones."""
            nonlocal log, encoded
            contract = next(contracts)
            log = drawn_log(contract, count, STEPS, seed=1)
            encoded = runner.run(peer.encode(log))
            settle(url)
            appended, seconds = runner.run(append(url, log))
            require_equal("experiences that were new", appended, count)
            return rate_of(count, seconds, runner.run(peer.digest("digest_log", contract.name)))

        def copy(table: str) -> Measurement:
            """Append the rows, encoded beforehand, to a table emptied beforehand."""
            execute(url, f"empty_{table}")
            settle(url)
            seconds = runner.run(peer.copy(table, encoded))
            return rate_of(count, seconds, runner.run(peer.digest(f"digest_{table}")))

        def records() -> Measurement:
            """Append the same experiences as rows, with the driver the product uses, to the bare table."""
            execute(url, "empty_row_log")
            settle(url)
            seconds = runner.run(peer.copy_records("row_log", log))
            return rate_of(count, seconds, runner.run(peer.digest("digest_row_log")))

        def adbc() -> Measurement:
            """Append the same Arrow table with ADBC, which encodes it for binary COPY, to the bare table."""
            from adbc_driver_postgresql import dbapi  # type: ignore[import-untyped]

            execute(url, "empty_row_log")
            settle(url)
            with dbapi.connect(url) as session, session.cursor() as cursor:
                began = time.perf_counter()
                cursor.adbc_ingest("row_log", log, mode="append")
                session.commit()
                seconds = time.perf_counter() - began
            return rate_of(count, seconds, runner.run(peer.digest("digest_row_log")))

        def check(found: Mapping[str, Any]) -> None:
            """Compare every value stored, on every side, with what PostgreSQL read from CSV."""
            truth = runner.run(peer.digest("digest_staging_log"))
            for name, digest in found.items():
                require_equal(f"count and digest of what {name} stored", digest, truth)

        run: dict[str, Callable[[], Measurement]] = {
            "ours": ours,
            "copy": lambda: copy("row_log"),
            "copy indexed": lambda: copy("indexed_row_log"),
            "records": records,
            "adbc": adbc,
        }
        yield Running(run, check)
        runner.run(connection.close())


async def append(url: str, log: pa.Table) -> tuple[int, float]:
    """Append through the product and return how many were new and the seconds until it was committed."""
    async with Store.connect(url, pool_size=1) as store:
        began = time.perf_counter()
        appended = await store.experiences.append(log)
        return appended, time.perf_counter() - began


@contextmanager
def prepare_read(place: Place) -> Iterator[Running]:
    """Yield ours and ADBC, each reading the same agent's transitions into arrays."""
    from_seed, count = 2, place.size(full=1_000_000, quick=50_000)
    first, *_ = registry()
    log = drawn_log(first, count, STEPS, from_seed)
    with place.database() as url, asyncio.Runner() as runner:
        execute(url, "create_row_log")

        async def fill() -> None:
            """Store the same experiences on both sides."""
            async with Store.connect(url) as store:
                await store.experiences.append(log)
            connection = await asyncpg.connect(url)
            await connection.copy_to_table("row_log", source=as_csv(log), format="csv")
            await connection.close()

        runner.run(fill())
        execute(url, "vacuum_row_log")
        settle(url)

        async def read() -> tuple[Transitions, float]:
            """Read through the product, on a connection that is open already."""
            async with Store.connect(url, pool_size=1) as store:
                began = time.perf_counter()
                found = await store.experiences.load_transitions(first.name, first.fingerprint)
                return found, time.perf_counter() - began

        def ours() -> Measurement:
            """Read in canonical order."""
            found, seconds = runner.run(read())
            return rate_of(len(found), seconds, {name: getattr(found, name) for name in COLUMN_TYPES})

        def adbc() -> Measurement:
            """Read in the order in which the rows lie, without sorting, as Arrow, then as arrays."""
            from adbc_driver_postgresql import dbapi

            with dbapi.connect(url) as session, session.cursor() as cursor:
                began = time.perf_counter()
                cursor.execute(PEER_STATEMENTS["read_row_log"], (first.name, first.fingerprint))
                found = cursor.fetch_arrow_table()
                columns = {name: found[name].to_numpy() for name in COLUMN_TYPES}
                seconds = time.perf_counter() - began
            return rate_of(found.num_rows, seconds, columns)

        def check(found: Mapping[str, Any]) -> None:
            """Compare all arrays with what was stored."""
            for name in COLUMN_TYPES:
                wanted = log[name].to_numpy()
                for who, columns in found.items():
                    if not np.array_equal(columns[name], wanted):
                        raise ResultsDifferError(f"{who} read another column {name} than was stored")

        yield Running({"ours": ours, "adbc": adbc}, check)


_RATE = "rows_per_second"

BENCHMARKS = (
    Benchmark(
        "experience-append",
        (
            Contestant("ours", "store.experiences.append of an Arrow table of one agent: checked, durable"),
            Contestant(
                "copy",
                "binary COPY of rows encoded beforehand (not timed) into a plain table with these columns",
            ),
            Contestant(
                "copy indexed",
                "the same into a table with the unique index that makes appending idempotent",
            ),
            Contestant(
                "records",
                "row COPY by the same driver (asyncpg) of the same Arrow table into the plain table",
            ),
            Contestant(
                "adbc", "ADBC ingest of the same Arrow table (binary COPY) into the plain table", _ADBC
            ),
        ),
        (
            Row(
                "append-vs-records",
                "experience append ÷ row COPY by the driver, same columns, no index",
                Of("ours", _RATE),
                Of("records", _RATE),
                at_least(4),
            ),
            Row(
                "append-vs-copy",
                "experience append ÷ row COPY, encoded beforehand, no index",
                Of("ours", _RATE),
                Of("copy", _RATE),
                at_least(4),
            ),
            Row(
                "append-vs-indexed-copy",
                "experience append ÷ row COPY, encoded beforehand, unique index",
                Of("ours", _RATE),
                Of("copy indexed", _RATE),
                at_least(4),
            ),
            Row(
                "append-vs-adbc",
                "experience append ÷ row COPY from the same columns (ADBC), no index",
                Of("ours", _RATE),
                Of("adbc", _RATE),
                at_least(4),
            ),
        ),
        prepare_append,
    ),
    Benchmark(
        "experience-read",
        (
            Contestant("ours", "store.experiences.load_transitions: six columns in canonical order"),
            Contestant(
                "adbc",
                "ADBC, SELECT of the same six columns from a plain row table, not sorted, Arrow to numpy",
                _ADBC,
            ),
        ),
        (
            Row(
                "read-vs-adbc",
                "chunk read of an agent's transitions into arrays ÷ ADBC",
                Of("ours", _RATE),
                Of("adbc", _RATE),
                at_least(3),
            ),
        ),
        prepare_read,
    ),
)
