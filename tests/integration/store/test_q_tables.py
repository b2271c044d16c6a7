"""Registering, publishing, reading and updating Q-tables in a real PostgreSQL."""

import asyncio
from datetime import datetime

import numpy as np
import psycopg2
import pytest

from qe_core.errors import FingerprintMismatchError, StoreError, VersionConflictError
from qe_core.learning.affine_updates import AffineUpdates
from qe_core.learning.q_table import QTable, quantised_weights
from qe_core.store import Rebuild, StaleEpochError, Store, TableHandle
from qe_core.store.live import Live, UpdateBatch
from tests.integration.store.rows import FINGERPRINT
from tests.recording import record

ACTIONS = ["plan", "act", "stop"]


def random_table(seed: int = 0, states: int = 7, actions: int = 3) -> QTable:
    """Return a table whose rows 2 and 5 hold nothing."""
    rng = np.random.default_rng(seed)
    shape = (states, actions)
    q = rng.normal(scale=30.0, size=shape)
    visits = rng.integers(1, 100, size=shape)
    mean, m2 = rng.normal(size=shape), rng.random(size=shape)
    for array in (q, visits, mean, m2):
        array[[2, 5]] = 0
    return QTable(q, visits, mean, m2)


async def publish(store: Store, handle: TableHandle, table: QTable, version: int = 0) -> int:
    """Publish a table with its own weights and return the new version."""
    result = await store.q_tables.publish(handle, table, quantised_weights(table), version, {"seed": 0})
    return result.version


def assert_same_bits(left: QTable, right: QTable) -> None:
    for name in ("q", "visits", "target_mean", "target_m2"):
        np.testing.assert_array_equal(getattr(left, name).view(np.int64), getattr(right, name).view(np.int64))


def stored_lines(url: str) -> list[tuple[object, ...]]:
    """Return everything stored about tables and rows, with times and versions."""
    with psycopg2.connect(url) as session, session.cursor() as cursor:
        cursor.execute("SELECT q_tables::text FROM q_tables UNION ALL SELECT q_values::text FROM q_values")
        lines = sorted(cursor.fetchall())
    session.close()
    return lines


async def test_ensure_registers_once_and_then_returns_the_same_table(
    store: Store, handle: TableHandle
) -> None:
    again = await store.q_tables.ensure("individual", "tester", FINGERPRINT, 7, ACTIONS)
    assert again == handle
    assert (again.state_count, again.action_names, again.replaced_fingerprint) == (7, tuple(ACTIONS), None)


async def test_a_changed_contract_starts_a_new_table_and_says_which_it_replaced(
    store: Store, handle: TableHandle
) -> None:
    new = await store.q_tables.ensure("individual", "tester", "contract-2", 9, [*ACTIONS, "wait"])
    assert new.q_table_id != handle.q_table_id
    assert new.replaced_fingerprint == FINGERPRINT
    assert (await store.q_tables.load("individual", "tester", "contract-2")).table.q.shape == (9, 4)


async def test_writers_of_a_replaced_table_are_refused(store: Store, handle: TableHandle) -> None:
    await store.q_tables.ensure("individual", "tester", "contract-2", 7, ACTIONS)
    with pytest.raises(StaleEpochError, match=r"Take a new handle with ensure\(\)"):
        await publish(store, handle, random_table())
    with pytest.raises(StaleEpochError, match="replaced after epoch 0"):
        await store.q_tables.raise_epoch(handle)


async def test_one_fingerprint_cannot_stand_for_two_shapes(store: Store, handle: TableHandle) -> None:
    with pytest.raises(FingerprintMismatchError, match="a changed contract needs a new fingerprint"):
        await store.q_tables.ensure("individual", "tester", FINGERPRINT, 8, ACTIONS)


async def test_names_are_separate_between_levels(store: Store, handle: TableHandle) -> None:
    category = await store.q_tables.ensure("category", "tester", FINGERPRINT, 3, ["quick"])
    assert category.q_table_id != handle.q_table_id
    assert [line.level for line in await store.q_tables.list_tables()] == ["individual", "category"]


async def test_a_published_table_reads_back_bit_for_bit(store: Store, handle: TableHandle) -> None:
    table = random_table()
    awkward = [0.1 + 0.2, 5e-324, np.nextafter(100.0, 101.0), -1 / 3]
    table.q[0, 0], table.q[0, 1], table.q[0, 2], table.q[1, 0] = awkward
    version = await publish(store, handle, table)
    stored = await store.q_tables.load("individual", "tester", FINGERPRINT)
    assert_same_bits(stored.table, table)
    np.testing.assert_array_equal(stored.weights, quantised_weights(table))
    assert (stored.version, stored.source, stored.epoch) == (version, {"seed": 0}, 0)
    assert stored.q_table_id == handle.q_table_id


async def test_a_loaded_but_never_published_table_is_zero(store: Store, handle: TableHandle) -> None:
    stored = await store.q_tables.load("individual", "tester", FINGERPRINT)
    assert_same_bits(stored.table, QTable.zeros(7, 3))
    assert (stored.version, stored.source) == (0, {})


async def test_only_states_that_hold_something_get_a_row(store: Store, handle: TableHandle) -> None:
    table = random_table()
    table.q[2, 1] = 4.0  # A transferred prior: a value without visits.
    await publish(store, handle, table)
    [line] = await store.q_tables.list_tables()
    assert (line.states, line.updates) == (6, int(table.visits.sum()))


async def test_publishing_an_unchanged_table_writes_nothing(
    store: Store, handle: TableHandle, database_url: str
) -> None:
    version = await publish(store, handle, random_table())
    before = stored_lines(database_url)
    table = random_table()
    result = await store.q_tables.publish(handle, table, quantised_weights(table), version, {"seed": "other"})
    assert not result.is_changed
    assert result.version == version
    assert stored_lines(database_url) == before
    assert store.counters.unchanged_publishes == 1


async def test_publishing_writes_changed_rows_only_and_removes_emptied_ones(
    store: Store, handle: TableHandle
) -> None:
    version = await publish(store, handle, random_table())
    table = random_table()
    table.q[3, 0] += 1.0
    for array in (table.q, table.visits, table.target_mean, table.target_m2):
        array[6] = 0
    result = await store.q_tables.publish(handle, table, quantised_weights(table), version, {})
    assert (result.rows_written, result.rows_removed, result.version) == (1, 1, version + 1)
    assert_same_bits((await store.q_tables.load("individual", "tester", FINGERPRINT)).table, table)


async def test_negative_zero_is_stored_as_zero(store: Store, handle: TableHandle) -> None:
    table = random_table()
    table.q[0, 0] = -0.0
    version = await publish(store, handle, table)
    stored = await store.q_tables.load("individual", "tester", FINGERPRINT)
    assert not np.signbit(stored.table.q[0, 0])
    assert await publish(store, handle, table, version) == version


async def test_a_stale_version_is_refused_and_changes_nothing(
    store: Store, handle: TableHandle, database_url: str
) -> None:
    await publish(store, handle, random_table(0))
    before = stored_lines(database_url)
    with pytest.raises(VersionConflictError, match="is at version 1, not 0"):
        await publish(store, handle, random_table(1))
    assert stored_lines(database_url) == before
    assert store.counters.version_conflicts == 1


async def test_a_conflicting_publication_is_recomputed_and_then_succeeds(
    store: Store, handle: TableHandle
) -> None:
    seen: list[int] = []

    async def recompute() -> Rebuild:
        stored = await store.q_tables.load("individual", "tester", FINGERPRINT)
        seen.append(stored.version)
        if len(seen) < 3:
            await publish(store, handle, random_table(len(seen)), stored.version)
        table = random_table(9)
        return Rebuild(table, quantised_weights(table), stored.version, {})

    result = await store.q_tables.publish_with_retry(handle, recompute)
    assert (result.attempts, seen) == (3, [0, 1, 2])
    assert (store.counters.version_conflicts, store.counters.retries) == (2, 2)
    assert_same_bits((await store.q_tables.load("individual", "tester", FINGERPRINT)).table, random_table(9))


async def test_retries_are_bounded_and_end_in_a_clear_error(store: Store, handle: TableHandle) -> None:
    table = random_table()
    await publish(store, handle, table)

    async def recompute() -> Rebuild:
        return Rebuild(table, quantised_weights(table), 0, {})

    with pytest.raises(VersionConflictError, match="each of 3 attempts"):
        await store.q_tables.publish_with_retry(handle, recompute, attempts=3)
    assert store.counters.version_conflicts == 3


async def test_a_table_that_never_rests_is_rebuilt_all_the_same(store: Store, handle: TableHandle) -> None:
    async def recompute() -> Rebuild:
        stored = await store.q_tables.load("individual", "tester", FINGERPRINT)
        await asyncio.sleep(0.05)
        return Rebuild(stored.table, quantised_weights(stored.table), stored.version, {"rebuilt": True})

    async def write(live: Live, done: asyncio.Event) -> int:
        count = 0
        while not done.is_set():
            await live.writer.record_many(handle, UpdateBatch([3], [1], [float(count)], [0.5]))
            count += 1
        return count

    done = asyncio.Event()
    async with store.live() as live:
        writing = asyncio.create_task(write(live, done))
        await asyncio.sleep(0.05)
        result = await store.q_tables.publish_with_retry(handle, recompute, attempts=3)
        done.set()
        count = await writing
    assert (result.attempts, store.counters.version_conflicts, store.counters.retries) == (3, 2, 2)
    stored = await store.q_tables.load("individual", "tester", FINGERPRINT)
    assert stored.table.visits.sum() == count
    [line] = await store.q_tables.list_tables()
    assert (line.publications, line.publication_conflicts) == (1, 2)


async def test_a_raised_epoch_refuses_older_handles_at_once_without_retry(
    store: Store, handle: TableHandle
) -> None:
    new = await store.q_tables.raise_epoch(handle)
    table = random_table()

    async def recompute() -> Rebuild:
        return Rebuild(table, quantised_weights(table), 0, {})

    with pytest.raises(StaleEpochError, match="refused whole"):
        await store.q_tables.publish_with_retry(handle, recompute)
    with pytest.raises(StaleEpochError, match="refused whole"):
        await record(store, handle, UpdateBatch([0], [0], [1.0], [0.5]))
    assert (store.counters.refused_epochs, store.counters.retries) == (1, 0)
    assert await publish(store, new, table) == 1


async def test_values_that_are_not_finite_are_refused_by_name(store: Store, handle: TableHandle) -> None:
    table = random_table()
    table.q[3, 1] = np.nan
    with pytest.raises(StoreError, match="q of the individual table tester is nan at state 3, action 1"):
        await publish(store, handle, table)


async def test_a_table_of_another_shape_is_refused(store: Store, handle: TableHandle) -> None:
    with pytest.raises(StoreError, match=r"has shape \(7, 3\), got values of shape \(8, 3\)"):
        await publish(store, handle, random_table(states=8))


async def test_loading_under_another_contract_is_refused(store: Store, handle: TableHandle) -> None:
    with pytest.raises(FingerprintMismatchError, match="learned under contract contract-1, not contract-9"):
        await store.q_tables.load("individual", "tester", "contract-9")


async def test_loading_a_table_nobody_registered_says_so(store: Store) -> None:
    with pytest.raises(StoreError, match="there is no fleet table fleet yet"):
        await store.q_tables.load("fleet", "fleet", FINGERPRINT)


@pytest.mark.parametrize(
    ("level", "name", "fingerprint", "states", "actions", "rule"),
    [
        ("region", "tester", FINGERPRINT, 7, ACTIONS, "q_tables_level_is_known"),
        ("fleet", "", FINGERPRINT, 7, ACTIONS, "q_tables_name_is_given"),
        ("fleet", "fleet", "", 7, ACTIONS, "q_tables_name_is_given"),
        ("fleet", "fleet", FINGERPRINT, 0, ACTIONS, "q_tables_shape_is_positive"),
        ("fleet", "fleet", FINGERPRINT, 7, [], "q_tables_shape_is_positive"),
    ],
)
async def test_an_impossible_registration_names_the_rule(
    store: Store, level: str, name: str, fingerprint: str, states: int, actions: list[str], rule: str
) -> None:
    with pytest.raises(StoreError, match=rule):
        await store.q_tables.ensure(level, name, fingerprint, states, actions)  # type: ignore[arg-type]
    assert await store.q_tables.list_tables() == []


async def test_updates_in_the_database_equal_updates_in_memory(store: Store, handle: TableHandle) -> None:
    table = random_table()
    await publish(store, handle, table)
    rng = np.random.default_rng(3)
    columns = rng.integers(0, 7, 200), rng.integers(0, 3, 200), rng.normal(size=200), rng.random(200)
    await record(store, handle, UpdateBatch(*columns))
    stored = await store.q_tables.load("individual", "tester", FINGERPRINT)
    expected = AffineUpdates.from_targets(*columns).apply(table)
    np.testing.assert_array_equal(stored.table.visits, expected.visits)
    for name in ("q", "target_mean", "target_m2"):
        found, wanted = getattr(stored.table, name), getattr(expected, name)
        np.testing.assert_allclose(found, wanted, rtol=1e-13, atol=1e-12)
    np.testing.assert_array_equal(stored.weights, quantised_weights(table), "weights are left as published")
    assert stored.version == 2


async def test_a_value_may_shrink_to_nothing(store: Store, handle: TableHandle) -> None:
    table = random_table()
    table.q[0, 0] = 5e-324
    await publish(store, handle, table)
    await record(store, handle, UpdateBatch([0], [0], [0.0], [0.9]))
    assert (await store.q_tables.load("individual", "tester", FINGERPRINT)).table.q[0, 0] == 0.0


async def test_tables_are_listed_by_level_and_name_with_their_sums(store: Store, handle: TableHandle) -> None:
    await publish(store, handle, random_table())
    await store.q_tables.ensure("fleet", "fleet", "f", 4, ["quick"])
    await store.q_tables.ensure("individual", "another", "a", 4, ["quick"])
    lines = await store.q_tables.list_tables()
    assert [(line.level, line.name) for line in lines] == [
        ("individual", "another"),
        ("individual", "tester"),
        ("fleet", "fleet"),
    ]
    assert [line.updates for line in lines] == [0, int(random_table().visits.sum()), 0]
    assert isinstance(lines[0].updated_at, datetime)


async def test_the_long_view_spells_out_one_row_per_state_and_action(
    store: Store, handle: TableHandle, database_url: str
) -> None:
    table = random_table()
    await publish(store, handle, table)
    with psycopg2.connect(database_url) as session, session.cursor() as cursor:
        cursor.execute("SELECT state, action_index, action_name, q, visits FROM q_values_long ORDER BY 1, 2")
        lines = cursor.fetchall()
    session.close()
    expected = [
        (state, action, ACTIONS[action], table.q[state, action], table.visits[state, action])
        for state in (0, 1, 3, 4, 6)
        for action in range(3)
    ]
    assert lines == expected


async def test_a_row_another_tool_damaged_is_refused_by_name(
    store: Store, handle: TableHandle, database_url: str
) -> None:
    with psycopg2.connect(database_url) as session, session.cursor() as cursor:
        cursor.execute(
            "INSERT INTO q_values (q_table_id, state, q, visits, target_mean, target_m2, weights)"
            " VALUES (%s, 1, '{1,2}', '{1,2}', '{1,2}', '{1,2}', '{1,2}')",
            (handle.q_table_id,),
        )
    session.close()
    with pytest.raises(StoreError, match="an array has another length than the table has actions"):
        await store.q_tables.load("individual", "tester", FINGERPRINT)
