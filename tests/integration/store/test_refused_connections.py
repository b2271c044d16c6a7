"""What a person reads when the database cannot be used."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from qe_core.errors import ConfigError, DatabaseUnavailableError, MigrationError, QEError
from qe_core.store import Store, migrate
from qe_core.store.server import EmbeddedServer
from qe_core.store.urls import with_database
from tests.conftest import THROWAWAY_SETTINGS, execute

BAD_URLS: list[tuple[str, type[QEError], str]] = [
    ("localhost/qe", ConfigError, "is not a URL; write it like postgresql://"),
    ("", ConfigError, "is not a URL; write it like postgresql://"),
    ("mysql://me@host/qe", ConfigError, "has scheme 'mysql'; only PostgreSQL is supported"),
    ("sqlite:///qe.db", ConfigError, "has scheme 'sqlite'; only PostgreSQL is supported"),
    ("postgresql+asyncpg://me@host/qe", ConfigError, r"scheme 'postgresql\+asyncpg'"),
    ("postgresql://me@host:port/qe", ConfigError, "cannot be read: Port could not be cast"),
    ("postgresql://me@host:99999/qe", ConfigError, "cannot be read: Port out of range"),
    ("postgresql://me@[::1/qe", ConfigError, "cannot be read: Invalid IPv6"),
    ("postgresql:///qe", ConfigError, "names no host"),
    ("postgresql://me@host", ConfigError, "names no database; end it with one"),
    ("postgresql://me@host/", ConfigError, "names no database; end it with one"),
    ("postgresql://me@host/qe?sslmode=sometimes", ConfigError, "cannot be used: .*sslmode"),
    (
        "postgresql://me:secret@127.0.0.1:1/qe",
        DatabaseUnavailableError,
        "me:\\*\\*\\*@.*check that the server runs",
    ),
    ("postgresql://me@no-such-host.invalid/qe", DatabaseUnavailableError, "cannot be reached"),
    (
        "postgresql://me@/qe?host=/nowhere",
        DatabaseUnavailableError,
        "cannot be reached.*unset it to use the embedded",
    ),
]


@pytest.mark.parametrize(("url", "error", "message"), BAD_URLS, ids=[url for url, _, _ in BAD_URLS])
async def test_an_unusable_url_is_explained_without_its_password(
    url: str, error: type[QEError], message: str
) -> None:
    with pytest.raises(error, match=message) as refused:
        async with Store.connect(url):
            pass
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(("url", "error", "message"), BAD_URLS[-3:-2] + BAD_URLS[:3])
async def test_migrating_explains_an_unusable_url_too(url: str, error: type[QEError], message: str) -> None:
    with pytest.raises(
        error, match=message.replace("check that the server runs", "check address and password")
    ):
        await migrate(url)


async def test_a_pool_without_connections_is_refused(database_url: str) -> None:
    with pytest.raises(ConfigError, match="at least 1 connection, not 0"):
        async with Store.connect(database_url, pool_size=0):
            pass


async def test_a_missing_database_says_how_to_create_it(postgres_server: EmbeddedServer) -> None:
    with pytest.raises(
        MigrationError, match=r'database "nowhere" does not exist; create it .*: qe db migrate'
    ):
        async with Store.connect(postgres_server.url("nowhere")):
            pass


async def test_a_database_without_tables_says_how_to_create_them(empty_database_url: str) -> None:
    with pytest.raises(MigrationError, match="has no tables of this product yet; run: qe db migrate"):
        async with Store.connect(empty_database_url):
            pass


async def test_an_older_schema_says_how_to_bring_it_up_to_date(database_url: str) -> None:
    execute(database_url, "UPDATE alembic_version SET version_num = '0000'")
    with pytest.raises(MigrationError, match=r"has schema 0000, this version needs .*; run: qe db migrate"):
        async with Store.connect(database_url):
            pass


async def test_a_read_only_server_is_refused(database_url: str) -> None:
    name = database_url.partition("@/")[2].partition("?")[0]
    execute(database_url, "ALTER DATABASE {} SET default_transaction_read_only = on", name)
    with pytest.raises(DatabaseUnavailableError, match=r"is read-only.*point QE_DATABASE_URL at the primary"):
        async with Store.connect(database_url):
            pass


@pytest.fixture(scope="module")
def password_server(server_directory: Path) -> Iterator[EmbeddedServer]:
    """A migrated server that also admits logins by password."""
    with EmbeddedServer(server_directory / "passwords", settings=THROWAWAY_SETTINGS) as server:
        asyncio.run(migrate(server.url()))
        rules = server.data_dir / "cluster" / "pg_hba.conf"
        rules.write_text(rules.read_text() + "local all stranger,guest scram-sha-256\n")
        execute(server.url(), "CREATE ROLE stranger LOGIN PASSWORD 'p w'")
        execute(server.url(), "CREATE ROLE guest LOGIN PASSWORD 'p w' CONNECTION LIMIT 0")
        execute(server.url(), "SELECT pg_reload_conf()")
        yield server


def login(server: EmbeddedServer, user: str, password: str) -> str:
    return server.url().replace("qe@", f"{user}:{quote(password)}@")


async def test_a_wrong_password_is_named_as_such(password_server: EmbeddedServer) -> None:
    with pytest.raises(
        DatabaseUnavailableError, match=r"refuses the login.*correct user and password"
    ) as refused:
        async with Store.connect(login(password_server, "stranger", "guess")):
            pass
    assert "guess" not in str(refused.value)


async def test_a_user_the_server_does_not_admit_is_named_as_such(password_server: EmbeddedServer) -> None:
    with pytest.raises(DatabaseUnavailableError, match="refuses the login"):
        async with Store.connect(login(password_server, "intruder", "p w")):
            pass


async def test_a_login_without_a_free_connection_is_named_as_such(password_server: EmbeddedServer) -> None:
    with pytest.raises(DatabaseUnavailableError, match="has no connection left"):
        async with Store.connect(login(password_server, "guest", "p w")):
            pass


async def test_a_login_that_may_not_create_databases_says_whom_to_ask(
    password_server: EmbeddedServer,
) -> None:
    with pytest.raises(
        MigrationError, match=r'ask the server\'s administrator to run: CREATE DATABASE "theirs"'
    ):
        await migrate(with_database(login(password_server, "stranger", "p w"), "theirs"))


async def test_a_right_password_is_accepted(password_server: EmbeddedServer) -> None:
    execute(password_server.url(), "GRANT SELECT ON ALL TABLES IN SCHEMA public TO stranger")
    async with Store.connect(login(password_server, "stranger", "p w")) as store:
        assert await store.status() == []


async def test_a_store_closes_quietly_when_its_server_is_gone(server_directory: Path) -> None:
    with EmbeddedServer(server_directory / "gone", settings=THROWAWAY_SETTINGS) as server:
        await migrate(server.url())
        async with asyncio.timeout(20), Store.connect(server.url()) as store:
            assert await store.status() == []
            server.stop()


async def test_a_server_that_went_away_is_named_as_such(server_directory: Path) -> None:
    with EmbeddedServer(server_directory / "leaving", settings=THROWAWAY_SETTINGS) as server:
        await migrate(server.url())
        async with Store.connect(server.url()) as store:
            assert await store.status() == []
            server.stop()
            with pytest.raises(
                DatabaseUnavailableError, match=r"was lost.*try again when the server is back"
            ):
                await store.status()
            server.start()
            assert await store.status() == []
