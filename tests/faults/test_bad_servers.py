"""A server that cannot be used is named; what was recorded waits for it or is refused."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import psycopg2
import pytest

from qe_core.errors import DatabaseUnavailableError, MigrationError
from qe_core.store import Store, TableHandle, connection, migrate
from qe_core.store.live import Live, LiveSettings
from qe_core.store.server import EmbeddedServer
from qe_core.store.server.embedded import PRODUCT_DATABASE
from tests.conftest import THROWAWAY_SETTINGS, execute
from tests.faults.place import ask
from tests.faults.test_bad_inputs import ACTIONS, GOOD, STATES

FEW_CONNECTIONS = 16
NOTIFY_PAGES = 64
"""The smallest queue of notifications there can be, 8 kB a page."""

IMPATIENT = LiveSettings(deadline_seconds=1.0)
PATIENT = LiveSettings(deadline_seconds=120.0)

_CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'qe-fleet'"

_CUT_DATABASE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"


@pytest.fixture(scope="module")
def server(server_directory: Path) -> Iterator[EmbeddedServer]:
    """A server of this module alone, whose settings may be changed."""
    settings = {
        **THROWAWAY_SETTINGS,
        "max_connections": str(FEW_CONNECTIONS),
        "max_notify_queue_pages": str(NOTIFY_PAGES),
    }
    with EmbeddedServer(server_directory / "bad-servers", settings=settings) as started:
        asyncio.run(migrate(started.url()))
        yield started


@pytest.fixture
def url(server: EmbeddedServer) -> Iterator[str]:
    """The URL of its database, emptied and writable again afterwards."""
    server.start()
    yield server.url()
    server.start()
    set_read_only(server, False)
    execute(server.url(), "DELETE FROM q_tables; TRUNCATE experience_chunks, flushes")


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    """A store on that server, with as few connections as possible."""
    async with Store.connect(url, pool_size=1) as opened:
        yield opened


@pytest.fixture
async def handle(store: Store) -> TableHandle:
    """The table that is written to."""
    return await store.q_tables.ensure("individual", "tester", "contract-1", STATES, ACTIONS)


def set_read_only(server: EmbeddedServer, is_read_only: bool) -> None:
    """Switch the whole server, sessions that are open included."""
    with closing(psycopg2.connect(server.url("postgres"))) as session:
        session.autocommit = True
        with session.cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = off")
            cursor.execute(
                "ALTER SYSTEM SET default_transaction_read_only = " + ("on" if is_read_only else "off")
            )
            cursor.execute("SELECT pg_reload_conf()")


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for something that will be so soon."""
    for _ in range(3_000):
        if is_so():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("what was waited for did not come true within a minute")


def is_read_only(url: str) -> bool:
    return ask(url, "SHOW default_transaction_read_only") == [("on",)]


async def assert_stored(live: Live, url: str, episodes: list[str]) -> None:
    """Exactly these are in the log and counted in the table, and nothing waits."""
    assert live.writer.counters.queue_length == 0
    assert ask(url, "SELECT episode FROM learning_experiences ORDER BY 1") == [(of,) for of in episodes]
    assert ask(url, "SELECT sum(visits)::int FROM q_values_long") == [(len(episodes),)]


async def test_a_server_that_became_read_only_is_named_and_later_written_to(
    server: EmbeddedServer, url: str, store: Store, handle: TableHandle
) -> None:
    async with store.live(IMPATIENT) as live:
        await live.writer.record(handle, GOOD._replace(episode="before"), 1.0, 0.5)
        set_read_only(server, True)
        await until(lambda: is_read_only(url))
        with pytest.raises(DatabaseUnavailableError, match="read-only"):
            await live.writer.record(handle, GOOD._replace(episode="refused"), 1.0, 0.5)
        set_read_only(server, False)
        await until(lambda: not is_read_only(url))
        await live.writer.record(handle, GOOD._replace(episode="later"), 1.0, 0.5)
        await assert_stored(live, url, ["before", "later"])


async def test_records_wait_while_the_server_is_read_only(
    server: EmbeddedServer, url: str, store: Store, handle: TableHandle
) -> None:
    async with store.live(PATIENT) as live:
        await live.writer.record(handle, GOOD._replace(episode="before"), 1.0, 0.5)
        set_read_only(server, True)
        await until(lambda: is_read_only(url))
        waiting = asyncio.create_task(live.writer.record(handle, GOOD._replace(episode="waited"), 1.0, 0.5))
        await until(lambda: live.writer.counters.failed_attempts > 0)
        assert not waiting.done()
        assert live.writer.counters.queue_length == 1
        set_read_only(server, False)
        await waiting
        await assert_stored(live, url, ["before", "waited"])


async def test_a_server_without_a_free_connection_is_named_and_later_written_to(
    server: EmbeddedServer, url: str, store: Store, handle: TableHandle
) -> None:
    async with store.live(IMPATIENT) as live:
        await live.writer.record(handle, GOOD._replace(episode="before"), 1.0, 0.5)
        with ExitStack() as hogs:
            await take_all_connections(server, hogs)
            with pytest.raises(DatabaseUnavailableError, match="no connection left"):
                await live.writer.record(handle, GOOD._replace(episode="refused"), 1.0, 0.5)
        await until(lambda: can_connect(url))
        await live.writer.record(handle, GOOD._replace(episode="later"), 1.0, 0.5)
        await assert_stored(live, url, ["before", "later"])


async def test_records_wait_for_a_free_connection(
    server: EmbeddedServer, url: str, store: Store, handle: TableHandle
) -> None:
    async with store.live(PATIENT) as live:
        await live.writer.record(handle, GOOD._replace(episode="before"), 1.0, 0.5)
        with ExitStack() as hogs:
            await take_all_connections(server, hogs)
            waiting = asyncio.create_task(
                live.writer.record(handle, GOOD._replace(episode="waited"), 1.0, 0.5)
            )
            await until(lambda: live.writer.counters.failed_attempts > 0)
            assert not waiting.done()
        await waiting
        await assert_stored(live, url, ["before", "waited"])


async def take_all_connections(server: EmbeddedServer, hogs: ExitStack) -> None:
    """Cut the product's sessions and take what becomes free, until it has none and there is none left."""
    admin = hogs.enter_context(closing(psycopg2.connect(server.url("postgres"))))
    admin.autocommit = True
    with admin.cursor() as cursor:
        for _ in range(1_000):
            try:
                while True:
                    hogs.enter_context(closing(psycopg2.connect(server.url("postgres"))))
            except psycopg2.OperationalError:
                cursor.execute(_CUT)
                if cursor.fetchall() == []:
                    return
            await asyncio.sleep(0.01)
    raise AssertionError("the product's sessions cannot be crowded out")


def can_connect(url: str) -> bool:
    try:
        return ask(url, "SELECT 1") == [(1,)]
    except psycopg2.OperationalError:
        return False


async def test_a_store_is_not_opened_on_a_server_without_a_free_connection(
    server: EmbeddedServer, url: str
) -> None:
    with ExitStack() as hogs:
        await take_all_connections(server, hogs)
        with pytest.raises(DatabaseUnavailableError, match="no connection left"):
            async with Store.connect(url, pool_size=1):
                pass


async def test_a_server_older_than_supported_is_refused_by_every_connection_of_the_hot_path(
    monkeypatch: pytest.MonkeyPatch, url: str, store: Store, handle: TableHandle
) -> None:
    """No server that old can be had here, so the real one is made too old by asking for the next version."""
    async with store.live(IMPATIENT) as live:
        monkeypatch.setattr(connection, "MINIMUM_VERSION", 19)
        ask(url, _CUT)
        with pytest.raises(
            DatabaseUnavailableError, match=r"PostgreSQL 18\.\d+; version 19 or later is needed"
        ):
            await live.writer.record(handle, GOOD._replace(episode="refused"), 1.0, 0.5)
        monkeypatch.undo()
        await live.writer.record(handle, GOOD._replace(episode="later"), 1.0, 0.5)
        await assert_stored(live, url, ["later"])


async def test_the_hot_path_is_not_opened_on_a_server_older_than_supported(
    monkeypatch: pytest.MonkeyPatch, url: str, store: Store
) -> None:
    monkeypatch.setattr(connection, "MINIMUM_VERSION", 19)
    with pytest.raises(DatabaseUnavailableError, match="version 19 or later is needed"):
        async with store.live(IMPATIENT):
            pass


@pytest.mark.parametrize("version_num", [90_624, 130_023])
def test_versions_before_14_are_refused_by_name(version_num: int) -> None:
    with pytest.raises(DatabaseUnavailableError, match="version 14 or later is needed"):
        connection.check_server(version_num, "old", is_read_only=False)


async def test_a_schema_of_another_release_is_refused_by_name_and_nobody_waits(
    url: str, store: Store, handle: TableHandle
) -> None:
    """Somebody migrates the database while the process runs and its connections are cut."""
    async with store.live(PATIENT) as live:
        await live.writer.record(handle, GOOD._replace(episode="before"), 1.0, 0.5)
        [[revision]] = ask(url, "SELECT version_num FROM alembic_version")
        ask(url, "UPDATE alembic_version SET version_num = '9999'")
        try:
            ask(url, _CUT)
            with pytest.raises(MigrationError):
                await live.writer.record(handle, GOOD._replace(episode="refused"), 1.0, 0.5)
        finally:
            ask(url, "UPDATE alembic_version SET version_num = %s", revision)
        await live.writer.record(handle, GOOD._replace(episode="later"), 1.0, 0.5)
        await assert_stored(live, url, ["before", "later"])


async def test_a_server_that_is_gone_is_named_and_later_written_to(
    server: EmbeddedServer, url: str, store: Store, handle: TableHandle
) -> None:
    async with store.live(IMPATIENT) as live:
        await live.writer.record(handle, GOOD._replace(episode="before"), 1.0, 0.5)
        server.stop()
        with pytest.raises(DatabaseUnavailableError, match="not stored"):
            await live.writer.record(handle, GOOD._replace(episode="refused"), 1.0, 0.5)
        server.start()
        await live.writer.record(handle, GOOD._replace(episode="later"), 1.0, 0.5)
        await assert_stored(live, url, ["before", "later"])


async def test_one_database_that_is_read_only_does_not_hold_up_another(
    server: EmbeddedServer, url: str, store: Store, handle: TableHandle
) -> None:
    other = server.url("other")
    await migrate(other)
    async with Store.connect(other, pool_size=1) as elsewhere, elsewhere.live(IMPATIENT) as unaffected:
        theirs = await elsewhere.q_tables.ensure("individual", "tester", "contract-1", STATES, ACTIONS)
        async with store.live(IMPATIENT) as live:
            execute(url, "ALTER DATABASE {} SET default_transaction_read_only = on", PRODUCT_DATABASE)
            ask(server.url("postgres"), _CUT_DATABASE, PRODUCT_DATABASE)
            try:
                refused = asyncio.create_task(live.writer.record(handle, GOOD, 1.0, 0.5))
                for number in range(20):
                    await unaffected.writer.record(theirs, GOOD._replace(step=number), 1.0, 0.5)
                with pytest.raises(DatabaseUnavailableError, match="read-only"):
                    await refused
            finally:
                execute(server.url("postgres"), "ALTER DATABASE {} RESET ALL", PRODUCT_DATABASE)


async def test_a_flush_that_cannot_be_announced_is_stored_once_and_acknowledged(
    url: str, store: Store, handle: TableHandle
) -> None:
    """A listener that sits in a transaction lets the queue of notifications fill up."""
    async with store.live(PATIENT) as live:
        await live.writer.record(handle, GOOD._replace(episode="before"), 1.0, 0.5)
        with closing(psycopg2.connect(url)) as idler, idler.cursor() as cursor:
            cursor.execute("LISTEN elsewhere")
            idler.commit()
            cursor.execute("SELECT 1")
            fill_notifications(url)
            acknowledged = await live.writer.record(handle, GOOD._replace(episode="unannounced"), 1.0, 0.5)
            assert (acknowledged.version, acknowledged.is_repeated) == (2, False)
            idler.rollback()
        # Asking how full the queue is also removes what everybody has read.
        ask(url, "SELECT pg_notification_queue_usage()")
        await live.writer.record(handle, GOOD._replace(episode="later"), 1.0, 0.5)
        await assert_stored(live, url, ["before", "later", "unannounced"])


def fill_notifications(url: str) -> None:
    with closing(psycopg2.connect(url)) as session, session.cursor() as cursor:
        session.autocommit = True
        for number in range(4 * NOTIFY_PAGES):
            try:
                cursor.execute("SELECT pg_notify('elsewhere', %s || repeat('x', 7000))", (str(number),))
            except psycopg2.errors.ProgramLimitExceeded:
                return
    raise AssertionError("the queue of notifications did not fill up")
