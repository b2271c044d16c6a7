"""Outcomes of the last episodes of a version, read from the end of the log."""

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import psycopg2

from qe_core.store import Store
from qe_core.store.live import Live
from qe_core.store.statements import STATEMENTS
from tests.conftest import execute
from tests.integration.store.playing import AGENT, CONTRACT, episodes, own_handle, play


async def test_whole_episodes_of_a_version_come_newest_first_with_their_counts(
    store: Store, live: Live
) -> None:
    await play(store, live, [1.0, 2.0], steps=2, policy_version=5, success=1)
    await play(store, live, [-3.0], steps=3, policy_version=5, success=0)
    await play(store, live, [40.0], policy_version=6, success=1)
    await play(store, live, [7.0])
    found = await store.policies.recent_outcomes(AGENT, 5, 10)
    np.testing.assert_array_equal(found.total_reward, [-9.0, 4.0, 2.0])
    np.testing.assert_array_equal(found.success, [0, 1, 1])
    assert len(found) == 3
    assert (np.diff(found.last_experience_id) < 0).all()
    newest = await store.policies.recent_outcomes(AGENT, 5, 2)
    np.testing.assert_array_equal(newest.total_reward, [-9.0, 4.0])
    unversioned = await store.policies.recent_outcomes(AGENT, None, 10)
    np.testing.assert_array_equal(unversioned.total_reward, [14.0])
    np.testing.assert_array_equal(unversioned.success, [-1])
    assert len(await store.policies.recent_outcomes("nobody", None, 10)) == 0


async def test_an_episode_counts_once_it_is_whole_over_however_many_flushes(store: Store, live: Live) -> None:
    await play(store, live, [1.0])
    handle = await own_handle(store)
    whole = episodes([5.0], steps=3)
    columns = {name: getattr(whole, name) for name in whole.__slots__ if getattr(whole, name) is not None}
    parts = [
        type(whole)(**{name: values[place : place + 1] for name, values in columns.items()})
        for place in (0, 2, 1)
    ]
    for part in parts[:2]:
        await live.writer.record_many(handle, part)
        assert len(await store.policies.recent_outcomes(AGENT, None, 10)) == 1
    await live.writer.record_many(handle, parts[2])
    found = await store.policies.recent_outcomes(AGENT, None, 10)
    np.testing.assert_array_equal(found.total_reward, [15.0, 2.0])


async def test_an_episode_that_changed_its_policy_counts_for_neither(store: Store, live: Live) -> None:
    changed = episodes([5.0, 6.0], steps=2, policy_version=1)
    await live.writer.record_many(await own_handle(store), replace(changed, policy_version=[1, 2, 2, 2]))
    assert len(await store.policies.recent_outcomes(AGENT, 1, 10)) == 0
    found = await store.policies.recent_outcomes(AGENT, 2, 10)
    np.testing.assert_array_equal(found.total_reward, [12.0])


async def test_only_what_arrived_since_counts_where_asked(store: Store, live: Live) -> None:
    await play(store, live, [1.0])
    since = datetime.now(UTC)
    await play(store, live, [2.0])
    found = await store.policies.recent_outcomes(AGENT, None, 10, since=since)
    np.testing.assert_array_equal(found.total_reward, [4.0])
    assert len(await store.policies.recent_outcomes(AGENT, None, 9, since=since + timedelta(days=1))) == 0


async def test_what_a_rollback_excluded_from_learning_still_happened(store: Store, live: Live) -> None:
    await play(store, live, [1.0])
    await store.policies.snapshot(CONTRACT, reason="test", by="me")
    await play(store, live, [-8.0])
    await store.policies.rollback(AGENT, trigger="test", evidence={}, by="me")
    found = await store.policies.recent_outcomes(AGENT, None, 10)
    np.testing.assert_array_equal(found.total_reward, [-16.0, 2.0])


MANY_CHUNKS = """
INSERT INTO experience_chunks (
    agent, fingerprint, source, experiences, first_at, last_at, occurred_at, episode, step, state, action,
    reward, next_state, terminated, truncated, propensity, exploration_rate, success, policy_version
)
SELECT
    'agent-' || number % 3, 'f', 'agent', 2, '2026-01-01', '2026-01-01',
    array_fill('2026-01-01'::timestamptz, ARRAY[2]), array_fill('episode ' || number, ARRAY[2]), ARRAY[0, 1],
    ARRAY[1, 2], ARRAY[0, 1]::smallint[], array_fill((number / 3 % 100)::float8, ARRAY[2]), ARRAY[2, 0],
    ARRAY[false, true], ARRAY[false, false], ARRAY[0.5, 0.5], ARRAY[0.1, 0.1], ARRAY[-1, 1]::smallint[],
    ARRAY[number / 3 % 10, number / 3 % 10]
FROM generate_series(0, 59999) AS number;
"""


async def test_only_the_end_of_a_long_log_is_read_and_by_its_index(store: Store, database_url: str) -> None:
    execute(database_url, MANY_CHUNKS)
    execute(database_url, "ANALYZE experience_chunks")
    found = await store.policies.recent_outcomes("agent-1", 3, 400)
    np.testing.assert_array_equal(
        found.total_reward, [2.0 * (93 - 10 * (place % 10)) for place in range(400)]
    )
    np.testing.assert_array_equal(found.success, [1] * 400)
    few = await store.policies.recent_outcomes("agent-1", 3, 400, read_limit=5_000)
    assert len(few) == 250, "no more than it was allowed to read"
    plans = []
    with closing(psycopg2.connect(database_url)) as session, session.cursor() as cursor:
        for name, kinds, arguments in (
            ("find_newest_chunks", "text, timestamptz, bigint", ["agent-1", "2000-01-01", 4096]),
            (
                "read_recent_outcomes",
                "text, timestamptz, bigint, bigint, bigint",
                ["agent-1", "2000-01-01", 58_000, 3, 50],
            ),
        ):
            cursor.execute(f"PREPARE {name} ({kinds}) AS {STATEMENTS[name]}")
            cursor.execute(f"EXPLAIN EXECUTE {name} ({', '.join(['%s'] * len(arguments))})", arguments)
            plans.append("\n".join(line for (line,) in cursor.fetchall()))
        cursor.execute("EXECUTE find_newest_chunks ('agent-1', '2000-01-01', 4096)")
        assert cursor.fetchall() == [(53_858, 4_096)]
    today = f"experience_chunks_{datetime.now(UTC):%Y_%m_%d}"
    for plan in plans:
        assert f"{today}_agent_chunk_id_idx" in plan
        assert f"Seq Scan on {today}" not in plan
