"""Looking up through the cache, and how it stays fresh, on a real PostgreSQL."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psycopg2
import pytest

from qe_core.errors import DatabaseUnavailableError, StoreError
from qe_core.learning.q_table import QTable
from qe_core.store import Store, TableHandle, migrate
from qe_core.store.live import Experience, Live, LiveSettings, ReaderSettings
from qe_core.store.live.rows import Row, empty_row
from qe_core.store.server import EmbeddedServer
from tests.conftest import THROWAWAY_SETTINGS
from tests.integration.store.rows import FINGERPRINT
from tests.integration.waiting import PATIENCE_SECONDS, until

QUICK = ReaderSettings(check_seconds=0.1, grace_seconds=0.2, refresh_pause_seconds=0.001)
DEAF = ReaderSettings(check_seconds=3_600.0)
"""Versions are compared once, at the start."""


@pytest.fixture
async def live(store: Store) -> AsyncIterator[Live]:
    async with store.live(reading=QUICK) as opened:
        yield opened


def experience(number: int, state: int = 3, action: int = 1) -> Experience:
    return Experience(datetime.now(UTC), f"episode-{number}", 0, state, action, 5.0, 4, False, False, 0.5)


async def row_of(live: Live, handle: TableHandle, state: int) -> Row:
    (row,) = await live.reader.rows([(live.reader.table(handle), state)])
    return row


async def assert_equals_database(store: Store, live: Live, handle: TableHandle) -> None:
    """Every cached row is what the database holds."""
    stored = await store.q_tables.load(handle.level, handle.name, handle.fingerprint)
    table = live.reader.table(handle)
    for state in table.entries:
        row = table.row(state)
        assert row is not None
        for found, column in zip(row, ("q", "visits", "target_mean", "target_m2"), strict=False):
            np.testing.assert_allclose(found, getattr(stored.table, column)[state], rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(row.weights, stored.weights[state])


async def test_rows_are_asked_for_once(store: Store, live: Live, handle: TableHandle) -> None:
    await live.writer.record(handle, experience(0), target=8.0, learning_rate=0.25)
    first = await row_of(live, handle, 3)
    assert (first.q, first.visits) == ((0.0, 2.0, 0.0), (0, 1, 0))
    queries = live.reader.counters.queries
    assert await row_of(live, handle, 3) is first
    assert live.reader.counters.queries == queries


async def test_a_state_without_a_row_is_cached_too(live: Live, handle: TableHandle) -> None:
    for _ in range(5):
        assert await row_of(live, handle, 6) == empty_row(3)
    assert live.reader.counters.queries == 1
    await live.writer.record(handle, experience(0, state=6), target=8.0, learning_rate=0.25)
    assert (await row_of(live, handle, 6)).visits == (0, 1, 0)


async def test_three_levels_are_answered_by_one_query(store: Store, live: Live, handle: TableHandle) -> None:
    others = [
        await store.q_tables.ensure(level, "shared", FINGERPRINT, 4, ["quick", "thorough"])
        for level in ("category", "fleet")
    ]
    table = QTable.zeros(4, 2)
    table.q[2] = [10.0, 20.0]
    table.visits[2] = [1, 2]
    await store.q_tables.publish(others[0], table, np.full((4, 2), 0.5), 0, {})
    keys = [(live.reader.table(handle), 3), *((live.reader.table(other), 2) for other in others)]
    rows = await live.reader.rows(keys)
    assert live.reader.counters.queries == 1
    assert rows[1].q == (10.0, 20.0)
    assert rows[1].weights == (0.5, 0.5)
    assert [rows[0], rows[2]] == [empty_row(3), empty_row(2)]


async def test_a_thousand_lookups_at_once_share_a_few_queries(store: Store, live: Live) -> None:
    handle = await store.q_tables.ensure("individual", "wide", FINGERPRINT, 1_000, ["a", "b"])
    table = live.reader.table(handle)
    rows = await asyncio.gather(*(live.reader.rows([(table, state)]) for state in range(1_000)))
    assert [row for (row,) in rows] == [empty_row(2)] * 1_000
    assert live.reader.counters.misses == 1_000
    assert live.reader.counters.queries <= 3


async def test_own_updates_are_seen_before_they_are_committed(live: Live, handle: TableHandle) -> None:
    await row_of(live, handle, 3)
    table = live.reader.table(handle)
    recording = asyncio.create_task(live.writer.record(handle, experience(0), 8.0, 0.25))
    await asyncio.sleep(0)
    assert live.writer.counters.flushes == 0
    row = table.row(3)
    assert row is not None
    assert row.q == (0.0, 2.0, 0.0)
    await recording
    assert table.row(3) == row


async def test_two_processes_see_each_others_updates(store: Store, live: Live, handle: TableHandle) -> None:
    async with store.live(reading=replace(DEAF, refresh_pause_seconds=0.0)) as other:
        table = other.reader.table(handle)
        await row_of(other, handle, 3)
        await live.writer.record(handle, experience(0), target=8.0, learning_rate=0.25)
        await until(lambda: table.row(3).visits == (0, 1, 0))  # type: ignore[union-attr]
        assert other.reader.counters.notifications == 1
        assert other.reader.counters.missed_notifications == 0
        assert live.reader.counters.notifications == 0


async def test_caches_equal_the_database_after_many_wrote_at_once(
    store: Store, live: Live, handle: TableHandle
) -> None:
    async with AsyncExitStack() as stack:
        processes = [live]
        processes += [await stack.enter_async_context(store.live(reading=QUICK)) for _ in range(2)]
        for process in processes:
            await process.reader.rows([(process.reader.table(handle), state) for state in range(7)])

        async def work(process: Live, number: int) -> None:
            """Write and read in turn on the few states there are."""
            rng = np.random.default_rng(number)
            for step in range(60):
                state, action = int(rng.integers(7)), int(rng.integers(3))
                of = experience(1_000 * number + step, state, action)
                await process.writer.record(handle, of, float(rng.normal(scale=20)), float(rng.random()))
                assert process.reader.table(handle).row(state) is not None

        await asyncio.gather(*(work(process, n) for n, process in enumerate(processes * 4)))
        stored = await store.q_tables.load("individual", "tester", FINGERPRINT)
        for process in processes:
            table = process.reader.table(handle)
            await until(
                lambda process=process, table=table: (  # type: ignore[misc]
                    table.through == stored.version
                    and process.reader.stale_count == 0
                    and all(table.is_fresh(state) for state in table.entries)
                )
            )
            await assert_equals_database(store, process, handle)
        assert int(stored.table.visits.sum()) == 12 * 60


async def test_a_publication_is_heard_of(store: Store, live: Live, handle: TableHandle) -> None:
    await row_of(live, handle, 3)
    table = QTable.zeros(7, 3)
    table.q[3] = 7.0
    table.visits[3] = 1
    await store.q_tables.publish(handle, table, np.ones((7, 3)), 0, {})
    cached = live.reader.table(handle)
    await until(lambda: cached.row(3).q == (7.0, 7.0, 7.0))  # type: ignore[union-attr]
    assert live.reader.counters.missed_notifications == 0


async def test_a_raised_epoch_and_a_retired_table_are_heard_of(store: Store, handle: TableHandle) -> None:
    async with store.live(reading=DEAF) as live:
        await row_of(live, handle, 3)
        cached = live.reader.table(handle)
        await store.q_tables.raise_epoch(handle)
        await until(lambda: cached.epoch == handle.epoch + 1)
        assert cached.is_current
        await store.q_tables.ensure("individual", "tester", "contract-2", 7, handle.action_names)
        await until(lambda: not cached.is_current)


async def test_a_lost_notification_is_healed_by_comparing_versions(
    store: Store, live: Live, handle: TableHandle, database_url: str
) -> None:
    await row_of(live, handle, 3)
    with closing(psycopg2.connect(database_url)) as session, session, session.cursor() as cursor:
        cursor.execute(
            "INSERT INTO q_values VALUES (1, 3, '{9,9,9}', '{1,1,1}', '{9,9,9}', '{0,0,0}', '{0,0,0}')"
        )
        cursor.execute("UPDATE q_tables SET version = version + 1")  # and nobody is told
    cached = live.reader.table(handle)
    await until(lambda: cached.row(3).q == (9.0, 9.0, 9.0))  # type: ignore[union-attr]
    assert live.reader.counters.missed_notifications == 1
    assert live.reader.staleness_seconds < PATIENCE_SECONDS


async def test_a_gap_in_the_versions_heard_of_reads_all_rows_again(
    store: Store, handle: TableHandle, database_url: str
) -> None:
    async with store.live(reading=replace(DEAF, grace_seconds=0.05)) as live, store.live() as other:
        await live.reader.rows([(live.reader.table(handle), state) for state in (3, 5)])
        with closing(psycopg2.connect(database_url)) as session, session, session.cursor() as cursor:
            cursor.execute(
                "INSERT INTO q_values VALUES (1, 5, '{9,9,9}', '{1,1,1}', '{9,9,9}', '{0,0,0}', '{0,0,0}')"
            )
            cursor.execute("UPDATE q_tables SET version = version + 1")
        await other.writer.record(handle, experience(0), target=8.0, learning_rate=0.25)
        cached = live.reader.table(handle)
        await until(lambda: cached.row(5).q == (9.0, 9.0, 9.0))  # type: ignore[union-attr]
        assert live.reader.counters.missed_notifications == 1


async def test_a_cut_listener_reads_again_what_it_did_not_hear(
    store: Store, handle: TableHandle, database_url: str
) -> None:
    def listeners(what: str) -> int:
        """Count, or cut, connections that listen and have compared versions."""
        with closing(psycopg2.connect(database_url)) as session, session, session.cursor() as cursor:
            cursor.execute(
                f"SELECT count({what}) FROM pg_stat_activity WHERE datname = current_database() "
                "AND query LIKE '-- read_table_versions%' AND state = 'idle'"
            )
            (number,) = cursor.fetchone() or (0,)
            return int(number)

    async with store.live(reading=DEAF) as live, store.live() as other:
        await row_of(live, handle, 3)
        await until(lambda: listeners("pid") == 2)
        assert listeners("pg_terminate_backend(pid)") == 2
        await until(lambda: live.reader.counters.away > 0 or live.reader.counters.reconnects > 0)
        await other.writer.record(handle, experience(0), target=8.0, learning_rate=0.25)
        cached = live.reader.table(handle)
        await until(lambda: cached.row(3).visits == (0, 1, 0) and not live.reader.is_away)  # type: ignore[union-attr]
        assert live.reader.counters.reconnects >= 1


async def test_lookups_outlast_the_death_of_the_server(server_directory: Path) -> None:
    server = EmbeddedServer(server_directory / "mortal-reader", settings=THROWAWAY_SETTINGS)
    url = server.start()
    try:
        await migrate(url)
        reading = ReaderSettings(deadline_seconds=0.3, check_seconds=0.1)
        async with (
            Store.connect(url) as store,
            store.live(LiveSettings(deadline_seconds=60), reading) as live,
        ):
            handle = await store.q_tables.ensure("individual", "tester", FINGERPRINT, 7, ["a", "b", "c"])
            await live.writer.record(handle, experience(0), target=8.0, learning_rate=0.25)
            before = await row_of(live, handle, 3)
            postmaster = server.status().pid
            assert postmaster is not None
            os.kill(postmaster, signal.SIGKILL)
            await until(lambda: live.reader.is_away)
            # Cached rows are served, and counted; others are refused by name at the deadline.
            assert live.reader.table(handle).row(3) == before
            assert live.reader.counters.hits_while_away > 0
            refused = await asyncio.gather(
                *(row_of(live, handle, state) for state in (4, 5, 4)), return_exceptions=True
            )
            assert [type(error) for error in refused] == [DatabaseUnavailableError] * 3
            assert "no answer from the database within 0.3 s" in str(refused[0])
            assert live.reader.counters.deadlines == 3
            server.stop()
            server.start()
            await until(lambda: not live.reader.is_away)
            assert await row_of(live, handle, 4) == empty_row(3)
            assert await row_of(live, handle, 3) == before
    finally:
        server.stop()


async def test_a_lookup_that_waits_through_a_restart_is_answered(server_directory: Path) -> None:
    server = EmbeddedServer(server_directory / "resting-reader", settings=THROWAWAY_SETTINGS)
    url = server.start()
    try:
        await migrate(url)
        async with (
            Store.connect(url) as store,
            store.live(reading=ReaderSettings(deadline_seconds=PATIENCE_SECONDS)) as live,
        ):
            handle = await store.q_tables.ensure("individual", "tester", FINGERPRINT, 5_000, ["a", "b", "c"])
            server.stop()
            waiting = [asyncio.create_task(row_of(live, handle, state)) for state in range(1_000)]
            await asyncio.sleep(0.1)
            assert not any(task.done() for task in waiting)
            server.start()
            assert await asyncio.gather(*waiting) == [empty_row(3)] * 1_000
            assert live.reader.counters.deadlines == 0
    finally:
        server.stop()


async def test_what_waits_when_lookups_are_closed_is_told_so(store: Store, handle: TableHandle) -> None:
    async with store.live() as live:
        table = live.reader.table(handle)
        live.reader._asking.kept._task.cancel()  # type: ignore[union-attr]
        waiting = asyncio.create_task(live.reader.rows([(table, 1)]))
        await asyncio.sleep(0)
    with pytest.raises(DatabaseUnavailableError, match="lookups were closed"):
        await waiting


async def test_a_table_that_does_not_exist_is_named(live: Live, handle: TableHandle) -> None:
    with pytest.raises(StoreError, match="there is no individual table tester with key 99"):
        await row_of(live, replace(handle, q_table_id=99), 1)


async def test_the_query_finds_rows_by_their_key_however_small_the_table(
    store: Store, database_url: str
) -> None:
    async with store.live() as live:
        handle = await store.q_tables.ensure("individual", "tester", FINGERPRINT, 7, ["a", "b", "c"])
        await row_of(live, handle, 1)
        connection = await live.reader._asking.kept._connect()
        try:
            from qe_core.store.statements import STATEMENTS

            await connection.fetchrow(STATEMENTS["insist_on_indexes"])
            plan = await connection.fetch(
                "EXPLAIN " + STATEMENTS["read_live_rows"].replace("$1", "'{1}'").replace("$2", "'{1}'")
            )
        finally:
            await connection.close()
    text = "\n".join(line[0] for line in plan)
    assert "Index Scan using q_values_pkey" in text
    assert "Seq Scan" not in text
