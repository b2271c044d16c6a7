"""Many writers at once: nothing lost, nothing twice, nothing half, nobody stuck."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import psycopg2
import pytest

from qe_core.errors import StoreError
from qe_core.learning.experience import Transitions
from qe_core.learning.q_table import QTable, quantised_weights
from qe_core.store import Rebuild, Store, TableHandle, migrate
from qe_core.store.live import Live
from qe_core.store.server import EmbeddedServer
from tests.conftest import THROWAWAY_SETTINGS
from tests.integration.store.rows import experiences
from tests.integration.store.writer import FINGERPRINT, PER_BATCH, record

WRITER = Path(__file__).with_name("writer.py")


@pytest.fixture
async def handle(store: Store) -> TableHandle:
    """The table that writers in processes of their own write to."""
    return await store.q_tables.ensure("individual", "tester", FINGERPRINT, 40, ["a", "b", "c"])


def start_writer(url: str, name: str, flushes: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(WRITER), url, name, str(flushes)], stdout=subprocess.PIPE, text=True
    )


def table_of(log: Transitions) -> QTable:
    """Return a table whose visits, means and deviations are exactly those of the log's rewards."""
    table = QTable.zeros(40, 3)
    for state, action, reward in zip(log.state, log.action, log.reward, strict=True):
        before, count = table.target_mean[state, action], table.visits[state, action] + 1
        table.visits[state, action] = count
        table.target_mean[state, action] += (reward - before) / count
        table.target_m2[state, action] += (reward - before) * (reward - table.target_mean[state, action])
    return table


async def assert_table_and_log_agree(store: Store, batches: int | None = None) -> None:
    """Every logged experience is in the table exactly once, and nothing else is."""
    log = await store.experiences.load_transitions("tester", FINGERPRINT)
    stored = await store.q_tables.load("individual", "tester", FINGERPRINT)
    expected = table_of(log)
    np.testing.assert_array_equal(stored.table.visits, expected.visits)
    np.testing.assert_allclose(stored.table.target_mean, expected.target_mean, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(stored.table.target_m2, expected.target_m2, rtol=1e-9, atol=1e-6)
    if batches is not None:
        assert len(log) == batches * PER_BATCH


async def test_three_processes_on_skewed_pairs_lose_nothing_and_meet_no_deadlock(
    store: Store, handle: TableHandle, database_url: str
) -> None:
    writers = [start_writer(database_url, name, 24) for name in ("one", "two", "three")]
    outputs = [writer.communicate(timeout=240)[0].splitlines() for writer in writers]
    assert [len(output) for output in outputs] == [24] * 3
    await assert_table_and_log_agree(store, batches=72)
    assert deadlocks(database_url) == 0


@pytest.mark.parametrize("after_lines", [1, 7, 30])
async def test_a_killed_writer_leaves_whole_batches_only(
    store: Store, handle: TableHandle, database_url: str, after_lines: int
) -> None:
    writer = start_writer(database_url, "doomed", 100_000)
    assert writer.stdout is not None
    acknowledged = {writer.stdout.readline() for _ in range(after_lines)}
    writer.kill()
    acknowledged |= {
        line for line in writer.communicate()[0].splitlines(keepends=True) if line.endswith("\n")
    }
    await wait_for_other_sessions(database_url)
    await assert_table_and_log_agree(store)
    [count] = await store.experiences.counts()
    batches = count.experiences // PER_BATCH
    assert count.experiences % PER_BATCH == 0
    assert len(acknowledged) <= batches <= len(acknowledged) + 4


def deadlocks(url: str) -> int:
    """Return how many deadlocks the server has broken in this database."""
    with closing(psycopg2.connect(url)) as session, session.cursor() as cursor:
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        found = cursor.fetchone()
    assert found is not None
    return int(found[0])


async def wait_for_other_sessions(url: str) -> None:
    """Wait until the server noticed that a killed writer is gone."""
    with psycopg2.connect(url) as session, session.cursor() as cursor:
        for _ in range(200):
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state <> 'idle'"
                " AND pid <> pg_backend_pid()"
            )
            if cursor.fetchone() == (0,):
                break
            await asyncio.sleep(0.05)
    session.close()


async def test_records_outlast_the_death_of_the_server(server_directory: Path) -> None:
    server = EmbeddedServer(server_directory / "mortal", settings=THROWAWAY_SETTINGS)
    url = server.start()
    try:
        await migrate(url)
        async with Store.connect(url) as store, store.live() as live:
            handle = await store.q_tables.ensure("individual", "tester", FINGERPRINT, 40, ["a", "b", "c"])
            for number in range(20):
                await record(live, handle, "survivor", number)
            postmaster = server.status().pid
            assert postmaster is not None
            os.kill(postmaster, signal.SIGKILL)
            waiting = [
                asyncio.create_task(record(live, handle, "survivor", number)) for number in range(20, 60)
            ]
            await asyncio.to_thread(server.start)
            await asyncio.gather(*waiting)
            assert live.writer.counters.failed_attempts > 0
            await assert_table_and_log_agree(store, batches=60)
    finally:
        server.stop()


async def test_rebuilds_published_while_agents_write_lose_nothing(store: Store, handle: TableHandle) -> None:
    async def recompute() -> Rebuild:
        stored = await store.q_tables.load("individual", "tester", FINGERPRINT)
        table = table_of(await store.experiences.load_transitions("tester", FINGERPRINT))
        return Rebuild(table, quantised_weights(table), stored.version, {})

    async def write(live: Live, name: str) -> None:
        for number in range(12):
            await record(live, handle, name, number)
            await asyncio.sleep(0.02)

    async def rebuild() -> None:
        for _ in range(4):
            await store.q_tables.publish_with_retry(handle, recompute, attempts=60)

    async with store.live() as live:
        await asyncio.gather(write(live, "one"), write(live, "two"), rebuild())
    await assert_table_and_log_agree(store, batches=24)


async def test_of_many_publications_from_one_version_exactly_one_wins(
    store: Store, handle: TableHandle
) -> None:
    async def publish(number: int) -> bool:
        table = QTable.zeros(40, 3)
        table.q[:] = float(number + 1)
        try:
            await store.q_tables.publish(handle, table, np.zeros((40, 3)), 0, {"number": number})
        except StoreError:
            return False
        return True

    won = await asyncio.gather(*(publish(number) for number in range(12)))
    assert sum(won) == 1
    stored = await store.q_tables.load("individual", "tester", FINGERPRINT)
    assert stored.source == {"number": won.index(True)}
    assert (store.counters.version_conflicts, store.counters.publishes) == (11, 1)


async def test_a_reader_sees_one_whole_version_while_others_publish(
    store: Store, handle: TableHandle
) -> None:
    async def publish() -> None:
        for number in range(1, 25):
            table = QTable.zeros(40, 3)
            table.q[:] = float(number)
            await store.q_tables.publish(handle, table, np.zeros((40, 3)), number - 1, {"number": number})

    async def read() -> set[int]:
        versions = set()
        for _ in range(25):
            stored = await store.q_tables.load("individual", "tester", FINGERPRINT)
            assert (stored.table.q == float(stored.version)).all()
            versions.add(stored.version)
        return versions

    _, seen, _ = await asyncio.gather(publish(), read(), read())
    assert len(seen) > 1


async def test_overlapping_appends_in_different_orders_store_each_row_once(store: Store) -> None:
    rows = experiences(300)
    rng = np.random.default_rng(5)

    async def append() -> int:
        order = rng.permutation(300)
        mixed = {
            name: [values[place] for place in order] if isinstance(values, list) else values[order]
            for name, values in rows.items()
            if isinstance(values, list | np.ndarray)
        }
        return await store.experiences.append({**rows, **mixed})

    appended = await asyncio.gather(*(append() for _ in range(8)))
    assert sum(appended) == 300
    assert (await store.experiences.counts())[0].experiences == 300
    assert store.counters.deadlocks == 0


async def test_many_sessions_may_need_the_same_new_partition_at_once(database_url: str) -> None:
    async def append(number: int) -> int:
        async with Store.connect(database_url, pool_size=1) as store:
            return await store.experiences.append(experiences(10, source=f"import:{number}"))

    assert await asyncio.gather(*(append(number) for number in range(6))) == [10] * 6


async def test_registering_one_table_from_many_tasks_makes_one_table(store: Store) -> None:
    handles = await asyncio.gather(
        *(store.q_tables.ensure("fleet", "fleet", "f", 4, ["quick"]) for _ in range(8))
    )
    assert len({handle.q_table_id for handle in handles}) == 1


@pytest.fixture
def fresh_server(server_directory: Path) -> Iterator[EmbeddedServer]:
    """A server without the product's databases."""
    with EmbeddedServer(server_directory / "fresh", settings=THROWAWAY_SETTINGS) as server:
        yield server


def test_processes_migrating_an_empty_server_at_once_do_no_harm(fresh_server: EmbeddedServer) -> None:
    program = (
        "import asyncio, sys; from qe_core.store import migrate;"
        "sys.stdout.write(str(asyncio.run(migrate(sys.argv[1])).from_revision))"
    )
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", program, fresh_server.url()], stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    seen = sorted(racer.communicate(timeout=240)[0] for racer in racers)
    assert [racer.returncode for racer in racers] == [0, 0, 0]
    assert seen.count("None") == 1
