"""Bringing databases to this version's schema."""

import asyncio
import subprocess
import sys
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from qe_core.errors import MigrationError
from qe_core.store import Store, migrate
from qe_core.store.migration import latest_revision
from qe_core.store.server import EmbeddedServer
from tests.conftest import execute
from tests.integration.store.rows import FINGERPRINT, experiences
from tests.integration.store.test_q_tables import stored_lines


async def test_an_empty_database_is_brought_to_the_latest_schema(empty_database_url: str) -> None:
    report = await migrate(empty_database_url)
    assert (report.from_revision, report.to_revision) == (None, latest_revision())
    assert report.is_changed
    async with Store.connect(empty_database_url) as store:
        assert await store.status() == []


async def test_migrating_twice_changes_nothing(database_url: str) -> None:
    before = stored_lines(database_url)
    report = await migrate(database_url)
    assert not report.is_changed
    assert stored_lines(database_url) == before


async def test_tasks_migrating_one_database_at_once_do_no_harm(empty_database_url: str) -> None:
    reports = await asyncio.gather(*(migrate(empty_database_url) for _ in range(4)))
    assert sorted(report.from_revision or "" for report in reports) == ["", *[latest_revision()] * 3]


async def test_missing_databases_are_created(postgres_server: EmbeddedServer) -> None:
    url = postgres_server.url('brand "new" — database')
    report = await migrate(url)
    assert report.created_databases[0] == 'brand "new" — database'
    async with Store.connect(url) as store:
        assert store.counters.retries == 0
    execute(postgres_server.url("postgres"), "DROP DATABASE {} WITH (FORCE)", 'brand "new" — database')


async def test_a_schema_from_a_newer_version_is_left_alone(database_url: str) -> None:
    execute(database_url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(
        MigrationError, match=r"has schema 9999, newer than this version's .*; upgrade qe-fleet"
    ):
        await migrate(database_url)
    with pytest.raises(MigrationError, match="newer than this version's"):
        async with Store.connect(database_url):
            pass


async def test_a_migration_that_fails_leaves_the_database_as_it_was(empty_database_url: str) -> None:
    execute(empty_database_url, "CREATE TABLE imports (something text)")
    with pytest.raises(MigrationError, match=r"could not be changed, it is as before.*imports"):
        await migrate(empty_database_url)
    execute(empty_database_url, "CREATE TABLE q_tables (free text)")


def test_every_migration_is_a_thin_module_beside_plain_sql() -> None:
    config = Config()
    config.set_main_option("script_location", "qe_core.store:migrations")
    config.set_main_option("path_separator", "os")
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_heads() == [latest_revision()]
    for script in scripts.walk_revisions():
        module = Path(script.path)
        assert module.name.startswith(f"{script.revision}_")
        assert module.with_suffix(".sql").is_file()
        assert len(module.read_text().splitlines()) < 20


def test_every_table_view_and_column_is_described(database_url: str) -> None:
    with psycopg2.connect(database_url) as session, session.cursor() as cursor:
        cursor.execute(
            "SELECT relname, attname FROM pg_class INNER JOIN pg_attribute ON attrelid = pg_class.oid"
            " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v') AND attnum > 0"
            " AND relname <> 'alembic_version' AND NOT relispartition"
            " AND (obj_description(attrelid) IS NULL OR col_description(attrelid, attnum) IS NULL)"
        )
        undescribed = cursor.fetchall()
    session.close()
    assert undescribed == []


ROWS = """
SELECT ensure_experience_partition('2026-03-01'), ensure_experience_partition('2026-04-01');
INSERT INTO learning_experiences (
    occurred_at, agent, episode, step, state, action, reward, next_state, terminated, truncated, propensity,
    exploration_rate, success, policy_version, fingerprint, source
)
SELECT
    '2026-03-31 23:00:00+00'::timestamptz + (number * 7919 % 70001) / 20 * interval '1 second',
    CASE WHEN number % 70001 < 66000 THEN 'tester' ELSE 'änother' END,
    'épisode "' || number / 10 || '", with a comma',
    number % 10,
    number % 500,
    number % 6,
    (number % 2001) / 10.0 - 100,
    (number + 1) % 500,
    number % 10 = 9 AND number % 20 = 9,
    number % 10 = 9 AND number % 20 <> 9,
    1.0 / (1 + number % 7),
    CASE WHEN number % 3 > 0 THEN number % 5 / 5.0 END,
    CASE WHEN number % 10 = 9 AND number % 4 > 0 THEN number % 4 = 1 END,
    CASE WHEN number % 11 = 0 THEN number END,
    CASE WHEN number % 2 = 0 THEN 'contract-1' ELSE 'contract-0' END,
    CASE WHEN number % 1000 < 3 THEN 'import:ö' ELSE 'simulated' END
FROM generate_series(0, 149999) AS number;
"""
"""150,000 rows of the first schema: two months, agents, contracts and sources, every null, times that tie."""

COLUMNS = (
    "occurred_at, agent, episode, step, state, action, reward, next_state, terminated, truncated, "
    "propensity, exploration_rate, success, policy_version, fingerprint, source"
)
IN_ORDER = f"SELECT {COLUMNS} FROM learning_experiences ORDER BY agent, occurred_at, source, episode, step"


def bring_to_schema(url: str, revision: str) -> None:
    """Make the tables of an earlier release."""
    versions = files("qe_core.store.migrations").joinpath("versions")
    scripts = sorted(path.name for path in versions.iterdir() if path.name.endswith(".sql"))
    for name in [name for name in scripts if name[:4] <= revision]:
        execute(url, versions.joinpath(name).read_text().replace("{", "{{").replace("}", "}}"))
    execute(url, "CREATE TABLE alembic_version (version_num varchar(32) NOT NULL PRIMARY KEY)")
    execute(url, f"INSERT INTO alembic_version VALUES ('{revision}')")


def rows_of(url: str, statement: str) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(url)) as session, session.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


async def check_that_every_row_is_kept(url: str) -> None:
    """Fill a database of the first release, migrate it from two sides at once, and compare everything."""
    bring_to_schema(url, "0001")
    execute(url, ROWS)
    before = rows_of(url, IN_ORDER)
    assert len(before) == 150_000
    # Two processes: one migrates, the other waits for it and finds nothing to do.
    program = (
        "import asyncio, sys; from qe_core.store import migrate;"
        "sys.stdout.write(str(asyncio.run(migrate(sys.argv[1])).from_revision))"
    )
    racers = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", program, url, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    told = [(await racer.communicate())[0].decode() for racer in racers]
    assert sorted(told) == ["0001", latest_revision()]
    assert rows_of(url, IN_ORDER) == before
    assert not (await migrate(url)).is_changed
    [(chunks, largest)] = rows_of(url, "SELECT count(*), max(experiences) FROM experience_chunks")
    assert (chunks, largest) == (10, 65_536)
    async with Store.connect(url) as store:
        for agent in ("tester", "änother"):
            found = await store.experiences.load_transitions(agent, FINGERPRINT)
            expected = [row[6] for row in before if (row[1], row[14]) == (agent, FINGERPRINT)]
            assert found.reward.tolist() == expected
        again = await store.experiences.read_columns("änother", 0, 200_000)
        assert await store.experiences.append(again.drop_columns("experience_id")) == 0


async def test_a_full_database_of_the_first_release_keeps_every_row(empty_database_url: str) -> None:
    await check_that_every_row_is_kept(empty_database_url)


async def test_views_of_the_analytics_project_do_not_keep_the_schema_from_changing(
    empty_database_url: str,
) -> None:
    bring_to_schema(empty_database_url, "0001")
    execute(empty_database_url, "CREATE SCHEMA qe_views")
    execute(empty_database_url, "CREATE VIEW qe_views.stg_experiences AS SELECT * FROM learning_experiences")
    assert (await migrate(empty_database_url)).to_revision == latest_revision()
    async with Store.connect(empty_database_url) as store:
        assert await store.experiences.append(experiences(5)) == 5


CHUNK = """
INSERT INTO experience_chunks (
    arrived_at, agent, fingerprint, source, experiences, first_at, last_at, occurred_at, episode, step, state,
    action, reward, next_state, terminated, truncated, propensity, exploration_rate, success, policy_version
)
SELECT
    day + interval '12 hours', 'tester', 'contract-1', 'agent', 1, day, day, ARRAY[day], ARRAY['e'], ARRAY[0],
    ARRAY[1], ARRAY[2], ARRAY[3.5], ARRAY[4], ARRAY[true], ARRAY[false], ARRAY[1.0], ARRAY[0.0], ARRAY[1],
    ARRAY[-1]
FROM (SELECT '{day} 00:00:00+00'::timestamptz AS day) AS chosen
"""


def break_off_detachment(url: str, partition: str) -> None:
    """Begin to detach a partition while somebody reads the log, and lose patience."""
    with closing(psycopg2.connect(url)) as reader, reader.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM experience_chunks")
        with pytest.raises(psycopg2.errors.QueryCanceled):
            execute(
                f"{url}&options=-c%20statement_timeout%3D200",
                f"ALTER TABLE experience_chunks DETACH PARTITION {partition} CONCURRENTLY",
            )
    [(pending,)] = rows_of(url, "SELECT count(*) FROM pg_inherits WHERE inhdetachpending")
    assert pending == 1


async def test_a_full_database_of_the_last_release_keeps_its_log_wherever_it_lies(
    empty_database_url: str,
) -> None:
    url = empty_database_url
    bring_to_schema(url, "0005")
    for day in ("2020-01-01", "2020-01-02", "2020-01-03"):
        execute(url, f"SELECT ensure_chunk_partition('{day}')")
        execute(url, CHUNK.format(day=day))
    # Removing old days broke off twice: one is beside the log already, the other half-way.
    execute(url, "ALTER TABLE experience_chunks DETACH PARTITION experience_chunks_2020_01_01")
    break_off_detachment(url, "experience_chunks_2020_01_02")
    assert (await migrate(url)).from_revision == "0005"
    nobody = [(None, None)]
    assert rows_of(url, "SELECT developer, project FROM experience_chunks") == nobody
    async with Store.connect(url) as store:
        report = await store.retention.run(30, keep_newest=10)
        assert report.partitions_dropped == ("experience_chunks_2020_01_01", "experience_chunks_2020_01_02")
        assert (await store.experiences.load_transitions("tester", FINGERPRINT)).state.tolist() == [1, 1, 1]
    assert rows_of(url, "SELECT developer, project FROM learnable_chunks") == nobody * 3


def test_the_log_takes_pseudonyms_and_no_names(database_url: str) -> None:
    named = CHUNK.replace("policy_version\n)", "policy_version, {column}\n)").replace(
        "ARRAY[-1]\n", "ARRAY[-1], '{value}'\n"
    )
    execute(database_url, "SELECT ensure_chunk_partition('2020-01-01')")
    for column in ("developer", "project"):
        execute(database_url, named.format(day="2020-01-01", column=column, value="0a" * 16))
        for value in ("ada@example.com", "0A" * 16, "0a" * 15, "0a" * 17, "0a" * 16 + "\n"):
            with pytest.raises(psycopg2.errors.CheckViolation, match="experience_identities_are_pseudonyms"):
                execute(database_url, named.format(day="2020-01-01", column=column, value=value))
