"""Connections to PostgreSQL, and its refusals in the product's words.

What belongs here: the pool, what a server must be, translating the driver's errors, repeating what PostgreSQL
broke off. What does not: any statement's meaning.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias, TypeVar

import asyncpg
import numpy as np

from qe_core.errors import ConfigError, DatabaseUnavailableError, MigrationError, StoreError
from qe_core.store.counting import Counter
from qe_core.store.migration import check_revision
from qe_core.store.statements import STATEMENTS
from qe_core.store.urls import checked_url, database_name, shown

Connection: TypeAlias = asyncpg.pool.PoolConnectionProxy
Result = TypeVar("Result")

MINIMUM_VERSION = 14
CONNECT_SECONDS = 10.0
TRANSIENT_ATTEMPTS = 8
SESSION = {
    "application_name": "qe-fleet",
    "timezone": "UTC",
    # A machine that vanished in the middle of a flush holds its table's line until the server notices: after
    # half a minute instead of two hours.
    "tcp_keepalives_idle": "15",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
_BACKOFF_SECONDS = 0.01
_BACKOFF_LIMIT_SECONDS = 0.5
LOST = (
    asyncpg.ConnectionDoesNotExistError,
    asyncpg.ConnectionFailureError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the driver's state after a message it did not wait for, such as a shutdown
    OSError,
)
"""What the driver raises when a connection is gone, or was never there."""

Connect: TypeAlias = Callable[[], Awaitable[asyncpg.Connection]]
"""Opens one connection; raises ``DatabaseUnavailableError`` where nobody usable answers."""


class Database:
    """A pool on one database, with what every part of the store needs besides connections.

    Attributes:
        counter: what has been met so far.
    """

    def __init__(self, pool: asyncpg.Pool, url: str) -> None:
        self._pool = pool
        self._url = url
        self._jitter = np.random.default_rng()
        self.counter = Counter()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Yield a connection; its loss is reported as `DatabaseUnavailableError`."""
        try:
            async with self._pool.acquire(timeout=CONNECT_SECONDS) as connection:
                yield connection
        except LOST as error:
            raise self._lost(error) from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Yield a connection inside a transaction, committed on the way out and undone by any error."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def lone_transaction(self) -> AsyncIterator[Connection]:
        """Yield a connection of its own inside a transaction: one that may last while the pool is in use."""
        connection = await self.connect_alone()
        try:
            async with connection.transaction():
                yield connection
        except LOST as error:
            raise self._lost(error) from error
        finally:
            connection.terminate()

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Connection]:
        """Yield a connection inside a read-only transaction that sees one moment."""
        async with (
            self.connection() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            yield connection

    def _lost(self, error: BaseException) -> DatabaseUnavailableError:
        return DatabaseUnavailableError(
            f"the connection to {shown(self._url)} was lost: {str(error) or type(error).__name__}; "
            "nothing unacknowledged was stored, try again when the server is back"
        )

    async def fetch(self, statement: str, *parameters: Any) -> list[asyncpg.Record]:
        """Return the rows a named statement answers."""
        async with self.connection() as connection:
            return list(await connection.fetch(STATEMENTS[statement], *parameters))

    async def repeated(self, operation: Callable[[], Awaitable[Result]]) -> Result:
        """Return what ``operation`` returns, repeated where PostgreSQL broke it off to resolve a deadlock.

        Args:
            operation: one whole transaction.

        Raises:
            StoreError: it was broken off every time.
        """
        for attempt in range(TRANSIENT_ATTEMPTS):
            try:
                return await operation()
            except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError):
                self.counter.add(deadlocks=1, retries=1)
                await self.back_off(attempt)
        raise StoreError(
            f"PostgreSQL broke this transaction off {TRANSIENT_ATTEMPTS} times to resolve deadlocks; "
            "nothing of it was stored. Look for a long transaction in pg_stat_activity and try again"
        )

    async def back_off(self, attempt: int) -> None:
        """Wait a random time, on average longer with every attempt (full jitter), at most half a second.

        Args:
            attempt: 0 for the first.
        """
        await asyncio.sleep(backoff_seconds(attempt, self._jitter))

    async def connect_alone(self) -> asyncpg.Connection:
        """Return a connection of its own, outside the pool; whoever asks for it closes it.

        Raises:
            DatabaseUnavailableError: nobody answers, refuses the login, is too old or read-only.
        """
        try:
            connection = await asyncpg.connect(
                self._url, timeout=CONNECT_SECONDS, server_settings={**SESSION, "jit": "off"}
            )
        except Exception as error:
            raise explained(error, self._url) from error
        try:
            await _check_server(connection, database_name(self._url))
        except BaseException as error:
            connection.terminate()
            if isinstance(error, LOST):
                raise explained(error, self._url) from error
            raise
        return connection


def backoff_seconds(attempt: int, generator: np.random.Generator) -> float:
    """Return how long to wait: random (full jitter), longer with every attempt, at most half a second.

    Args:
        attempt: 0 for the first.
        generator: source of chance.
    """
    ceiling = min(_BACKOFF_LIMIT_SECONDS, _BACKOFF_SECONDS * 2 ** min(attempt, 16))
    return float(generator.uniform(0.0, ceiling))


@asynccontextmanager
async def open_database(database_url: str, pool_size: int) -> AsyncIterator[Database]:
    """Yield a database that is reachable, new enough, writable and migrated.

    Args:
        database_url: where it is.
        pool_size: the most connections used at once, at least 1.

    Raises:
        ConfigError: the URL is not a PostgreSQL URL, or the pool has no connection.
        DatabaseUnavailableError: nobody answers there, refuses the login, is too old or is read-only.
        MigrationError: the database or its schema is missing, older or newer than this version.
    """
    url = checked_url(database_url)
    if pool_size < 1:
        raise ConfigError(f"a pool needs at least 1 connection, not {pool_size}")
    try:
        pool = await asyncpg.create_pool(
            url,
            min_size=1,
            max_size=pool_size,
            timeout=CONNECT_SECONDS,
            server_settings=SESSION,
        )
    except Exception as error:
        raise explained(error, url) from error
    try:
        try:
            async with pool.acquire() as connection:
                await _check_server(connection, database_name(url))
        except LOST as error:
            raise explained(error, url) from error
        yield Database(pool, url)
    finally:
        await pool.close()


def explained(error: Exception, url: str) -> Exception:
    """Return a refused connection in the product's words, or the error itself if it is something else."""
    place = shown(url)
    match error:
        case asyncpg.InvalidPasswordError() | asyncpg.InvalidAuthorizationSpecificationError():
            return DatabaseUnavailableError(
                f"{place} refuses the login: {error}; correct user and password in QE_DATABASE_URL"
            )
        case asyncpg.InvalidCatalogNameError():
            return MigrationError(f"{place}: {error}; create it and its tables with: qe db migrate")
        case asyncpg.TooManyConnectionsError():
            return DatabaseUnavailableError(
                f"{place} has no connection left: {error}; close clients or raise max_connections"
            )
        case asyncpg.CannotConnectNowError():
            return DatabaseUnavailableError(
                f"{place} is starting or stopping: {error}; try again in a moment"
            )
        case asyncpg.ClientConfigurationError():
            return ConfigError(f"the database URL {place} cannot be used: {error}")
        case TimeoutError():
            return DatabaseUnavailableError(
                f"{place} does not answer within {CONNECT_SECONDS:g} s; check the address and the network"
            )
        case OSError() | asyncpg.PostgresError() | asyncpg.InterfaceError() | asyncpg.InternalClientError():
            return DatabaseUnavailableError(
                f"{place} cannot be reached: {error}; check that the server runs and "
                "QE_DATABASE_URL is right, or unset it to use the embedded server"
            )
        case _:
            return error


def check_server(version_num: int, version_text: str, is_read_only: bool) -> None:
    """Do nothing if such a server can be used.

    Args:
        version_num: for example 140012 for 14.12.
        version_text: the same for people.
        is_read_only: whether transactions cannot write.

    Raises:
        DatabaseUnavailableError: it is too old or read-only; the message says what to do.
    """
    if version_num < MINIMUM_VERSION * 10_000:
        raise DatabaseUnavailableError(
            f"the server is PostgreSQL {version_text}; version {MINIMUM_VERSION} or later is needed. "
            "Upgrade it, or unset QE_DATABASE_URL to use the embedded server"
        )
    if is_read_only:
        raise DatabaseUnavailableError(
            "the server is read-only, a standby or set so; point QE_DATABASE_URL at the primary"
        )


async def _check_server(connection: Connection, database: str) -> None:
    found = await connection.fetchrow(STATEMENTS["describe_server"])
    check_server(found["version_num"], found["version_text"], found["is_read_only"])
    revision = await connection.fetchval(STATEMENTS["schema_revision"]) if found["is_migrated"] else None
    check_revision(revision, database)
