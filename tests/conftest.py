"""Fixtures for all tests: a real PostgreSQL, a fresh database for each test that wants one.

One embedded server per test process (so also per pytest-xdist worker), in a private directory of its own,
behind its own socket. A database is a copy of one migrated template, which takes milliseconds.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import psycopg2
import pytest
from psycopg2 import sql

from qe_core.store import Store, migrate
from qe_core.store.server import EmbeddedServer

TEMPLATE = "qe_template"
THROWAWAY_SETTINGS = {"fsync": "off", "full_page_writes": "off", "max_connections": "100"}
"""Nothing here needs to survive a power cut, and tests are quicker without waiting for the disk."""

ROOM_BYTES = 4_000_000_000
"""What the servers of a few test processes need at most."""

_numbers = count()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the developer's own QE_ variables out of every test."""
    for variable in [name for name in os.environ if name.startswith("QE_")]:
        monkeypatch.delenv(variable)


def execute(url: str, statement: str, *names: str) -> None:
    """Run one statement outside a transaction; ``names`` are put in as quoted identifiers."""
    with closing(psycopg2.connect(url)) as session:
        session.autocommit = True
        with session.cursor() as cursor:
            cursor.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


def memory_directory() -> str | None:
    """Return a directory in memory, so that no test waits for a busy disk; None where there is no room."""
    shared = Path("/dev/shm")
    has_room = shared.is_dir() and shutil.disk_usage(shared).free > ROOM_BYTES
    return str(shared) if has_room else None


@pytest.fixture(scope="session")
def server_directory() -> Iterator[Path]:
    """A private directory that PostgreSQL's own account can enter, for servers of this test process."""
    directory = Path(tempfile.mkdtemp(prefix="qe-test-", dir=memory_directory()))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def postgres_server(server_directory: Path) -> Iterator[EmbeddedServer]:
    """A running embedded PostgreSQL with a migrated template database."""
    with EmbeddedServer(server_directory / "postgres", settings=THROWAWAY_SETTINGS) as server:
        asyncio.run(migrate(server.url(TEMPLATE)))
        yield server


@pytest.fixture
def empty_database_url(postgres_server: EmbeddedServer) -> Iterator[str]:
    """The URL of a database without any tables, dropped afterwards."""
    yield from _database(postgres_server, "template0")


@pytest.fixture
def database_url(postgres_server: EmbeddedServer) -> Iterator[str]:
    """The URL of a fresh, migrated database, dropped afterwards."""
    yield from _database(postgres_server, TEMPLATE)


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    """An open store on a fresh database."""
    async with Store.connect(database_url) as opened:
        yield opened


def _database(server: EmbeddedServer, template: str) -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    execute(server.url("postgres"), "CREATE DATABASE {} TEMPLATE {}", name, template)
    yield server.url(name)
    execute(server.url("postgres"), "DROP DATABASE {} WITH (FORCE)", name)
