"""The write path: what a process records is coalesced, flushed, and acknowledged when it is durable.

What belongs here: the queue, the workers, deadlines and retries. What does not: rules on single records
(`updates`), what one table's line remembers (`line`), the bytes of a flush (`flush`), one attempt (`sender`).

A record waits in its table's line. A worker composes the line into one flush and copies it into the inbox,
where one transaction does everything. The call that recorded returns after that transaction has committed. A
flush whose fate is unknown is sent again under the same number until the server says that it has it or takes
it: nothing is lost that was acknowledged, nothing is applied twice.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import numpy as np

from qe_core.errors import DatabaseUnavailableError, StoreError
from qe_core.learning.affine_updates import AffineUpdates
from qe_core.store.connection import Connect, backoff_seconds
from qe_core.store.errors import DecisionClaimedError, OutcomeUnknownError, QueueFullError
from qe_core.store.identity import NOBODY, Identity
from qe_core.store.live.line import Acknowledgement, Entry, Line, Sent
from qe_core.store.live.packing import check_single, pack_batch
from qe_core.store.live.room import Room
from qe_core.store.live.sender import FlushTroubleError, Sender
from qe_core.store.live.settings import LiveSettings
from qe_core.store.live.updates import Experience, PackedUpdates, UpdateBatch
from qe_core.store.records import TableHandle

AGENT_SOURCE = "agent"
"""What the log names as the origin of experiences that agents record themselves."""

CommitCallback = Callable[[int, int, AffineUpdates], None]

_SWEEP_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class WriterCounters:
    """What a writer has met since it was opened.

    Attributes:
        flushes: transactions acknowledged.
        updates: updates in them.
        repeated_flushes: of those flushes, how many the server had already when they were sent again.
        refused_updates: updates refused because their epoch had passed, or for good for another reason.
        expired_updates: updates that waited in the queue until their deadline and were not stored.
        unknown_outcomes: updates whose callers were told that the outcome is unknown.
        failed_attempts: flushes and connections that failed and were tried again.
        queue_length: updates recorded and not yet settled.
    """

    flushes: int = 0
    updates: int = 0
    repeated_flushes: int = 0
    refused_updates: int = 0
    expired_updates: int = 0
    unknown_outcomes: int = 0
    failed_attempts: int = 0
    queue_length: int = 0


class UpdateWriter:
    """Records updates of any number of tables; lives inside one event loop.

    Attributes:
        writer_id: names this writer in announcements.

    Args:
        connect: opens one connection.
        settings: sizes and deadlines.
        clock: the present, aware.
        identity: whose the experiences are that it records.
    """

    def __init__(
        self,
        connect: Connect,
        settings: LiveSettings,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        identity: Identity = NOBODY,
    ) -> None:
        self.writer_id = uuid4()
        self._connect = connect
        self._settings = settings
        self._identity = identity
        self._clock = clock
        self._lines: dict[int, dict[int, Line]] = {}
        self._scheduled: asyncio.Queue[Line] = asyncio.Queue()
        self._room = Room(settings.queue_limit)
        self._callbacks: list[CommitCallback] = []
        self._totals = Counter[str]()
        self._idle = asyncio.Event()
        self._idle.set()
        self._is_closed = False
        self._problem = "it has not answered yet"
        self._jitter = np.random.default_rng()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to serve; call it once, inside the event loop."""
        self._tasks = [asyncio.create_task(self._work()) for _ in range(self._settings.writer_connections)]
        self._tasks.append(asyncio.create_task(self._sweep()))

    async def close(self) -> None:
        """Commit what is queued, waiting for it at most the deadline, and stop; nobody is left waiting."""
        self._is_closed = True
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), self._settings.deadline_seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._expire(float("inf"))

    @property
    def counters(self) -> WriterCounters:
        """What this writer has met so far."""
        return WriterCounters(**self._totals, queue_length=self._room.taken)

    def on_commit(self, callback: CommitCallback) -> None:
        """Call ``callback(q_table_id, version, updates)`` at each commit, in the moment it stops pending."""
        self._callbacks.append(callback)

    def pending(self, q_table_id: int, state: int) -> list[tuple[int, float, float]]:
        """Return (action, target, learning rate) recorded here for a state, not committed yet, in order."""
        lines = self._lines.get(q_table_id)
        if lines is None:
            return []
        return [update for line in lines.values() for update in line.pending(state)]

    async def record(
        self, handle: TableHandle, experience: Experience, target: float, learning_rate: float
    ) -> Acknowledgement:
        """Store an experience and the update it causes, and return when both are durable.

        A caller that is cancelled while it waits does not take its record back.

        Args:
            handle: the agent's table, and the epoch to write under.
            experience: the transition.
            target: TD target, points.
            learning_rate: rate of this update, in [0, 1].

        Raises:
            ExperienceRejectedError: the experience breaks a rule of the log. Not stored.
            LearningError: target or rate cannot be used. Not stored.
            QueueFullError: no room within the deadline. Not stored.
            DatabaseUnavailableError: the server could not take it within the deadline. Not stored.
            OutcomeUnknownError: it was sent, and no acknowledgement came within the deadline.
            StaleEpochError: the table was restored or replaced since the handle was taken. Not stored.
            DecisionClaimedError: another process took the decision over. Not stored from here.
        """
        check_single(handle, experience, target, learning_rate, self._clock())
        return await self._commit(handle, experience, target, learning_rate, 1)

    async def record_many(self, handle: TableHandle, batch: UpdateBatch) -> Acknowledgement:
        """Store a batch and return when all of it is durable: in one flush, so all of it or nothing.

        Args:
            handle: the table, and the epoch to write under.
            batch: 1 to 65,536 updates.

        Raises: the same as `record`.
        """
        packed = pack_batch(handle, batch, self._clock())
        return await self._commit(handle, packed, 0.0, 0.0, len(packed))

    async def drain(self) -> None:
        """Return when everything recorded so far is settled."""
        await self._idle.wait()

    async def _commit(
        self,
        handle: TableHandle,
        content: Experience | PackedUpdates,
        target: float,
        learning_rate: float,
        count: int,
    ) -> Acknowledgement:
        """Queue a checked record when there is room and wait for its acknowledgement."""
        if not self._room.take_now(count):
            await self._wait_for_room(count)
        if self._is_closed:
            self._room.give_back(count)
            raise StoreError("this store is closed; nothing was stored, open it again to record more")
        loop = asyncio.get_running_loop()
        expires_at = loop.time() + self._settings.deadline_seconds
        entry = Entry(content, target, learning_rate, count, loop.create_future(), expires_at)
        lines = self._lines.setdefault(handle.q_table_id, {})
        line = lines.setdefault(handle.epoch, Line(handle))
        line.add(entry)
        self._idle.clear()
        self._schedule(line)
        return await entry.future

    async def _wait_for_room(self, count: int) -> None:
        try:
            await self._room.take(count, self._settings.deadline_seconds)
        except TimeoutError:
            raise QueueFullError(
                f"{self._room.taken} updates wait to be committed, the queue holds {self._room.limit}: "
                f"this one was not stored. The database is slow or away ({self._problem}); record it later"
            ) from None

    def _schedule(self, line: Line) -> None:
        if not line.is_scheduled and not line.is_empty:
            line.is_scheduled = True
            self._scheduled.put_nowait(line)

    async def _work(self) -> None:
        """Serve lines in turn, one flush each, over a connection of its own."""
        sender = Sender(self._connect, self.writer_id, self._settings.deadline_seconds)
        failures = 0
        try:
            while True:
                line = await self._scheduled.get()
                await asyncio.sleep(self._settings.linger_seconds)
                try:
                    await self._flush(line, sender)
                    failures = 0
                except FlushTroubleError as trouble:
                    failures += 1
                    self._totals["failed_attempts"] += 1
                    self._problem = str(trouble)
                    line.is_ambiguous |= trouble.is_ambiguous
                    line.take_back()
                    await asyncio.sleep(backoff_seconds(failures, self._jitter))
                except Exception as fault:
                    # A fault of this program must not leave anybody waiting, nor stop other lines.
                    sender.close()
                    self._give_up(line, fault)
                line.is_scheduled = False
                self._schedule(line)
        finally:
            sender.close()

    async def _flush(self, line: Line, sender: Sender) -> None:
        """Send the line's next flush and settle it.

        Raises:
            FlushTroubleError: try again later.
        """
        await sender.connect()
        if line.is_empty:
            return
        sent = line.send_next(self._settings.batch_limit, AGENT_SOURCE, self._identity)
        try:
            acknowledged = await sender.send(sent.flush)
        except StoreError as error:
            if isinstance(error, DecisionClaimedError) and len(sent.entries) > 1:
                # One of them is another process's now; only one by one do the others get through.
                line.take_apart()
                return
            self._totals["refused_updates"] += sent.flush.count
            self._settle(line, sent, error)
            return
        self._totals.update(
            flushes=1, updates=sent.flush.count, repeated_flushes=int(acknowledged.is_repeated)
        )
        self._settle(line, sent, acknowledged)

    def _settle(self, line: Line, sent: Sent, outcome: Acknowledgement | StoreError) -> None:
        """Answer the callers of a flush; what it did stops pending and becomes known in one moment."""
        line.sent = None
        self._leave(line, sent.entries)
        if isinstance(outcome, Acknowledgement):
            for callback in self._callbacks:
                callback(outcome.q_table_id, outcome.version, sent.flush.updates)
        for entry in sent.entries:
            entry.settle(outcome)

    def _give_up(self, line: Line, fault: Exception) -> None:
        """Answer the callers of a flush that met a fault nobody expected."""
        if line.sent is None:
            # Nothing was sent: whatever waits cannot be, and would only meet the same fault again.
            entries = line.take_waiting()
            refusal = StoreError(f"updates of {line.handle.name} cannot be sent: {fault!r}; none was stored")
            refusal.__cause__ = fault
            self._totals["refused_updates"] += sum(entry.count for entry in entries)
            if entries:
                self._leave(line, entries)
            for entry in entries:
                entry.settle(fault if isinstance(fault, StoreError) else refusal)
            return
        error = OutcomeUnknownError(
            f"sending {line.sent.flush.count} updates of {line.handle.name} met a fault: {fault!r}; "
            "they are stored once or not at all. Please report this"
        )
        error.__cause__ = fault
        self._totals["unknown_outcomes"] += line.sent.flush.count
        self._settle(line, line.sent, error)

    def _leave(self, line: Line, entries: Sequence[Entry]) -> None:
        """Let settled entries go: from what is pending, and from the queue."""
        line.forget(entries)
        self._room.give_back(sum(entry.count for entry in entries))
        if line.is_empty:
            lines = self._lines[line.handle.q_table_id]
            lines.pop(line.handle.epoch, None)
            if not lines:
                del self._lines[line.handle.q_table_id]
        if not self._lines:
            self._idle.set()

    async def _sweep(self) -> None:
        """End the waiting of callers whose deadline has come."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(_SWEEP_SECONDS, self._settings.deadline_seconds / 4))
            self._expire(loop.time())

    def _expire(self, now: float) -> None:
        for line in [line for lines in self._lines.values() for line in lines.values()]:
            if expired := line.expired(now):
                self._totals["expired_updates"] += sum(entry.count for entry in expired)
                error = DatabaseUnavailableError(
                    f"the database did not take this update within {self._settings.deadline_seconds:g} s "
                    f"({self._problem}); it was not stored, record it again when the server is back"
                )
                self._leave(line, expired)
                for entry in expired:
                    entry.settle(error)
            for entry in line.sent.entries if line.sent is not None else ():
                if entry.expires_at <= now and not entry.future.done():
                    self._totals["unknown_outcomes"] += entry.count
                    entry.settle(
                        OutcomeUnknownError(
                            f"no acknowledgement within {self._settings.deadline_seconds:g} s "
                            f"({self._problem}); this update is stored once or not at all: look for its "
                            "episode and step in the log before recording it again"
                        )
                    )
