"""A writer in a process of its own: ``python -m tests.faults.writer JOB``, the job as JSON.

What belongs here: calling the product from several tasks and writing down what it answered. What does not:
what is written (`traffic`) and the faults (`injector`). Commands come as lines on standard input: ``clock N``
steps its clock by N seconds, ``stop`` or the end of the input lets it finish what it began.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from qe_core.errors import DatabaseUnavailableError, QEError, StoreError
from qe_core.store import Store, TableHandle
from qe_core.store.errors import StaleEpochError
from qe_core.store.live import Acknowledgement, Live, LiveSettings
from tests.faults.journal import HUNG, Journal
from tests.faults.traffic import ACTIONS, FINGERPRINT, STATES, Drawn, as_batch, as_experience, drawn_call

_AWAY_SECONDS = 0.2
_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Job:
    """What one writer process does.

    Attributes:
        url: of the database.
        journal: its file, whose stem is the writer's name.
        seed: of everything it draws.
        tasks: concurrent callers, each awaiting its answer before the next call.
        pause_seconds: mean time between a caller's answer and its next call.
        longest_seconds: after which a call counts as hanging.
        deadline_seconds: see `LiveSettings`; as are the next two.
        queue_limit: see there.
        batch_limit: see there.
    """

    url: str
    journal: str
    seed: int
    tasks: int
    pause_seconds: float
    longest_seconds: float
    deadline_seconds: float
    queue_limit: int
    batch_limit: int

    @property
    def name(self) -> str:
        """The writer's name."""
        return Path(self.journal).stem

    def as_argument(self) -> str:
        """Return the job as one argument of a command line."""
        return json.dumps(asdict(self))


class Caller:
    """Everything the tasks of one writer share.

    Args:
        job: what to do.
        journal: where to write down.
        store: for handles.
        live: what is tested.
    """

    def __init__(self, job: Job, journal: Journal, store: Store, live: Live) -> None:
        self._job = job
        self._journal = journal
        self._store = store
        self._live = live
        self._handles: dict[str, TableHandle] = {}
        self.clock_step_seconds = 0
        self.is_stopping = asyncio.Event()

    async def work(self, task: int) -> None:
        """Make one call after another until told to stop."""
        rng = np.random.default_rng([self._job.seed, task])
        number = 0
        while not self.is_stopping.is_set():
            drawn = drawn_call(rng, int((time.time() + self.clock_step_seconds) * _MICROSECONDS))
            try:
                handle = await self._handle(drawn.table)
            except StoreError:
                # No call was made: the table cannot be asked for while the server is away.
                await asyncio.sleep(_AWAY_SECONDS)
                continue
            await self._call(f"{self._job.name}-{task}-{number}", handle, drawn)
            number += 1
            await asyncio.sleep(float(rng.exponential(self._job.pause_seconds)))

    async def _call(self, call: str, handle: TableHandle, drawn: Drawn) -> None:
        self._journal.intend(call, handle.q_table_id, drawn.rows)
        answer = asyncio.ensure_future(self._record(call, handle, drawn))
        done, _ = await asyncio.wait({answer}, timeout=self._job.longest_seconds)
        if not done:
            self._journal.refuse(call, HUNG)
            answer.cancel()
            return
        error = answer.exception()
        if error is None:
            acknowledged = answer.result()
            self._journal.acknowledge(call, acknowledged.version, acknowledged.is_repeated)
            return
        self._journal.refuse(call, type(error).__name__)
        if isinstance(error, StaleEpochError):
            self._handles.pop(drawn.table, None)
        if not isinstance(error, QEError):
            sys.stderr.write(f"{call}: {error!r}\n")

    async def _record(self, call: str, handle: TableHandle, drawn: Drawn) -> Acknowledgement:
        first = drawn.rows[0]
        if len(drawn.rows) == 1:
            return await self._live.writer.record(
                handle, as_experience(call, first), first.target, first.learning_rate
            )
        return await self._live.writer.record_many(handle, as_batch(call, drawn.rows))

    async def _handle(self, table: str) -> TableHandle:
        if table not in self._handles:
            self._handles[table] = await ensured(self._store, table)
        return self._handles[table]


async def ensured(store: Store, table: str) -> TableHandle:
    """Return a current handle of one of the tables that are written to."""
    return await store.q_tables.ensure("individual", table, FINGERPRINT, STATES, ACTIONS)


async def run(job: Job) -> None:
    """Write until told to stop."""
    with Journal(Path(job.journal)) as journal:
        async with _opened(job) as (store, live):
            caller = Caller(job, journal, store, live)
            listening = asyncio.create_task(_obey(caller))
            await asyncio.gather(*(caller.work(task) for task in range(job.tasks)))
            await asyncio.wait_for(live.writer.drain(), job.longest_seconds)
            await listening


@asynccontextmanager
async def _opened(job: Job) -> AsyncIterator[tuple[Store, Live]]:
    """Open the store and its hot path, waiting for a server that is away just now."""
    settings = replace(
        LiveSettings(),
        deadline_seconds=job.deadline_seconds,
        queue_limit=job.queue_limit,
        batch_limit=job.batch_limit,
    )
    while True:
        async with AsyncExitStack() as opening:
            try:
                store = await opening.enter_async_context(Store.connect(job.url, pool_size=2))
                live = await opening.enter_async_context(store.live(settings))
            except DatabaseUnavailableError:
                await asyncio.sleep(_AWAY_SECONDS)
                continue
            yield store, live
            return


async def _obey(caller: Caller) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    try:
        while line := (await reader.readline()).decode().split():
            match line:
                case ["clock", seconds]:
                    caller.clock_step_seconds += int(seconds)
                case ["stop"]:
                    break
                case _:
                    raise ValueError(f"no such command: {' '.join(line)}")
    finally:
        caller.is_stopping.set()
        transport.close()


if __name__ == "__main__":
    asyncio.run(run(Job(**json.loads(sys.argv[1]))))
