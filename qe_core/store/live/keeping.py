"""One connection kept for one purpose, made anew when it is lost.

What belongs here: connecting, telling a lost connection from a refused statement, backing off. What does not:
what the connection is used for (`asking`, `listener`).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import asyncpg
import numpy as np

from qe_core.errors import DatabaseUnavailableError, StoreError
from qe_core.store.connection import Connect, backoff_seconds
from qe_core.store.live.reader_settings import ReadCounters

_STEADY_SECONDS = 5.0

logger = logging.getLogger(__name__)

LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the driver's state after a message it did not wait for, such as a shutdown
    OSError,
    TimeoutError,
)
"""What a statement raises when its connection or its server, not the statement, is at fault."""


def require_open(connection: asyncpg.Connection) -> None:
    """Raise ``ConnectionResetError`` if a connection was closed."""
    if connection.is_closed():
        raise ConnectionResetError("the server closed the connection")


class KeptConnection:
    """Keeps one connection and runs one job on it, again and again until it is closed.

    Args:
        connect: opens one connection.
        purpose: names the task and the log lines.
        job: uses the connection until it is lost; does not return.
        wake: has the job look whether its connection was closed while it waited for something else.
        counters: where connections made anew are counted.

    Attributes:
        reason: why there is no connection, or no answer, at present; for messages.
    """

    def __init__(
        self,
        connect: Connect,
        purpose: str,
        job: Callable[[asyncpg.Connection], Awaitable[None]],
        wake: Callable[[], None],
        counters: ReadCounters,
    ) -> None:
        self._connect = connect
        self._jitter = np.random.default_rng()
        self._purpose = purpose
        self._job = job
        self._wake = wake
        self._counters = counters
        self._task: asyncio.Task[None] | None = None
        self.reason = "it was not opened yet"

    async def start(self) -> None:
        """Connect and begin the job.

        Raises:
            DatabaseUnavailableError: nobody answers.
        """
        connection = await self._connected()
        self._task = asyncio.create_task(self._run(connection), name=f"qe-live-{self._purpose}")

    async def close(self) -> None:
        """End the job and the connection."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()

    async def _run(self, connection: asyncpg.Connection) -> None:
        attempt = 0
        while True:
            began = asyncio.get_running_loop().time()
            try:
                await self._job(connection)
            except (*LOST, asyncpg.PostgresError) as error:
                self.reason = str(error) or type(error).__name__
                logger.warning("%s: %s", self._purpose, self.reason)
            finally:
                connection.terminate()
                self._counters.away += 1
            if asyncio.get_running_loop().time() - began > _STEADY_SECONDS:
                attempt = 0
            connection, attempt = await self._reconnect(attempt)
            self._counters.reconnects += 1
            self._counters.away -= 1

    async def _reconnect(self, attempt: int) -> tuple[asyncpg.Connection, int]:
        """Return a connection as soon as there is one, trying at random and ever longer intervals."""
        while True:
            attempt += 1
            await asyncio.sleep(backoff_seconds(attempt, self._jitter))
            try:
                return await self._connected(), attempt
            except DatabaseUnavailableError as error:
                self.reason = str(error)

    async def _connected(self) -> asyncpg.Connection:
        try:
            connection = await self._connect()
        except DatabaseUnavailableError:
            raise
        except (*LOST, asyncpg.PostgresError, StoreError) as error:
            raise DatabaseUnavailableError(str(error) or type(error).__name__) from error
        connection.add_termination_listener(lambda _: self._wake())
        self.reason = "it is connected but slow"
        return connection
