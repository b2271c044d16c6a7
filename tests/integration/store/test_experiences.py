"""Appending to and reading the log of experiences in a real PostgreSQL."""

import tracemalloc
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import psycopg2
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from qe_core.store import ExperienceRejectedError, Store
from qe_core.store.chunks import CHUNK_ROWS
from qe_core.store.statements import STATEMENTS
from tests.conftest import execute
from tests.integration.store.rows import FINGERPRINT, START, experiences
from tests.recording import as_batch, record

MILLION = 1_000_000


async def test_what_is_appended_reads_back_bit_for_bit(store: Store) -> None:
    rng = np.random.default_rng(1)
    rows = experiences(1_000, reward=rng.uniform(-100, 100, 1_000))
    assert await store.experiences.append(rows) == 1_000
    found = await store.experiences.load_transitions("tester", FINGERPRINT)
    for name in ("state", "action", "next_state", "terminated"):
        np.testing.assert_array_equal(getattr(found, name), rows[name])
    np.testing.assert_array_equal(found.reward.view(np.int64), rows["reward"].view(np.int64))
    assert (found.action.dtype, found.truncated.any()) == (np.int16, np.False_)


async def test_appending_twice_adds_nothing_and_is_counted(store: Store) -> None:
    assert await store.experiences.append(experiences(10)) == 10
    assert await store.experiences.append(experiences(12)) == 2
    assert (store.counters.experiences_appended, store.counters.experiences_repeated) == (12, 10)


async def test_repeats_inside_one_batch_count_once(store: Store) -> None:
    table = pa.table({name: pa.array(values) for name, values in _full(experiences(5)).items()})
    assert await store.experiences.append(pa.concat_tables([table, table])) == 5


async def test_the_order_of_arrival_does_not_change_the_order_read(store: Store) -> None:
    rng = np.random.default_rng(7)
    rows = pa.table(_full(experiences(200, occurred_at=[START] * 200)))
    for part in np.array_split(rng.permutation(200), 9):
        await store.experiences.append(rows.take(pa.array(part)))
    found = await store.experiences.load_transitions("tester", FINGERPRINT)
    np.testing.assert_array_equal(found.reward, np.linspace(-100.0, 100.0, 200))


async def test_text_is_ordered_by_bytes_whatever_the_server_speaks(store: Store) -> None:
    names = ["a", "B", "ä", "Z", "_"]
    await store.experiences.append(
        experiences(5, occurred_at=START, episode=names, step=0, terminated=True, reward=np.arange(5.0))
    )
    found = await store.experiences.load_transitions("tester", FINGERPRINT)
    assert [names[int(reward)] for reward in found.reward] == ["B", "Z", "_", "a", "ä"]


async def test_times_rule_over_sources_and_episodes(store: Store) -> None:
    await store.experiences.append(experiences(1, source="zulu", reward=1.0))
    await store.experiences.append(
        experiences(1, source="alpha", reward=2.0, occurred_at=[START + timedelta(microseconds=1)])
    )
    assert (await store.experiences.load_transitions("tester", FINGERPRINT)).reward.tolist() == [1.0, 2.0]


async def test_only_the_agent_and_contract_asked_for_are_read(store: Store) -> None:
    await store.experiences.append(experiences(5))
    await store.experiences.append(experiences(6, agent="another"))
    await store.experiences.append(experiences(7, fingerprint="contract-0", source="import:old"))
    assert len(await store.experiences.load_transitions("tester", FINGERPRINT)) == 5
    assert len(await store.experiences.load_transitions("nobody", FINGERPRINT)) == 0


async def test_reading_between_two_numbers_leaves_the_rest_out(store: Store) -> None:
    await store.experiences.append(experiences(10))
    [count] = await store.experiences.counts()
    first = count.last_experience_id - 9
    found = await store.experiences.load_transitions("tester", FINGERPRINT, first + 1, first + 4)
    assert len(found) == 3


def partitions_in_use(url: str) -> list[str]:
    """Return the partitions that hold anything."""
    with psycopg2.connect(url) as session, session.cursor() as cursor:
        cursor.execute("SELECT DISTINCT tableoid::regclass::text FROM experience_chunks ORDER BY 1")
        names = [name for (name,) in cursor.fetchall()]
    session.close()
    return names


async def test_a_partition_holds_what_arrived_on_one_day_whenever_it_happened(
    store: Store, database_url: str
) -> None:
    months = [datetime(2025, month, 28, 23, 59, 59, tzinfo=UTC) for month in range(1, 13)]
    days = {f"experience_chunks_{datetime.now(UTC):%Y_%m_%d}"}
    await store.experiences.append(experiences(12, occurred_at=months))
    days.add(f"experience_chunks_{datetime.now(UTC):%Y_%m_%d}")
    [name] = partitions_in_use(database_url)
    assert name in days


async def test_a_partition_dropped_behind_our_back_is_made_again_at_once(
    store: Store, database_url: str
) -> None:
    await store.experiences.append(experiences(5))
    for day in (0, 1):
        execute(
            database_url,
            "DROP TABLE {}",
            f"experience_chunks_{datetime.now(UTC) + timedelta(days=day):%Y_%m_%d}",
        )
    assert await store.experiences.append(experiences(5)) == 5
    handle = await store.q_tables.ensure("individual", "tester", FINGERPRINT, 7, ["a", "b", "c"])
    execute(database_url, "DROP TABLE {}", partitions_in_use(database_url)[0])
    assert (await record(store, handle, as_batch(experiences(5)))).version == 1


async def test_more_rows_than_a_chunk_holds_become_chunks_in_canonical_order(
    store: Store, database_url: str
) -> None:
    order = np.random.default_rng(3).permutation(CHUNK_ROWS + 10)
    times = np.datetime64("2026-03-01T00:00:00", "us") + order * np.timedelta64(1, "s")
    rows = experiences(CHUNK_ROWS + 10, occurred_at=times)
    assert await store.experiences.append(rows) == CHUNK_ROWS + 10
    with psycopg2.connect(database_url) as session, session.cursor() as cursor:
        cursor.execute(
            "SELECT experiences, first_at = occurred_at[1] AND last_at = occurred_at[experiences]"
            " FROM experience_chunks ORDER BY first_at"
        )
        assert cursor.fetchall() == [(CHUNK_ROWS, True), (10, True)]
    session.close()
    found = await store.experiences.load_transitions("tester", FINGERPRINT)
    np.testing.assert_array_equal(found.reward, rows["reward"][np.argsort(order)])


async def test_the_same_moment_in_any_zone_is_one_experience(store: Store) -> None:
    west = datetime(2025, 4, 30, 20, 0, tzinfo=timezone(timedelta(hours=-7)))
    edges = [west, datetime(2025, 5, 1, tzinfo=UTC), datetime(2025, 4, 30, 23, 59, 59, 999999, tzinfo=UTC)]
    assert await store.experiences.append(experiences(3, occurred_at=edges)) == 3
    assert await store.experiences.append(experiences(1, occurred_at=[west.astimezone(UTC)])) == 0


async def test_columns_may_be_single_values_arrow_or_numpy(store: Store) -> None:
    rows = {
        "occurred_at": np.array(["2026-01-01T00:00:00", "2026-01-01T00:00:01"], dtype="datetime64[us]"),
        "agent": "tester",
        "episode": pa.array(["one", "one"]).dictionary_encode(),
        "step": np.array([0, 1], dtype=np.uint8),
        "state": (3, 4),
        "action": np.array([0, 1], dtype=np.int64),
        "reward": 1,
        "next_state": pa.chunked_array([[4], [5]]),
        "terminated": [False, True],
        "truncated": False,
        "propensity": np.float32(0.5),
        "success": [None, True],
        "fingerprint": FINGERPRINT,
        "source": "agent",
    }
    assert await store.experiences.append(rows) == 2
    read = await store.experiences.read_columns("tester", 0, 10)
    assert read["success"].to_pylist() == [None, True]
    assert read["exploration_rate"].null_count == 2
    assert read["occurred_at"][0].as_py() == datetime(2026, 1, 1, tzinfo=UTC)


async def test_no_rows_are_no_error(store: Store) -> None:
    assert await store.experiences.append(pa.table(_full(experiences(1))).slice(0, 0)) == 0
    assert (await store.experiences.read_columns("tester", 0, 10)).num_rows == 0


async def test_awkward_text_survives_the_round_trip(store: Store) -> None:
    episodes = ['quote " quote', "comma, comma", "line\nline", "\\N", "null", "", "ünïcödé 🐘", " blank "][:5]
    await store.experiences.append(experiences(5, episode=episodes, step=0, terminated=True))
    assert (await store.experiences.read_columns("tester", 0, 10))["episode"].to_pylist() == episodes


async def test_columns_are_read_in_pages_in_order_of_arrival(store: Store) -> None:
    await store.experiences.append(experiences(10))
    first = await store.experiences.read_columns("tester", 0, 6)
    rest = await store.experiences.read_columns("tester", pc.max(first["experience_id"]).as_py(), 6)
    assert (first.num_rows, rest.num_rows) == (6, 4)
    assert pa.concat_tables([first, rest])["reward"].to_pylist() == np.linspace(-100, 100, 10).tolist()


async def test_counts_tell_experiences_episodes_and_the_newest(store: Store) -> None:
    await store.experiences.append(experiences(12))
    await store.experiences.append(experiences(12, source="recorded"))
    await store.experiences.append(experiences(3, agent="another"))
    another, tester = await store.experiences.counts()
    assert (another.agent, another.experiences, another.episodes) == ("another", 3, 1)
    assert (tester.agent, tester.experiences, tester.episodes) == ("tester", 24, 6)
    assert tester.last_occurred_at == START + timedelta(minutes=11)
    assert another.last_experience_id > tester.last_experience_id


async def test_episodes_are_summed_in_the_order_of_their_last_steps(store: Store) -> None:
    rows = experiences(
        10,
        reward=np.arange(10.0),
        success=[None] * 4 + [True] + [None] * 4 + [False],
        exploration_rate=[0.2] * 5 + [None] * 5,
    )
    await store.experiences.append(rows)
    late = [START + timedelta(days=1), START - timedelta(days=1)]
    await store.experiences.append(
        experiences(2, occurred_at=late, source="agent", terminated=False, reward=np.array([-1.0, 3.0]))
    )
    found = await store.experiences.episode_returns("tester", FINGERPRINT)
    assert found.total_reward.tolist() == [10.0, 35.0, 2.0]
    assert found.steps.tolist() == [5, 5, 2]
    assert found.success.tolist() == [1, 0, -1]
    np.testing.assert_array_equal(found.exploration_rate, [0.2, np.nan, np.nan])
    assert found.reward_sum_squares.tolist() == [30.0, 255.0, 10.0]
    assert (found.last_experience_id - found.first_experience_id).tolist() == [4, 4, 1]
    assert len(await store.experiences.episode_returns("tester", "contract-9")) == 0
    assert len(await store.experiences.episode_returns("tester")) == 3


BAD_EXPERIENCES: list[tuple[dict[str, Any], str]] = [
    ({"occurred_at": [datetime(1970, 1, 1, tzinfo=UTC)] * 2}, "1970-01-01T00:00:00.*lies before 2000-01-01"),
    ({"occurred_at": [datetime(2999, 1, 1, tzinfo=UTC)] * 2}, "2999.*lies in the future"),
    ({"occurred_at": ["yesterday"] * 2}, "occurred_at must be timestamp"),
    ({"occurred_at": [None, START]}, "occurred_at has no value in row 0"),
    ({"agent": ""}, "must not be empty"),
    ({"source": ""}, "must not be empty"),
    ({"step": [0, -1]}, "step counts from 0"),
    ({"step": [0, 2**40]}, "step must be int32"),
    ({"state": [0, -5]}, "encoded states, at least 0"),
    ({"state": [0.5, 1.0]}, "state must be int64"),
    ({"action": [0, 40_000]}, "action must be int16"),
    ({"action": ["plan", "act"]}, "action must be int16"),
    ({"action": [0, -1]}, "an action's index"),
    ({"reward": [0.0, float("nan")]}, "a number from -100 to 100"),
    ({"reward": [0.0, float("inf")]}, "a number from -100 to 100"),
    ({"reward": [0.0, 100.5]}, "a number from -100 to 100"),
    ({"reward": [0.0, None]}, "reward has no value in row 1"),
    ({"terminated": True, "truncated": True}, "must not both be true"),
    ({"propensity": 0.0}, "a probability above 0"),
    ({"propensity": 1.5}, "a probability above 0"),
    ({"propensity": None}, "need the column propensity"),
    ({"exploration_rate": -0.1}, "exploration_rate is a probability"),
    ({"success": True, "terminated": False}, "last step"),
    ({"episode": ["one\x00two", "three"]}, "PostgreSQL cannot hold"),
    ({"episode": ["one"]}, "arrays of one length"),
    ({"policy_version": -1}, "a version's number"),
    ({"rewards": [1.0, 2.0]}, "no column 'rewards'; did you mean reward"),
]


@pytest.mark.parametrize(("changed", "message"), BAD_EXPERIENCES, ids=[text for _, text in BAD_EXPERIENCES])
async def test_a_bad_experience_is_refused_with_its_whole_batch(
    store: Store, changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(ExperienceRejectedError, match=message):
        await store.experiences.append(experiences(2, **changed))
    assert await store.experiences.counts() == []


async def test_single_values_alone_do_not_say_how_many_rows_there_are(store: Store) -> None:
    with pytest.raises(ExperienceRejectedError, match="arrays of one length"):
        await store.experiences.append({"agent": "tester"})


async def test_chunks_come_in_the_order_of_their_times_from_the_index(
    store: Store, database_url: str
) -> None:
    for day in range(20):
        await store.experiences.append(experiences(50, source=f"import:{day}"))
    with psycopg2.connect(database_url) as session, session.cursor() as cursor:
        cursor.execute("ANALYZE experience_chunks")
        cursor.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
        plans = []
        for name, arguments in (
            ("list_chunks", ["tester", FINGERPRINT, 0, 2**40]),
            ("read_transitions", ["tester", FINGERPRINT, START, START + timedelta(days=9), 0, 2**40]),
        ):
            kinds = ["text", "text", *(["timestamptz"] * (len(arguments) - 4)), "bigint", "bigint"]
            cursor.execute(f"PREPARE {name} ({', '.join(kinds)}) AS {STATEMENTS[name]}")
            cursor.execute(f"EXPLAIN EXECUTE {name} ({', '.join(['%s'] * len(arguments))})", arguments)
            plans.append("\n".join(line for (line,) in cursor.fetchall()))
    session.close()
    for plan in plans:
        assert "Index Scan" in plan
        assert "Sort" not in plan.replace("Sort Key", "")


async def test_a_million_experiences_are_stored_and_read_without_becoming_objects(store: Store) -> None:
    for part in range(4):
        index = np.arange(part * MILLION // 4, (part + 1) * MILLION // 4)
        await store.experiences.append(
            {
                "occurred_at": np.datetime64("2026-01-01T00:00:00", "us")
                + index * np.timedelta64(1_000_000, "us"),
                "agent": "tester",
                "episode": pa.array(index // 10).cast(pa.string()),
                "step": index % 10,
                "state": index % 500,
                "action": index % 6,
                "reward": (index % 2001) / 10 - 100,
                "next_state": (index + 1) % 500,
                "terminated": index % 10 == 9,
                "truncated": False,
                "propensity": 0.5,
                "fingerprint": FINGERPRINT,
                "source": "simulated",
            }
        )
    tracemalloc.start()
    found = await store.experiences.load_transitions("tester", FINGERPRINT)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found) == MILLION
    np.testing.assert_array_equal(found.state, np.arange(MILLION) % 500)
    # 28 bytes a row are the arrays themselves and growing them doubles that; as objects they would need 300.
    assert peak_bytes < 100 * MILLION


def _full(rows: dict[str, Any]) -> dict[str, Any]:
    """Return rows with every single value repeated, as an Arrow table wants them."""
    count = len(rows["step"])
    return {
        name: values if isinstance(values, list | np.ndarray) else [values] * count
        for name, values in rows.items()
    }
