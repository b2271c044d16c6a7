"""Where a benchmark works: a directory on a real disk, one durable server, how large to make things.

What belongs here: what every benchmark is handed by the harness. What does not: measuring (`harness`).
"""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Self, TypeVar

import psycopg2
from psycopg2 import sql

from benchmarks.harness import BenchmarkError
from benchmarks.machine import file_system_of
from qe_core.store import migrate
from qe_core.store.server import EmbeddedServer

Size = TypeVar("Size")

DEFAULT_DIRECTORY = Path("/var/tmp")  # noqa: S108
"""On a disk nearly everywhere, unlike /tmp; and the server's own account can enter it."""

SERVER_SETTINGS = {"max_connections": "300", "shared_buffers": "512MB", "max_wal_size": "4GB"}
"""On top of the product's; fsync, full_page_writes and synchronous_commit stay on: durable means durable."""

_IN_MEMORY = ("tmpfs", "ramfs", "devtmpfs")
_TEMPLATE = "bench_template"


class Place:
    """A private directory and, once somebody asks, a PostgreSQL of its own in it; all gone at the end.

    Args:
        is_quick: whether sizes are the short ones.
        parent: a directory on the disk to measure.
        minutes: how long the endurance part of a benchmark lasts, where it has one.

    Raises:
        BenchmarkError: the directory is kept in memory, where nothing is durable.
    """

    def __init__(
        self, is_quick: bool = False, parent: Path = DEFAULT_DIRECTORY, minutes: float | None = None
    ) -> None:
        self.is_quick = is_quick
        self.minutes = minutes
        self._parent = parent
        self._opened = ExitStack()
        self._server: EmbeddedServer | None = None
        self._numbers = count(1)
        if file_system_of(parent) in _IN_MEMORY:
            raise BenchmarkError(
                f"{parent} is kept in memory: durable writes cannot be measured there; "
                "name a directory on a disk with --directory"
            )

    def __enter__(self) -> Self:
        try:
            name = self._opened.enter_context(
                tempfile.TemporaryDirectory(prefix="qe-bench-", dir=self._parent)
            )
        except OSError as error:
            raise BenchmarkError(f"{self._parent} cannot be used: {error}; name another directory") from error
        self.directory = Path(name)
        self.directory.chmod(0o711)  # the database's own account must be able to enter
        return self

    def __exit__(self, *exc: object) -> None:
        self._opened.close()

    def size(self, full: Size, quick: Size) -> Size:
        """Return the one that fits this run."""
        return quick if self.is_quick else full

    @property
    def server(self) -> EmbeddedServer:
        """The running server; started on first use."""
        if self._server is None:
            server = EmbeddedServer(self.directory / "postgres", settings=SERVER_SETTINGS)
            self._opened.enter_context(server)
            asyncio.run(migrate(server.url(_TEMPLATE)))
            self._server = server
        return self._server

    @property
    def has_server(self) -> bool:
        """Whether a server was started in this run."""
        return self._server is not None

    @contextmanager
    def database(self) -> Iterator[str]:
        """Yield the URL of a fresh, migrated database, dropped afterwards."""
        name = f"bench_{next(self._numbers)}"
        administration = self.server.url("postgres")
        _execute(administration, "CREATE DATABASE {} TEMPLATE {}", name, _TEMPLATE)
        try:
            yield self.server.url(name)
        finally:
            _execute(administration, "DROP DATABASE {} WITH (FORCE)", name)


def _execute(url: str, statement: str, *names: str) -> None:
    with closing(psycopg2.connect(url)) as session:
        session.autocommit = True
        with session.cursor() as cursor:
            cursor.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
