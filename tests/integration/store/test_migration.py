"""Bringing databases to this version's schema."""

import asyncio
from pathlib import Path

import psycopg2
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

from qe_core.errors import MigrationError
from qe_core.store import Store, migrate
from qe_core.store.migration import latest_revision
from qe_core.store.server import EmbeddedServer
from tests.conftest import execute
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
