"""`qe demo --team` whole, on real databases: what leaves, what it costs, what a newcomer has of it."""

import re
from contextlib import closing

import psycopg2
import pytest
from psycopg2 import sql

from qe_core.fleet import registry
from qe_core.runtime.team_demo.cast import CENTRAL_DATABASE, NEWCOMER, TEAM
from qe_core.store import Store
from qe_core.store.urls import with_database
from tests.conftest import execute

AGENTS = ("quality-gate", "quality-analyzer")
DATABASES = (CENTRAL_DATABASE, *(member.database for member in (*TEAM, NEWCOMER)))

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def home(server_directory, database_url):
    """A home of its own; the demo's databases are dropped afterwards."""
    yield server_directory / "team demo home"
    for name in DATABASES:
        execute(with_database(database_url, "postgres"), "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


async def test_a_team_shares_and_a_newcomer_starts_where_it_ended(qe, home, tmp_path, database_url):
    arguments = ("demo", "--team", "--agents", ",".join(AGENTS))
    first = await qe(*arguments, QE_HOME=str(home))
    assert first.returncode == 0, first.stderr
    assert "the team has 2 contributors, and at least 3 are needed" in " ".join(first.stdout.split())
    assert "sharing is off" in first.stdout
    assert "grace keeps quality-analyzer to itself" in first.stdout
    html = (tmp_path / "qe-report" / "team.html").read_text()
    assert (tmp_path / "qe-report" / "team-demo.png").stat().st_size > 10_000
    assert not re.search(r"(src|href)\s*=|@import|url\(|<script", html)

    async with Store.connect(with_database(database_url, NEWCOMER.database)) as store:
        for name in AGENTS:
            table = await store.team_tables.current(name, registry().get(name).fingerprint)
            # A pair is known where enough was reported; with 15,000 tasks it is dozens, and never all.
            assert 20 < table.evidence.known_count < 300
        assert await store.releases.all() == []
    for member in TEAM:
        async with Store.connect(with_database(database_url, member.database)) as store:
            [release] = await store.releases.sent()
            assert [name for name, _ in release.header.agents] == list(AGENTS)
            assert len(await store.privacy_ledger.entries()) == 1

    kept = content(database_url)
    again = await qe(*arguments, QE_HOME=str(home))
    assert again.returncode == 0, again.stderr
    assert "all sessions were played before; nothing new" in again.stderr
    assert content(database_url) == kept
    assert (tmp_path / "qe-report" / "team.html").read_text() == html


def content(database_url):
    """Return a digest of each table of each of the demo's databases."""
    digests = {}
    for name in DATABASES:
        with (
            closing(psycopg2.connect(with_database(database_url, name))) as session,
            session.cursor() as cursor,
        ):
            cursor.execute("SELECT schemaname, relname FROM pg_stat_user_tables")
            for table in cursor.fetchall():
                statement = sql.SQL(
                    "SELECT md5(string_agg(line::text, chr(10) ORDER BY line::text)) FROM {} AS line"
                )
                cursor.execute(statement.format(sql.Identifier(*table)))
                if table != (
                    "team",
                    "identity",
                ):  # it says when the last build was, which is what builds wait for
                    digests[name, table] = cursor.fetchone()
    assert len(digests) > 6 * 20
    return digests


async def test_agents_that_cannot_be_shared_are_refused_before_anything_happens(qe, home):
    refused = await qe("demo", "--team", "--agents", "test-generator", QE_HOME=str(home))
    assert refused.returncode == 1
    assert "test-generator cannot be shared" in refused.stderr
    unknown = await qe("demo", "--team", "--agents", "quality-gte", QE_HOME=str(home))
    assert unknown.returncode == 1
    assert "quality-gate" in unknown.stderr
    alone = await qe("demo", "--agents", "quality-gate", QE_HOME=str(home))
    assert alone.returncode == 2
    assert "say --team as well" in alone.stderr
