"""One process that makes releases and sends them, and dies where it is told to.

What belongs here: what the product does to share, by its own calls, with a place to die before each of its
steps. What does not: who dies where (`races`), and judging (`judge`).

Nothing in the product helps with dying: the process replaces its own copy of the store's statements
by one that notices which is about to be sent.
"""

import asyncio
import hashlib
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from multiprocessing import parent_process
from pathlib import Path
from uuid import uuid4

import numpy as np

import qe_core.store.central.server
import qe_core.store.team.log
import qe_core.store.team.releases
from qe_core.errors import BudgetError, DatabaseUnavailableError
from qe_core.privacy.mechanism import noised, plan_release
from qe_core.privacy.space import PublicSpace
from qe_core.privacy.statistics import exact_statistics
from qe_core.privacy.units import ContributionBound, ProtectedUnit
from qe_core.privacy.wire import ReleaseHeader, encode
from qe_core.store import Store
from qe_core.store.central import TeamServer
from qe_core.store.errors import ReleaseConflictError
from qe_core.store.statements import STATEMENTS
from qe_core.store.team import PreparedRelease, UnreleasedTasks
from tests.unit.store.team.made import AGENT, OTHER

BOUND = ContributionBound(ProtectedUnit.TASK, 5, 100.0)
PLAN = plan_release(BOUND, 1, 1.0, 1e-6)
SPACES = {
    name: PublicSpace(name, f"{place:016x}", 12, 2, 3, np.arange(12) % 3, np.arange(12) // 3)
    for place, name in enumerate((AGENT, OTHER))
}
"""Two agents with so few cells that noise takes no time, which makes races close."""

REWARD_SCALE = 1_000
"""Every reward of a task is its number over this, so that a release's own data says what it is made of."""

ENOUGH = "enough"
"""A file beside the processes' notes: what is still pending is sent, then they end."""

_PAUSE_SECONDS = 0.02
_LATE_SECONDS = 0.006


class Plant(StrEnum):
    """Faults that the judge must find."""

    PUBLISHED_FIRST = "debited after it was published"
    NO_LOCK = "the limit checked outside the lock"
    FRESH_NOISE = "noise made anew for every sending"
    NO_MARKS = "chunks not marked"


OVERRIDES = {
    Plant.NO_LOCK: {"lock_ledger": "SELECT 1"},
    Plant.NO_MARKS: {"mark_chunks": "SELECT $1::uuid, $2::text, $3::bigint[], $4::bool[]"},
}

STEPS = (
    "before the data is read",
    "after the data is read",
    "before noise",
    "after noise",
    "storing: lock_ledger",
    "storing: insert_release",
    "storing: insert_part",
    "storing: mark_chunks",
    "storing: insert_debit",
    "storing: add_team_log",
    "between storing and sending",
    "sending: lock_pending",
    "sending: begin_delivery",
    "sending: read_parts",
    "sending: team_submit",
    "after the server took it",
    "sending: mark_sent",
    "sending: add_team_log",
)
"""Where a process can die; after the colon before which statement."""


@dataclass(frozen=True, slots=True)
class Doom:
    """Where a process dies.

    Attributes:
        step: one of `STEPS`.
        is_late: not there but some milliseconds later, in the midst of what comes.
    """

    step: str
    is_late: bool


@dataclass(frozen=True, slots=True)
class Job:
    """What one process is to do.

    Attributes:
        number: of the process.
        url: of the local database.
        team_url: of the team's server.
        folder: for its notes.
        agent: whose tasks it shares.
        lifetime_nano_rho: what all releases may cost together.
        doom: where it dies; None where it does not.
        withdraws: whether it first withdraws what others left behind.
        plant: a fault it has.
    """

    number: int
    url: str
    team_url: str
    folder: str
    agent: str
    lifetime_nano_rho: int
    doom: Doom | None = None
    withdraws: bool = False
    plant: Plant | None = None


class Watched(Mapping[str, str]):
    """The store's statements; looking one up is a step."""

    def __init__(self, life: "Life") -> None:
        self._life = life
        self._overrides = OVERRIDES.get(life.job.plant, {}) if life.job.plant else {}

    def __getitem__(self, name: str) -> str:
        self._life.reach(f"{self._life.phase}: {name}")
        return self._overrides.get(name, STATEMENTS[name])

    def __iter__(self) -> Iterator[str]:
        return iter(STATEMENTS)

    def __len__(self) -> int:
        return len(STATEMENTS)


class Life:
    """What a process does until it dies or is told that it is enough.

    Attributes:
        job: what it is to do.
        phase: what it is doing.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.phase = "looking"
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._notes = os.open(Path(job.folder) / f"{job.number}.notes", flags, 0o600)

    def note(self, *words: object) -> None:
        """Write one line, whole or not at all."""
        os.write(self._notes, (" ".join(map(str, words)) + "\n").encode())

    def reach(self, step: str) -> None:
        """Die, if this is where."""
        if self.job.doom is None or self.job.doom.step != step:
            return
        self.note("died", step)
        if self.job.doom.is_late:
            delay = float(np.random.default_rng().uniform(0, _LATE_SECONDS))
            threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()
        else:
            os.kill(os.getpid(), signal.SIGKILL)

    async def live(self) -> None:
        """Make releases and send them, as long as there is a server to do it with."""
        is_over = False
        while not is_over:
            with suppress(DatabaseUnavailableError):
                async with Store.connect(self.job.url, pool_size=1) as store:
                    if self.job.withdraws:
                        await store.releases.withdraw_pending("the race wants it", by="race")
                    while not is_over:
                        is_over = (Path(self.job.folder) / ENOUGH).exists()
                        await self._release(store)
                        await self._deliver(store)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _release(self, store: Store) -> None:
        self.phase = "reading"
        self.reach("before the data is read")
        spaces = {self.job.agent: SPACES[self.job.agent]}
        tasks = await store.releases.finished_tasks(spaces, unit=ProtectedUnit.TASK)
        self.reach("after the data is read")
        if tasks.task_count == 0:
            await asyncio.sleep(_PAUSE_SECONDS)
            return
        exact = exact_statistics(tasks.steps, spaces, BOUND, np.random.default_rng())
        self.reach("before noise")
        parts = {agent: encode(noised(counts, PLAN.scales)) for agent, counts in exact.items()}
        self.reach("after noise")
        release = self._prepared(tasks, parts)
        if self.job.plant is Plant.PUBLISHED_FIRST:
            async with TeamServer.connect(self.job.team_url) as server:
                await server.submit(release.header, parts)
        self.phase = "storing"
        try:
            await store.releases.commit(release, self.job.lifetime_nano_rho, by="race")
        except BudgetError:
            self.note("refused", release.header.release_id)
            await asyncio.sleep(_PAUSE_SECONDS)
        except ReleaseConflictError:
            self.note("overtaken", release.header.release_id)
        else:
            self.reach("between storing and sending")

    def _prepared(self, tasks: UnreleasedTasks, parts: Mapping[str, bytes]) -> PreparedRelease:
        """Return a release, after noting what it is made of."""
        header = ReleaseHeader(
            release_id=uuid4(),
            origin="0" * 32,
            made_on=date(2026, 3, 1),
            protected_unit=BOUND.unit,
            pairs=BOUND.pairs,
            clip_bound=BOUND.clip_bound,
            privacy_epsilon=PLAN.privacy_epsilon,
            privacy_delta=PLAN.privacy_delta,
            nano_rho=PLAN.nano_rho,
            agents=((self.job.agent, SPACES[self.job.agent].fingerprint),),
        )
        numbers = np.unique(np.rint(tasks.steps[self.job.agent].reward * REWARD_SCALE).astype(int))
        self.note("made", header.release_id, digest(parts), *numbers.tolist())
        return PreparedRelease(header, parts, tasks.chunk_ids, tasks.opt_out_generation)

    async def _deliver(self, store: Store) -> None:
        self.phase = "looking"
        for record in await store.releases.pending():
            self.phase = "sending"
            async with store.releases.sending(record.header.release_id, by="race") as parts:
                if parts is not None:
                    await self._submit(record.header, self._as_sent(parts))
                    self.reach("after the server took it")

    async def _submit(self, header: ReleaseHeader, parts: Mapping[str, bytes]) -> None:
        self.note("submitting", header.release_id, digest(parts))
        async with TeamServer.connect(self.job.team_url) as server:
            await server.submit(header, parts)

    def _as_sent(self, parts: Mapping[str, bytes]) -> Mapping[str, bytes]:
        if self.job.plant is not Plant.FRESH_NOISE:
            return parts
        spaces = {agent: SPACES[agent] for agent in parts}
        none = exact_statistics({}, spaces, BOUND, np.random.default_rng())
        return {agent: encode(noised(counts, PLAN.scales)) for agent, counts in none.items()}


def digest(parts: Mapping[str, bytes]) -> str:
    """Return what tells the parts of one release from any others."""
    whole = hashlib.sha256()
    for agent, part in sorted(parts.items()):
        whole.update(agent.encode() + part)
    return whole.hexdigest()


def contribute(job: Job) -> None:
    """Live in a process of its own, which ends with the one that started it."""
    with (Path(job.folder) / "errors").open("ab") as errors:
        os.dup2(errors.fileno(), 2)
    life = Life(job)
    watched = Watched(life)
    for module in (qe_core.store.team.releases, qe_core.store.team.log, qe_core.store.central.server):
        module.STATEMENTS = watched
    asyncio.run(_with_parent(life))


async def _with_parent(life: Life) -> None:
    if (parent := parent_process()) is not None:
        asyncio.get_running_loop().add_reader(int(parent.sentinel), os._exit, 1)
    await life.live()
