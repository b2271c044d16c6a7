"""Removing old experiences: nothing that was learned is lost, whatever happens meanwhile."""

import asyncio
import random
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qe_core.learning.empirical_mdp import EmpiricalMdp, q_table_from_mdp, solve_empirical_mdp
from qe_core.store import Store
from qe_core.store.identity import Identity
from tests.conftest import execute
from tests.integration.store.retaining import KEEP_DAYS, KEEP_NEWEST
from tests.integration.store.rows import FINGERPRINT, START, experiences

PROGRAM = Path(__file__).with_name("retaining.py")
STATES, ACTIONS = 7, 3
_numbers = count()


def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    """Return what a statement answers."""
    with closing(psycopg2.connect(url)) as session, session.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def age_chunks(url: str, days: str) -> None:
    """Make chunks arrive some days ago, an SQL expression over them, in partitions of those days."""
    execute(
        url,
        "SELECT ensure_chunk_partition((now() AT TIME ZONE 'UTC')::date - days) "
        "FROM generate_series(0, 80) AS days",
    )
    execute(url, f"UPDATE experience_chunks SET arrived_at = arrived_at - ({days}) * interval '1 day'")


def old_partitions(url: str) -> list[str]:
    """Return the partitions of days that are no longer kept, attached or not."""
    oldest = datetime.now(UTC).date() - timedelta(days=KEEP_DAYS)
    rows = query(
        url,
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'experience_chunks_2%' ORDER BY 1",
    )
    return [name for (name,) in rows if datetime.strptime(name[-10:], "%Y_%m_%d").date() < oldest]  # noqa: DTZ007


def solved(mdp: EmpiricalMdp) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return everything a table solved from this says, in one array."""
    table = q_table_from_mdp(mdp, solve_empirical_mdp(mdp, 0.9), 0.9)
    return np.stack([table.q, table.visits, table.target_mean, table.target_m2])


async def observed(store: Store, agent: str = "tester") -> EmpiricalMdp:
    return await store.experiences.load_mdp(agent, FINGERPRINT, STATES, ACTIONS)


async def fill(store: Store, url: str, chunks: int, agent: str = "tester", rows: int = 40) -> None:
    """Append chunks of random experiences, the first the oldest, one more day old each."""
    rng = np.random.default_rng(chunks)
    for number in range(chunks):
        await store.experiences.append(
            experiences(
                rows,
                agent=agent,
                occurred_at=[START + timedelta(hours=number, seconds=second) for second in range(rows)],
                episode=[f"{number}-{row // 5}" for row in range(rows)],
                state=rng.integers(0, STATES, rows),
                action=rng.integers(0, ACTIONS, rows),
                reward=rng.normal(0.0, 20.0, rows).clip(-100.0, 100.0),
                next_state=rng.integers(0, STATES, rows),
            )
        )
    age_chunks(url, f"CASE WHEN agent = '{agent}' THEN {chunks + 30} - chunk_id % {chunks} ELSE 0 END")


steps = st.tuples(
    st.integers(0, STATES - 1),
    st.integers(0, ACTIONS - 1),
    st.floats(-100.0, 100.0),
    st.integers(0, STATES - 1),
    st.booleans(),
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    chunks=st.lists(st.lists(steps, min_size=1, max_size=12), min_size=1, max_size=6),
    ages=st.lists(st.integers(0, 70), min_size=6, max_size=6),
    keep_newest=st.integers(0, 30),
    runs=st.integers(1, 3),
)
async def test_a_table_solved_before_and_after_retention_is_the_same(
    store: Store,
    database_url: str,
    chunks: list[list[tuple[int, int, float, int, bool]]],
    ages: list[int],
    keep_newest: int,
    runs: int,
) -> None:
    agent = f"agent-{next(_numbers)}"
    for number, rows in enumerate(chunks):
        state, action, reward, next_state, terminated = zip(*rows, strict=True)
        await store.experiences.append(
            {
                **experiences(len(rows), agent=agent, source=f"import:{number}"),
                "state": list(state),
                "action": list(action),
                "reward": list(reward),
                "next_state": list(next_state),
                "terminated": list(terminated),
            }
        )
    listed = ", ".join(map(str, ages))
    age_chunks(
        database_url,
        f"CASE WHEN agent = '{agent}' THEN (ARRAY[{listed}])[substr(source, 8)::int + 1] ELSE 0 END",
    )
    before = await observed(store, agent)
    for run in range(runs):
        await store.retention.run(KEEP_DAYS, keep_newest, datetime.now(UTC) + timedelta(days=10 * run))
    after = await observed(store, agent)
    np.testing.assert_array_equal(after.count, before.count)
    np.testing.assert_allclose(solved(after), solved(before), rtol=1e-9, atol=1e-9)


async def test_old_chunks_become_summaries_and_their_partitions_go(store: Store, database_url: str) -> None:
    await fill(store, database_url, 10)
    before = await observed(store)
    report = await store.retention.run(KEEP_DAYS, KEEP_NEWEST)
    # Ages are 31 to 40 days: all old enough, but the newest two chunks hold the 50 newest experiences.
    assert (report.chunks_folded, report.experiences_folded, report.experiences_kept) == (8, 320, 80)
    assert report.oldest_day == datetime.now(UTC).date() - timedelta(days=KEEP_DAYS)
    assert len(old_partitions(database_url)) == 2
    assert query(database_url, "SELECT count(*), sum(experiences) FROM experience_chunks") == [(2, 80)]
    assert query(database_url, "SELECT sum(count)::int FROM transition_summaries") == [(320,)]
    [line] = await store.retention.evidence()
    assert (line.agent, line.live, line.summarised, line.total) == ("tester", 80, 320, 400)
    np.testing.assert_allclose(solved(await observed(store)), solved(before), rtol=1e-9, atol=1e-9)
    newest = await store.experiences.load_transitions("tester", FINGERPRINT)
    assert len(newest) == 80

    again = await store.retention.run(KEEP_DAYS, KEEP_NEWEST)
    assert (again.chunks_folded, again.partitions_dropped, again.partitions_made) == (0, (), 0)
    assert again.experiences_kept == 80


async def test_the_newest_experiences_stay_raw_whatever_their_age_by_when_they_happened(
    store: Store, database_url: str
) -> None:
    await fill(store, database_url, 6)
    expected = await store.experiences.load_transitions("tester", FINGERPRINT)
    await store.retention.run(1, 100)
    kept = await store.experiences.load_transitions("tester", FINGERPRINT)
    assert len(kept) == 120
    np.testing.assert_array_equal(kept.reward, expected.reward[-120:])
    await store.retention.run(1, 1_000_000)
    assert len(await store.experiences.load_transitions("tester", FINGERPRINT)) == 120


async def test_a_partition_that_must_stay_loses_what_was_folded(store: Store, database_url: str) -> None:
    await store.experiences.append(experiences(40))
    later = [START + timedelta(days=1)] * 60
    await store.experiences.append(experiences(60, occurred_at=later, step=np.arange(60)))
    await store.experiences.append(experiences(5, agent="another"))
    age_chunks(database_url, "40")
    report = await store.retention.run(KEEP_DAYS, KEEP_NEWEST)
    assert (report.experiences_folded, report.experiences_kept) == (40, 65)
    assert query(database_url, "SELECT agent, experiences FROM experience_chunks ORDER BY 1") == [
        ("another", 5),
        ("tester", 60),
    ]
    assert len(old_partitions(database_url)) == 1


async def test_contracts_and_agents_are_summarised_apart(store: Store, database_url: str) -> None:
    for agent in ("tester", "another"):
        for number, fingerprint in enumerate(("contract-0", FINGERPRINT)):
            times = [START + timedelta(days=number, seconds=second) for second in range(20)]
            await store.experiences.append(
                experiences(20, agent=agent, fingerprint=fingerprint, occurred_at=times)
            )
    age_chunks(database_url, "40")
    await store.retention.run(KEEP_DAYS, 0)
    found = await store.retention.evidence()
    assert [(line.agent, line.fingerprint, line.live, line.summarised) for line in found] == [
        ("another", "contract-0", 0, 20),
        ("another", FINGERPRINT, 20, 0),
        ("tester", "contract-0", 0, 20),
        ("tester", FINGERPRINT, 20, 0),
    ]


async def test_partitions_are_made_ahead_and_young_ones_left_alone(store: Store, database_url: str) -> None:
    days = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'experience_chunks'::regclass"
    [(before,)] = query(database_url, days)
    fifth = datetime.now(UTC) + timedelta(days=5)
    execute(database_url, "DROP TABLE {}", f"experience_chunks_{fifth:%Y_%m_%d}")
    report = await store.retention.run(KEEP_DAYS, KEEP_NEWEST)
    assert report.partitions_made == 1
    assert query(database_url, days) == [(before,)]


async def test_flushes_nobody_can_repeat_are_forgotten(store: Store, database_url: str) -> None:
    execute(
        database_url,
        "INSERT INTO flushes SELECT gen_random_uuid(), 1, 1, now() - hours * interval '1 hour' "
        "FROM generate_series(20.5, 28.5) AS hours",
    )
    assert (await store.retention.run(KEEP_DAYS, KEEP_NEWEST)).flushes_forgotten == 5


async def test_chunks_folded_but_still_there_are_read_nowhere_and_not_appended_again(
    store: Store, database_url: str
) -> None:
    await store.experiences.append(experiences(20))
    execute(database_url, "UPDATE experience_chunks SET is_folded = true")
    assert len(await store.experiences.load_transitions("tester", FINGERPRINT)) == 0
    assert (await store.experiences.read_columns("tester", 0, 10)).num_rows == 0
    assert len(await store.experiences.episode_returns("tester")) == 0
    assert await store.experiences.counts() == []
    assert await store.experiences.audit() == []
    assert await store.status() == []
    assert query(database_url, "SELECT count(*) FROM learning_experiences") == [(0,)]
    assert await store.experiences.append(experiences(20)) == 0


async def test_what_a_detached_partition_holds_unfolded_goes_back_into_the_log(
    store: Store, database_url: str
) -> None:
    await fill(store, database_url, 3)
    before = await observed(store)
    [(name,)] = query(
        database_url, "SELECT tableoid::regclass::text FROM experience_chunks ORDER BY arrived_at LIMIT 1"
    )
    execute(database_url, "ALTER TABLE experience_chunks DETACH PARTITION {} CONCURRENTLY", name)
    assert int((await observed(store)).count.sum()) == 80
    report = await store.retention.run(KEEP_DAYS, 1_000)
    assert name in report.partitions_dropped
    after = await observed(store)
    np.testing.assert_array_equal(after.count, before.count)
    np.testing.assert_allclose(after.reward_mean, before.reward_mean, rtol=1e-12)


async def test_what_goes_back_into_the_log_still_belongs_to_whom_it_was_made_for(database_url: str) -> None:
    ada = Identity("a" * 32, "b" * 32)
    async with Store.connect(database_url, identity=ada) as store:
        await fill(store, database_url, 3)
        [(name,)] = query(
            database_url, "SELECT tableoid::regclass::text FROM experience_chunks ORDER BY arrived_at LIMIT 1"
        )
        execute(database_url, "ALTER TABLE experience_chunks DETACH PARTITION {} CONCURRENTLY", name)
        await store.retention.run(KEEP_DAYS, 1_000)
    found = query(
        database_url, "SELECT developer, project, sum(experiences)::int FROM learnable_chunks GROUP BY 1, 2"
    )
    assert found == [("a" * 32, "b" * 32, 120)]


def start(url: str) -> subprocess.Popen[str]:
    """Start retention in a process of its own and return when it is about to begin."""
    process = subprocess.Popen([sys.executable, str(PROGRAM), url], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "begin\n"
    return process


async def until(url: str, statement: str) -> None:
    """Wait until a statement answers true."""
    for _ in range(600):
        if query(url, statement)[0][0]:
            return
        await asyncio.sleep(0.02)
    pytest.fail(f"never came true: {statement}")


PENDING = "SELECT count(*) > 0 FROM pg_inherits WHERE inhdetachpending"


async def test_a_detachment_that_broke_off_is_finished_by_the_next_run(
    store: Store, database_url: str
) -> None:
    await fill(store, database_url, 4)
    before = await observed(store)
    with closing(psycopg2.connect(database_url)) as reader:
        with reader.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM experience_chunks")
        process = start(database_url)
        await until(database_url, PENDING)
        # Retention waits for the reader. Writers wait for neither.
        appended = store.experiences.append(experiences(5, source="import:meanwhile"))
        assert await asyncio.wait_for(appended, timeout=60) == 5
        execute(
            database_url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%detach_partition%' "
            "AND pid <> pg_backend_pid()",
        )
        process.communicate()
    assert query(database_url, PENDING) == [(True,)]
    await store.retention.run(KEEP_DAYS, KEEP_NEWEST)
    assert query(database_url, PENDING) == [(False,)]
    after = await observed(store)
    assert int(after.count.sum()) == int(before.count.sum()) + 5


async def test_killing_retention_at_random_moments_loses_and_repeats_nothing(
    store: Store, database_url: str
) -> None:
    for agent in ("one", "two", "three"):
        await fill(store, database_url, 12, agent, rows=30)
    before = {agent: await observed(store, agent) for agent in ("one", "two", "three")}
    chance = random.Random(11)
    for _ in range(8):
        process = start(database_url)
        await asyncio.sleep(chance.uniform(0.0, 0.25))
        process.kill()
        process.communicate()
    await store.retention.run(KEEP_DAYS, KEEP_NEWEST)
    for agent, expected in before.items():
        found = await observed(store, agent)
        np.testing.assert_array_equal(found.count, expected.count)
        np.testing.assert_allclose(solved(found), solved(expected), rtol=1e-9, atol=1e-9)
    assert query(database_url, "SELECT count(*) FROM experience_chunks WHERE is_folded") == [(0,)]
    assert query(database_url, "SELECT sum(count)::int > 500 FROM transition_summaries") == [(True,)]


async def test_processes_running_retention_at_once_take_turns_while_a_writer_writes_on(
    store: Store, database_url: str
) -> None:
    await fill(store, database_url, 12)
    before = await observed(store)
    processes = [start(database_url) for _ in range(3)]
    written = 0
    while any(process.poll() is None for process in processes):
        written += await store.experiences.append(experiences(5, source=f"import:{written}"))
    assert [process.communicate()[0] for process in processes] == ["done\n"] * 3
    after = await observed(store)
    assert written > 0
    assert int(after.count.sum()) == int(before.count.sum()) + written
    assert query(database_url, "SELECT count(*) FROM experience_chunks WHERE is_folded") == [(0,)]
