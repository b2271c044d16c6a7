"""Storing an outcome that another process may have stored already, or may still try to store.

What belongs here: claiming a decision and the one flush that may store it. What does not: what is stored
(`qe_core.runtime`), and the ordinary way, which asks nobody (`writer`).

A claim is made behind the table's line: whatever was flushed before is in the log then and is found there;
whatever comes later meets the claim and is refused, unless it is the one flush the claim names. That flush's
number follows from the decision, so everybody who recovers it sends the same flush, and one is applied.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID, uuid4, uuid5

import asyncpg
import numpy as np

from qe_core.errors import DatabaseUnavailableError
from qe_core.store.connection import LOST, Connect, backoff_seconds
from qe_core.store.errors import OutcomeUnknownError
from qe_core.store.identity import Identity
from qe_core.store.live.flush import Flush
from qe_core.store.live.line import Acknowledgement
from qe_core.store.live.packing import pack_singles
from qe_core.store.live.sender import FlushTroubleError, Sender
from qe_core.store.live.settings import LiveSettings
from qe_core.store.live.updates import Experience
from qe_core.store.live.writer import AGENT_SOURCE
from qe_core.store.records import TableHandle
from qe_core.store.statements import STATEMENTS

_NAMESPACE = UUID("7d1b3e5a-52c1-4c57-9d0e-3c9a5f4e8b20")

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Claim:
    """A decision whose outcome is to be stored.

    Attributes:
        q_table_id: the table it was taken under.
        after_version: a version that table had when the decision was taken: its outcome has a later one.
        episode: as in the log.
        step: as in the log.
    """

    q_table_id: int
    after_version: int
    episode: str
    step: int

    @property
    def flush_id(self) -> UUID:
        """The number of the one flush that may store it, whoever sends it."""
        return uuid5(_NAMESPACE, f"{self.q_table_id} {self.step} {self.episode}")


class OutcomeRecovery:
    """Stores outcomes once, whoever else tries; slower than the writer, and rarely needed.

    Args:
        connect: opens one connection; each call has its own.
        settings: whose deadline holds.
    """

    def __init__(self, connect: Connect, settings: LiveSettings) -> None:
        self._connect = connect
        self._deadline_seconds = settings.deadline_seconds
        self._jitter = np.random.default_rng()

    async def claim(self, claim: Claim) -> Acknowledgement | None:
        """Reserve a decision; return the acknowledgement of its outcome if the log has it already.

        Raises:
            DatabaseUnavailableError: nobody answered in time; try again, a claim may be repeated.
        """

        async def once() -> int | None:
            """Ask once, over a connection of its own."""
            connection = await self._connect()
            try:
                found: int | None = await connection.fetchval(
                    STATEMENTS["claim_decision"],
                    *(claim.q_table_id, claim.after_version, claim.episode, claim.step, claim.flush_id),
                    timeout=self._deadline_seconds,
                )
            except (*LOST, TimeoutError, asyncpg.PostgresError) as error:
                raise FlushTroubleError(error, is_ambiguous=False) from error
            else:
                return found
            finally:
                connection.terminate()

        recorded = await self._repeated(once)
        return None if recorded is None else Acknowledgement(claim.q_table_id, recorded, is_repeated=True)

    async def store(
        self,
        claim: Claim,
        handle: TableHandle,
        experience: Experience,
        target: float,
        learning_rate: float,
        identity: Identity,
    ) -> Acknowledgement:
        """Store the outcome of a claimed decision unless it was stored meanwhile; return when it is durable.

        Args:
            claim: claimed before.
            handle: the table, and the epoch the decision was taken under.
            experience: the transition, checked.
            target: TD target, points.
            learning_rate: in [0, 1].
            identity: whose the experience is: of the process that decided.

        Raises:
            StaleEpochError: the table was restored or replaced since. Not stored.
            DatabaseUnavailableError: nobody answered in time. Not stored.
            OutcomeUnknownError: it was sent and not acknowledged in time; call again to know.
        """
        packed = pack_singles([experience], [target], [learning_rate])
        flush = Flush.compose(claim.flush_id, handle, [packed], AGENT_SOURCE, identity)
        # A name of its own: this process's cache has to hear of the flush as if it were somebody else's.
        sender = Sender(self._connect, uuid4(), self._deadline_seconds)
        try:
            return await self._repeated(lambda: sender.send(flush))
        finally:
            sender.close()

    async def _repeated(self, attempt: Callable[[], Awaitable[Result]]) -> Result:
        """Return what an attempt returns, repeated until the deadline."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self._deadline_seconds
        is_ambiguous, failures = False, 0
        while True:
            try:
                return await attempt()
            except (FlushTroubleError, DatabaseUnavailableError) as trouble:
                is_ambiguous |= isinstance(trouble, FlushTroubleError) and trouble.is_ambiguous
                failures += 1
                pause = backoff_seconds(failures, self._jitter)
                if loop.time() + pause < ends_at:
                    await asyncio.sleep(pause)
                    continue
                if is_ambiguous:
                    raise OutcomeUnknownError(
                        f"no acknowledgement within {self._deadline_seconds:g} s ({trouble}); this outcome "
                        "is stored once or not at all: recover it again to know"
                    ) from trouble
                raise DatabaseUnavailableError(
                    f"the database did not take this outcome within {self._deadline_seconds:g} s "
                    f"({trouble}); it was not stored, recover it again when the server is back"
                ) from trouble
