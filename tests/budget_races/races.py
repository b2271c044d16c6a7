"""A race: processes release and send at once, while data arrives and while they and the server are killed.

What belongs here: starting, killing and replacing. What does not: sharing (`contributor`), judging (`judge`).
"""

import asyncio
import multiprocessing
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import count
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np

from qe_core.errors import DatabaseUnavailableError
from qe_core.privacy.units import ProtectedUnit
from qe_core.store import Store, migrate
from qe_core.store.central import TeamCuration
from tests.budget_races.contributor import (
    ENOUGH,
    PLAN,
    REWARD_SCALE,
    SPACES,
    STEPS,
    Doom,
    Job,
    Plant,
    contribute,
)
from tests.budget_races.judge import Verdict, collect, judge, notes
from tests.faults.place import Server, ask
from tests.unit.store.team.made import task, together

POLL_SECONDS = 0.01
BETWEEN_TASKS_SECONDS = 0.03
_BETWEEN_KILLS_SECONDS = 1.0
_WITHDRAWS_EACH = 3
"""Of so many processes one first withdraws what is pending."""

_GRACE_SECONDS = 3.0
"""For deaths still to be met once the budget is spent: some can be met no more."""

_PATIENCE_AT_THE_END_SECONDS = 60.0
_COSTS_FROM = "storing: add_team_log"
_TEMPLATE = "races_template"
_numbers = count()

_WITHOUT_LOCK = """
    CREATE SEQUENCE debits;
    CREATE OR REPLACE FUNCTION debit_privacy() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.entry_number := nextval('debits');
        SELECT coalesce(sum(nano_rho), 0) + NEW.nano_rho INTO NEW.spent_nano_rho FROM privacy_ledger;
        IF NEW.spent_nano_rho > NEW.lifetime_nano_rho THEN
            RAISE EXCEPTION 'too much' USING ERRCODE = 'QE006';
        END IF;
        PERFORM pg_advisory_xact_lock_shared(666);
        FOR attempt IN 1 .. 100 LOOP
            EXIT WHEN (SELECT count(*) > 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 666);
            PERFORM pg_sleep(0.05);
        END LOOP;
        RETURN NEW;
    END;
    $$;
"""
"""A ledger that checks the limit, but waits a moment for somebody else who has checked it, too."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to happen in one race.

    Attributes:
        seed: of everything random but noise and the milliseconds in which late deaths come.
        processes: at once.
        affordable: releases the lifetime's limit allows.
        dooms: deaths, each to be met by one process.
        server_kills: how often PostgreSQL is killed.
        plant: a fault every process has.
        patience_seconds: after which the race is given up.
    """

    seed: int
    processes: int
    affordable: float
    dooms: tuple[Doom, ...] = ()
    server_kills: int = 0
    plant: Plant | None = None
    patience_seconds: float = 120.0


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a race.

    Attributes:
        deaths: processes that died, by what they were about to do.
        unmet: dooms no process came to before the budget was spent.
        server_kills: how often PostgreSQL was killed.
        refused: releases refused for want of budget.
        overtaken: releases refused because another had taken the same tasks.
        stuck: processes that ended with an error, or not in time.
        verdict: on what is stored.
    """

    deaths: Counter[str]
    unmet: tuple[Doom, ...]
    server_kills: int
    refused: int
    overtaken: int
    stuck: int
    verdict: Verdict

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong, nobody is stuck and the budget was spent to the last release."""
        return not self.verdict.faults and not self.stuck and self.refused > 0


@dataclass(frozen=True, slots=True)
class Planted:
    """How a planted fault shows.

    Attributes:
        plant: the fault.
        affordable: releases the limit allows then.
        is_found_as: the count of the verdict that tells of it.
    """

    plant: Plant
    affordable: float
    is_found_as: str

    def plan(self, seed: int) -> Plan:
        """Return a race in which nobody dies."""
        return Plan(seed, processes=4, affordable=self.affordable, plant=self.plant)


PLANTED = {
    planted.plant: planted
    for planted in (
        Planted(Plant.PUBLISHED_FIRST, 3.5, "published_unpaid"),
        Planted(Plant.NO_LOCK, 1.5, "overspent"),
        Planted(Plant.FRESH_NOISE, 3.5, "noise_changed"),
        Planted(Plant.NO_MARKS, 3.5, "sent_twice"),
    )
}
"""Every fault the judge must find."""


@dataclass(slots=True)
class _Grid:
    """The processes of a race; whoever dies is replaced by one that takes the next doom."""

    dooms: list[Doom]
    running: list[tuple[Job, BaseProcess]] = field(default_factory=list)
    failed: int = 0
    unmet_at_the_end: tuple[Doom, ...] = ()
    _numbers: Iterator[int] = field(default_factory=count)

    def start(self, job: Job) -> None:
        """Start a process; it takes the next doom there is."""
        doom = self.dooms.pop() if self.dooms else None
        number = next(self._numbers)
        job = replace(job, number=number, doom=doom, withdraws=number % _WITHDRAWS_EACH == 0)
        process = _nursery().Process(target=contribute, args=(job,))
        process.start()
        self.running.append((job, process))

    def replace_the_dead(self) -> None:
        """Start a process in the place of each that was killed."""
        for job, process in [entry for entry in self.running if entry[1].exitcode is not None]:
            if process.exitcode == -signal.SIGKILL:
                self.running.remove((job, process))
                self.start(job)
            elif process.exitcode != 0:
                self.running.remove((job, process))
                self.failed += 1

    def stop(self) -> None:
        """End whatever still runs."""
        for _, process in self.running:
            process.kill()
            process.join()

    @property
    def unmet(self) -> tuple[Doom, ...]:
        """Dooms still to be met."""
        alive = (job.doom for job, process in self.running if process.exitcode is None)
        return (*self.dooms, *(doom for doom in alive if doom is not None))


async def prepare(server: Server) -> None:
    """Make the database that those of all races are copies of."""
    await migrate(server.url(_TEMPLATE))


async def race(plan: Plan, server: Server, folder: Path) -> Result:
    """Return what came of a plan.

    Args:
        plan: what is to happen.
        server: running and prepared.
        folder: empty, for the processes' notes.
    """
    rng = np.random.default_rng(plan.seed)
    number = next(_numbers)
    url, central_url = _database(server, f"local_{number}"), _database(server, f"team_{number}")
    async with TeamCuration.connect(central_url) as curation:
        await curation.found()
        await curation.register(SPACES.values())
        team_url = await curation.invite("racer")
    if plan.plant is Plant.NO_LOCK:
        ask(url, _WITHOUT_LOCK)
    limit = int(plan.affordable * PLAN.nano_rho)
    grid = _Grid(_in_order(plan.dooms, rng))
    try:
        async with _tasks_arrive(url):
            for place in range(plan.processes):
                agent = list(SPACES)[place % len(SPACES)]
                grid.start(Job(0, url, team_url, str(folder), agent, limit, plant=plan.plant))
            killed = await _disturb(plan, rng, grid, server, folder)
        stuck = await _finish(grid, folder)
    finally:
        grid.stop()
    found = notes(folder)
    return Result(
        deaths=Counter(" ".join(words[1:]) for words in found if words[0] == "died"),
        unmet=grid.unmet_at_the_end,
        server_kills=killed,
        refused=sum(words[0] == "refused" for words in found),
        overtaken=sum(words[0] == "overtaken" for words in found),
        stuck=stuck,
        verdict=judge(collect(url, central_url, folder, limit, await _waiting(url))),
    )


def _in_order(dooms: tuple[Doom, ...], rng: np.random.Generator) -> list[Doom]:
    """Return dooms to be taken from the end: first those that need a release, which costs budget."""
    shuffled = [dooms[place] for place in rng.permutation(len(dooms)).tolist()]
    return sorted(shuffled, key=lambda doom: STEPS.index(doom.step) >= STEPS.index(_COSTS_FROM))


async def _disturb(plan: Plan, rng: np.random.Generator, grid: _Grid, server: Server, folder: Path) -> int:
    """Replace who dies and kill the server until the budget is spent; return how often that was."""
    clock = asyncio.get_running_loop().time
    killed, next_at, ends_at = 0, clock() + _BETWEEN_KILLS_SECONDS, clock() + plan.patience_seconds
    while clock() < ends_at and not grid.failed:
        await asyncio.sleep(POLL_SECONDS)
        grid.replace_the_dead()
        is_spent = any(words[0] == "refused" for words in notes(folder))
        if killed < plan.server_kills and clock() > next_at:
            server.kill()
            server.start()
            killed, next_at = killed + 1, clock() + float(rng.uniform(0.5, 1.5)) * _BETWEEN_KILLS_SECONDS
        elif killed == plan.server_kills and is_spent:
            ends_at = min(ends_at, clock() + (_GRACE_SECONDS if grid.unmet else 0.0))
    return killed


async def _finish(grid: _Grid, folder: Path) -> int:
    """Have the processes send what is pending and end; return how many did not."""
    grid.unmet_at_the_end = grid.unmet
    grid.dooms.clear()
    (folder / ENOUGH).touch()
    with suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE_AT_THE_END_SECONDS):
            while any(process.exitcode != 0 for _, process in grid.running) and not grid.failed:
                await asyncio.sleep(POLL_SECONDS)
                grid.replace_the_dead()
    return grid.failed + sum(process.exitcode != 0 for _, process in grid.running)


@asynccontextmanager
async def _tasks_arrive(url: str) -> AsyncIterator[None]:
    """Have tasks end all the while, each begun in one chunk and ended in the next."""
    arriving = asyncio.create_task(_append(url))
    try:
        yield
        if arriving.done():
            arriving.result()
    finally:
        arriving.cancel()
        with suppress(asyncio.CancelledError):
            await arriving


async def _append(url: str) -> None:
    number = 0
    while True:
        with suppress(DatabaseUnavailableError):
            async with Store.connect(url, pool_size=1) as store:
                while True:
                    for agent in SPACES:
                        rows = together(
                            _step(number, agent, is_last=True), _step(number + 1, agent, is_last=False)
                        )
                        await store.experiences.append(rows)
                    number += 1
                    await asyncio.sleep(BETWEEN_TASKS_SECONDS)
        await asyncio.sleep(POLL_SECONDS)


def _step(number: int, agent: str, *, is_last: bool) -> dict[str, Any]:
    """Return the first or the last step of a task, with the reward that tells it from all others."""
    return task(
        str(number),
        [1],
        agent=agent,
        minute=number,
        first_step=int(is_last),
        is_finished=is_last,
        fingerprint=SPACES[agent].fingerprint,
        reward=[(len(SPACES) * number + list(SPACES).index(agent) + 1) / REWARD_SCALE],
    )


async def _waiting(url: str) -> list[int]:
    """Return the tasks that would be in the next release."""
    async with Store.connect(url, pool_size=1) as store:
        tasks = await store.releases.finished_tasks(SPACES, unit=ProtectedUnit.TASK)
    rewards = np.concatenate([steps.reward for steps in tasks.steps.values()])
    return [int(number) for number in np.unique(np.rint(rewards * REWARD_SCALE))]


def _database(server: Server, name: str) -> str:
    ask(server.url("postgres"), f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
    return server.url(name)


@cache
def _nursery() -> ForkServerContext:
    """Return what processes are forked from: one process that has imported all they need."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.budget_races.contributor"])
    return context
