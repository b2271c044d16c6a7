"""Doing to a running system what the schedule says.

What belongs here: one function per kind of fault. What does not: when and how often (`schedule`), and what
came of it (`run`, `oracle`).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import psycopg2

from qe_core.errors import DatabaseUnavailableError, StoreError, VersionConflictError
from qe_core.store import Rebuild, Store
from tests.faults.crew import Crew, Member
from tests.faults.journal import Journal, Publication
from tests.faults.place import Server, ask
from tests.faults.schedule import Fault, Strike
from tests.faults.small_disk import FullDisk
from tests.faults.traffic import TABLES
from tests.faults.writer import ensured

PUBLISHED_FACTOR = 0.5
"""A published rebuild halves every value: exact in binary, and anything overwritten by it shows."""

_REFILL_SECONDS = 0.02
_FULL_SECONDS = 30.0
_AWAY_SECONDS = 0.1
_PATIENCE_SECONDS = 60.0

_CUT = """
    SELECT pg_terminate_backend(pid) FROM (
        SELECT pid, row_number() OVER (ORDER BY pid) AS place FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()
    ) AS session WHERE %s OR place %% 2 = 0
"""
_STEP_FLUSHES = "UPDATE flushes SET committed_at = committed_at + make_interval(secs => %s)"
_STEP_CHUNKS = "UPDATE experience_chunks SET arrived_at = arrived_at + make_interval(secs => %s)"


@dataclass(frozen=True, slots=True)
class Struck:
    """A fault that was injected.

    Attributes:
        fault: its kind.
        began_at: when, seconds of the monotonic clock.
        over_at: when its cause was gone, or help on its way: recovery is counted from here.
        kills: processes groups ended with SIGKILL: a server with all its children is one.
        cuts: connections cut.
        seat: of the writer it concerned, or None for all.
        void: why it had no effect, or empty.
    """

    fault: Fault
    began_at: float
    over_at: float
    kills: int = 0
    cuts: int = 0
    seat: int | None = None
    void: str = ""


@dataclass(slots=True)
class Injector:
    """Everything that faults are done to.

    Attributes:
        server: the server.
        url: of the database that is written to.
        crew: the writers.
        journal: for what this process publishes.
        disk: the small disk the server's data lie on, or None.
    """

    server: Server
    url: str
    crew: Crew
    journal: Journal
    disk: FullDisk | None
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def strike(self, strike: Strike) -> Struck:
        """Inject one fault and return when its cause is gone; what needs the server waits for its turn."""
        match strike.fault:
            case Fault.WRITER_KILLED:
                return self._kill_writer(strike)
            case Fault.WRITER_STOPPED:
                return await self._stop_writer(strike)
            case _:
                async with self._one_at_a_time:
                    return await self._strike_server(strike)

    async def _strike_server(self, strike: Strike) -> Struck:
        match strike.fault:
            case Fault.SERVER_KILLED:
                return await self._kill_server(strike)
            case Fault.SERVER_RESTARTED:
                return await self._restart_server(strike)
            case Fault.CONNECTIONS_CUT:
                return await self._cut_connections(strike)
            case Fault.DISK_FULL:
                return await self._fill_disk(strike)
            case Fault.CLOCK_STEPPED:
                return await self._step_clock(strike)
            case Fault.EPOCH_RAISED:
                return await self._raise_epoch(strike)
            case Fault.REBUILD_PUBLISHED:
                return await self._publish(strike)
            case _:
                raise ValueError(f"{strike.fault.value} is not done to the server")

    def _chosen(self, strike: Strike) -> Member:
        present = self.crew.present
        return present[int(strike.draw * len(present))]

    def _kill_writer(self, strike: Strike) -> Struck:
        began_at = time.monotonic()
        replacement = self.crew.kill(self._chosen(strike))
        return Struck(strike.fault, began_at, time.monotonic(), kills=1, seat=replacement.seat)

    async def _stop_writer(self, strike: Strike) -> Struck:
        member, began_at = self._chosen(strike), time.monotonic()
        self.crew.stop(member)
        await asyncio.sleep(strike.held_seconds)
        self.crew.go_on(member)
        # While it was stopped it may have been killed and replaced: then its seat recovers as a whole.
        return Struck(strike.fault, began_at, time.monotonic(), seat=member.seat)

    async def _kill_server(self, strike: Strike) -> Struck:
        began_at = time.monotonic()
        ended = await asyncio.to_thread(self.server.kill)
        await asyncio.sleep(strike.held_seconds)
        over_at = time.monotonic()
        await asyncio.to_thread(self.server.start)
        return Struck(strike.fault, began_at, over_at, kills=min(ended, 1))

    async def _restart_server(self, strike: Strike) -> Struck:
        began_at = time.monotonic()
        await asyncio.to_thread(self.server.embedded.stop)
        await asyncio.sleep(strike.held_seconds)
        over_at = time.monotonic()
        await asyncio.to_thread(self.server.start)
        return Struck(strike.fault, began_at, over_at)

    async def _cut_connections(self, strike: Strike) -> Struck:
        began_at = time.monotonic()
        cut = await asyncio.to_thread(ask, self.url, _CUT, strike.draw < 0.5)
        return Struck(strike.fault, began_at, time.monotonic(), cuts=sum(done for (done,) in cut))

    async def _fill_disk(self, strike: Strike) -> Struck:
        """Take all room, in half of the cases also make the server need a new file of its log at once."""
        began_at = time.monotonic()
        if self.disk is None:
            raise ValueError("a disk-full fault needs a server on a disk that can be filled")
        said = self.server.complaints_about_room
        try:
            while self._is_worth_holding(strike, began_at, said):
                await asyncio.to_thread(self.disk.fill)
                if strike.draw < 0.5:
                    await self._switch_log()
                await asyncio.sleep(_REFILL_SECONDS)
        finally:
            self.disk.empty()
        over_at = time.monotonic()
        await asyncio.to_thread(self.server.start)
        void = "" if self.server.complaints_about_room > said else "the server never ran out of room"
        return Struck(strike.fault, began_at, over_at, void=void)

    def _is_worth_holding(self, strike: Strike, began_at: float, said: int) -> bool:
        lasted = time.monotonic() - began_at
        has_complained = self.server.complaints_about_room > said
        return lasted < strike.held_seconds or (lasted < _FULL_SECONDS and not has_complained)

    async def _switch_log(self) -> None:
        try:
            await asyncio.to_thread(ask, self.url, "SELECT pg_switch_wal()")
        except psycopg2.Error:
            # The server has gone down over it, which is what this is for.
            await asyncio.sleep(_AWAY_SECONDS)

    async def _step_clock(self, strike: Strike) -> Struck:
        """Step every writer's clock back, and make all the server stored seem to lie ahead of its clock."""
        began_at = time.monotonic()
        seconds = 60 + int(strike.draw * 5_000)
        self.crew.tell_all(f"clock -{seconds}")
        await asyncio.to_thread(ask, self.url, _STEP_FLUSHES, seconds)
        await asyncio.to_thread(ask, self.url, _STEP_CHUNKS, seconds)
        return Struck(strike.fault, began_at, time.monotonic())

    async def _raise_epoch(self, strike: Strike) -> Struck:
        began_at = time.monotonic()

        async def raise_one(store: Store) -> None:
            """Raise the epoch of the table that was drawn."""
            handle = await ensured(store, TABLES[int(strike.draw * len(TABLES))])
            await store.q_tables.raise_epoch(handle)

        await self._administer(raise_one)
        return Struck(strike.fault, began_at, time.monotonic())

    async def _publish(self, strike: Strike) -> Struck:
        began_at = time.monotonic()
        table = TABLES[int(strike.draw * len(TABLES))]

        async def publish(store: Store) -> None:
            """Halve the values of the table that was drawn, writing down every attempt before it is made."""
            handle = await ensured(store, table)

            async def recompute() -> Rebuild:
                stored = await store.q_tables.load("individual", table, handle.fingerprint)
                stored.table.q[:] *= PUBLISHED_FACTOR
                self.journal.publish(Publication(handle.q_table_id, stored.version, PUBLISHED_FACTOR))
                return Rebuild(stored.table, stored.weights, stored.version, {})

            await store.q_tables.publish_with_retry(handle, recompute, attempts=40)

        await self._administer(publish)
        return Struck(strike.fault, began_at, time.monotonic())

    async def _administer(self, operation: Callable[[Store], Awaitable[None]]) -> None:
        """Run an administrative operation, again if the server goes away under it."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                async with Store.connect(self.url, pool_size=1) as store:
                    return await operation(store)
            except (DatabaseUnavailableError, VersionConflictError) as error:
                if time.monotonic() > deadline:
                    raise StoreError(f"no administration possible for {_PATIENCE_SECONDS:g} s") from error
                await asyncio.sleep(_AWAY_SECONDS)
