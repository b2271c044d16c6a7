"""Recording through the write path into a real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from qe_core.errors import DatabaseUnavailableError, StoreError
from qe_core.learning.affine_updates import AffineUpdates
from qe_core.learning.q_table import QTable
from qe_core.store import StaleEpochError, Store, TableHandle
from qe_core.store.errors import QueueFullError
from qe_core.store.live import Acknowledgement, Experience, Live, LiveSettings, UpdateBatch
from tests.conftest import execute
from tests.integration.store.rows import FINGERPRINT


@pytest.fixture
async def live(store: Store) -> AsyncIterator[Live]:
    async with store.live() as opened:
        yield opened


def experience(number: int = 0, state: int = 3, action: int = 1, reward: float = 5.0) -> Experience:
    return Experience(datetime.now(UTC), f"episode-{number}", 0, state, action, reward, 4, False, False, 0.5)


def batch(seed: int, count: int, handle: TableHandle) -> UpdateBatch:
    """Return random records on skewed pairs."""
    rng = np.random.default_rng(seed)
    return UpdateBatch(
        state=np.minimum(rng.zipf(1.3, count) - 1, handle.state_count - 1),
        action=rng.integers(0, handle.action_count, count),
        target=rng.normal(scale=20.0, size=count),
        learning_rate=rng.uniform(0.0, 1.0, count),
        occurred_at=1_770_000_000_000_000 + np.arange(count),
        episode=[f"batch-{seed}-{row}" for row in range(count)],
        step=np.zeros(count, dtype=np.int64),
        reward=rng.uniform(-100.0, 100.0, count),
        next_state=rng.integers(0, handle.state_count, count),
        terminated=np.zeros(count, dtype=bool),
        truncated=np.ones(count, dtype=bool),
        propensity=rng.uniform(0.01, 1.0, count),
        success=rng.integers(-1, 2, count),
    )


async def loaded(store: Store, handle: TableHandle) -> QTable:
    return (await store.q_tables.load(handle.level, handle.name, handle.fingerprint)).table


async def test_a_record_is_durable_when_it_returns(store: Store, live: Live, handle: TableHandle) -> None:
    acknowledged = await live.writer.record(handle, experience(), target=8.0, learning_rate=0.25)
    assert acknowledged == Acknowledgement(handle.q_table_id, 1, is_repeated=False)
    table = await loaded(store, handle)
    assert table.q[3, 1] == 2.0
    assert (table.visits[3, 1], table.target_mean[3, 1], table.target_m2[3, 1]) == (1, 8.0, 0.0)
    transitions = await store.experiences.load_transitions("tester", FINGERPRINT)
    assert (transitions.state.tolist(), transitions.reward.tolist()) == ([3], [5.0])


async def test_many_flushes_equal_sequential_updates(store: Store, live: Live, handle: TableHandle) -> None:
    batches = [batch(seed, 3_000, handle) for seed in range(4)]
    expected = QTable.zeros(handle.state_count, handle.action_count)
    for of in batches:
        for row in range(3_000):
            one = AffineUpdates.from_targets(*(np.asarray(column)[[row]] for column in _update(of)))
            expected = one.apply(expected)
        await live.writer.record_many(handle, of)
    table = await loaded(store, handle)
    np.testing.assert_array_equal(table.visits, expected.visits)
    np.testing.assert_allclose(table.q, expected.q, rtol=0, atol=1e-11)
    np.testing.assert_allclose(table.target_mean, expected.target_mean, rtol=0, atol=1e-11)
    np.testing.assert_allclose(table.target_m2, expected.target_m2, rtol=1e-12)
    assert live.writer.counters.flushes == 4


async def test_every_column_arrives_in_the_log(store: Store, live: Live, handle: TableHandle) -> None:
    of = batch(1, 50, handle)
    await live.writer.record_many(handle, of)
    stored = await store.experiences.read_columns("tester", 0, 100)
    for name in (
        "episode",
        "state",
        "action",
        "reward",
        "next_state",
        "terminated",
        "truncated",
        "propensity",
    ):
        assert stored[name].to_pylist() == np.asarray(getattr(of, name)).tolist()
    known = [None if value < 0 else bool(value) for value in np.asarray(of.success)]
    assert stored["success"].to_pylist() == known
    assert set(stored["exploration_rate"].to_pylist()) == {None}
    assert set(stored["policy_version"].to_pylist()) == {None}
    assert set(stored["source"].to_pylist()) == {"agent"}
    assert stored["occurred_at"].cast("int64").to_pylist() == np.asarray(of.occurred_at).tolist()


async def test_records_that_wait_together_share_flushes(live: Live, handle: TableHandle) -> None:
    acknowledged = await asyncio.gather(
        *(live.writer.record(handle, experience(number), 1.0, 0.1) for number in range(500))
    )
    assert live.writer.counters.updates == 500
    assert live.writer.counters.flushes < 50
    assert [of.version for of in acknowledged] == sorted(of.version for of in acknowledged)


async def test_updates_without_experiences_leave_the_log_alone(
    store: Store, live: Live, handle: TableHandle
) -> None:
    await live.writer.record_many(handle, UpdateBatch([1, 1], [0, 0], [4.0, 6.0], [0.5, 0.5]))
    table = await loaded(store, handle)
    assert (table.q[1, 0], table.visits[1, 0], table.target_mean[1, 0]) == (4.0, 2, 5.0)
    assert await store.experiences.counts() == []


async def test_values_that_shrink_towards_zero_do_not_stop_the_path(
    store: Store, live: Live, handle: TableHandle
) -> None:
    for _ in range(4):
        await live.writer.record_many(handle, UpdateBatch([2] * 900, [1] * 900, [1e-200] * 900, [0.9] * 900))
    assert abs((await loaded(store, handle)).q[2, 1]) < 1e-150


async def test_pending_updates_are_seen_until_the_commit_reports_them(
    live: Live, handle: TableHandle
) -> None:
    committed: list[tuple[int, int, list[int]]] = []
    live.writer.on_commit(
        lambda table, version, updates: committed.append((table, version, updates.state.tolist()))
    )
    waiting = asyncio.create_task(live.writer.record(handle, experience(), 8.0, 0.25))
    await asyncio.sleep(0)
    assert live.writer.pending(handle.q_table_id, 3) == [(1, 8.0, 0.25)]
    assert live.writer.pending(handle.q_table_id, 4) == []
    await waiting
    assert live.writer.pending(handle.q_table_id, 3) == []
    assert committed == [(handle.q_table_id, 1, [3])]


async def test_a_stale_epoch_is_refused_whole_and_other_tables_go_on(
    store: Store, live: Live, handle: TableHandle
) -> None:
    other = await store.q_tables.ensure("individual", "neighbour", FINGERPRINT, 7, ["plan", "act", "stop"])
    fresh = await store.q_tables.raise_epoch(handle)
    stale, accepted, elsewhere = await asyncio.gather(
        live.writer.record_many(handle, batch(1, 10, handle)),
        live.writer.record(fresh, experience(), 1.0, 0.1),
        live.writer.record(other, experience(), 1.0, 0.1),
        return_exceptions=True,
    )
    assert isinstance(stale, StaleEpochError)
    assert isinstance(accepted, Acknowledgement)
    assert isinstance(elsewhere, Acknowledgement)
    assert live.writer.counters.refused_updates == 10
    assert live.writer.counters.queue_length == 0
    assert (await loaded(store, handle)).visits.sum() == 1
    assert {of.agent: of.experiences for of in await store.experiences.counts()} == {
        "tester": 1,
        "neighbour": 1,
    }


async def test_a_missing_partition_is_made_on_the_way(
    store: Store, database_url: str, handle: TableHandle
) -> None:
    drop = (
        "DO $$ DECLARE part regclass; BEGIN FOR part IN SELECT inhrelid::regclass FROM pg_inherits "
        "WHERE inhparent = 'experience_chunks'::regclass LOOP EXECUTE 'DROP TABLE ' || part; END LOOP; END $$"
    )
    execute(database_url, drop)
    async with store.live() as live:
        await live.writer.record(handle, experience(), 1.0, 0.1)
    assert len(await store.experiences.load_transitions("tester", FINGERPRINT)) == 1


async def test_a_full_queue_makes_callers_wait_and_then_says_so(
    store: Store, database_url: str, handle: TableHandle
) -> None:
    settings = LiveSettings(queue_limit=10, deadline_seconds=1.0)
    async with store.live(settings) as live, locked(store, handle):
        first = asyncio.create_task(live.writer.record_many(handle, batch(1, 10, handle)))
        await asyncio.sleep(0)
        with pytest.raises(QueueFullError, match="queue holds 10"):
            await live.writer.record(handle, experience(), 1.0, 0.1)
        assert isinstance((await asyncio.gather(first, return_exceptions=True))[0], DatabaseUnavailableError)
    assert (await loaded(store, handle)).visits.sum() == 10, "the flush on its way is applied once it can be"


async def test_waiting_callers_go_on_when_there_is_room_again(
    store: Store, live: Live, handle: TableHandle
) -> None:
    small = LiveSettings(queue_limit=10)
    async with store.live(small) as tight:
        await asyncio.gather(*(tight.writer.record(handle, experience(n), 1.0, 0.1) for n in range(100)))
    assert (await loaded(store, handle)).visits.sum() == 100


async def test_a_cancelled_caller_does_not_take_its_record_back(
    store: Store, live: Live, handle: TableHandle
) -> None:
    waiting = asyncio.create_task(live.writer.record(handle, experience(), 1.0, 0.1))
    await asyncio.sleep(0)
    waiting.cancel()
    await live.writer.drain()
    assert (await loaded(store, handle)).visits.sum() == 1
    assert live.writer.counters.queue_length == 0


async def test_closing_commits_what_is_queued(store: Store, handle: TableHandle) -> None:
    async with store.live() as live:
        tasks = [asyncio.create_task(live.writer.record(handle, experience(n), 1.0, 0.1)) for n in range(20)]
        await asyncio.sleep(0)
    assert all(isinstance(of, Acknowledgement) for of in await asyncio.gather(*tasks))
    with pytest.raises(StoreError, match="closed"):
        await live.writer.record(handle, experience(), 1.0, 0.1)


async def test_a_refusal_of_the_database_fails_its_flush_and_no_other(
    store: Store, live: Live, database_url: str, handle: TableHandle
) -> None:
    execute(database_url, "ALTER TABLE q_values ADD CONSTRAINT no_third CHECK (state <> 3)")
    with pytest.raises(StoreError, match="no_third"):
        await live.writer.record(handle, experience(state=3), 1.0, 0.1)
    await live.writer.record(handle, experience(state=2), 1.0, 0.1)
    assert (await loaded(store, handle)).visits.sum() == 1
    assert live.writer.counters.queue_length == 0


async def test_a_table_that_does_not_exist_is_refused(live: Live, handle: TableHandle) -> None:
    with pytest.raises(StaleEpochError):
        await live.writer.record(replace(handle, q_table_id=999_999), experience(), 1.0, 0.1)


def _update(of: UpdateBatch) -> tuple[object, ...]:
    return of.state, of.action, of.target, of.learning_rate


@asynccontextmanager
async def locked(store: Store, handle: TableHandle) -> AsyncIterator[None]:
    """Hold a table's line against every writer."""
    async with store._database.transaction() as connection:
        hold = "SELECT FROM q_tables WHERE q_table_id = $1 FOR UPDATE"
        await connection.execute(hold, handle.q_table_id)
        yield
