"""One run: writers write, faults strike, all of it ends, the oracle judges.

What belongs here: the order of events of a run and what is taken down about it. What does not: the events
themselves (`injector`, `crew`), judging (`oracle`) and showing (`table`).
"""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from qe_core.store import Store, migrate
from tests.faults.crew import DEADLINES_SECONDS, Crew, longest_seconds
from tests.faults.evidence import Evidence
from tests.faults.injector import Injector, Struck
from tests.faults.journal import Call, Journal, Journals
from tests.faults.oracle import Verdict, judge
from tests.faults.place import Server, ask
from tests.faults.schedule import Fault, Plan
from tests.faults.small_disk import FullDisk
from tests.faults.traffic import TABLES
from tests.faults.writer import ensured

START_SECONDS = 120.0
RECOVERY_SECONDS = 120.0
"""Generous: what does not recover in that time on a busy machine does not recover."""

_TAIL_SECONDS = 0.5
_POLL_SECONDS = 0.05
_OTHERS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it.

    Attributes:
        plan: what was to happen.
        struck: the faults that were injected.
        verdict: of the oracle.
        deadlocks: reported by the server.
        recovery_seconds: for each fault, from when its cause was gone to the first acknowledgement.
        repeated_flushes: flushes whose first acknowledgement was lost and that were recognised.
        seconds: the run took.
    """

    plan: Plan
    struck: tuple[Struck, ...]
    verdict: Verdict
    deadlocks: int
    recovery_seconds: tuple[float, ...]
    repeated_flushes: int
    seconds: float = field(compare=False)

    @property
    def is_clean(self) -> bool:
        """Whether every loss column is 0."""
        return self.verdict.is_clean and self.deadlocks == 0


async def run(
    plan: Plan, server: Server, disk: FullDisk | None, folder: Path, on_strike: Callable[[Struck], None]
) -> Outcome:
    """Return the outcome of a plan, carried out in a database of its own.

    Args:
        plan: what is to happen.
        server: a running server.
        disk: the small disk its data lie on, or None.
        folder: for journals, empty; its name becomes the database's.
        on_strike: told after every fault.
    """
    began_at = time.monotonic()
    deadlocks_before = server.deadlocks
    database = f"faults_{folder.name}"
    url = server.url(database)
    await migrate(url)
    async with Store.connect(url) as store:
        for table in TABLES:
            await ensured(store, table)
    crew = Crew(url, folder, plan.seed, plan.tasks, plan.pause_seconds)
    with Journal(folder / "publisher.journal") as journal:
        try:
            struck = await _strike_all(plan, Injector(server, url, crew, journal, disk), on_strike)
            wrong = await crew.finish()
        finally:
            crew.end()
    await _wait_until_alone(url)
    journals = Journals.read_all(folder)
    killed = {member.job.name: member.killed_at for member in crew.members if member.killed_at is not None}
    longest = longest_seconds(max(DEADLINES_SECONDS))
    verdict = judge(journals, Evidence.read(url), killed, longest)
    for complaint in wrong:
        verdict.add("broken", 1, complaint)
    recovered = [_recovery_seconds(one, journals) for one in struck]
    for one, seconds in zip(struck, recovered, strict=True):
        if one.void:
            verdict.add("broken", 1, f"{one.fault.value} could not be brought about: {one.void}")
        if seconds is None:
            verdict.add("hanging", 1, f"nothing was acknowledged after: {one}")
    ask(server.url("postgres"), f'DROP DATABASE "{database}" WITH (FORCE)')
    return Outcome(
        plan=plan,
        struck=struck,
        verdict=verdict,
        deadlocks=server.deadlocks - deadlocks_before,
        recovery_seconds=tuple(seconds for seconds in recovered if seconds is not None),
        repeated_flushes=len(
            {(of.q_table_id, of.version) for of in journals.calls.values() if of.is_repeated}
        ),
        seconds=time.monotonic() - began_at,
    )


async def _strike_all(
    plan: Plan, injector: Injector, on_strike: Callable[[Struck], None]
) -> tuple[Struck, ...]:
    crew = injector.crew
    for seat in range(plan.writers):
        crew.start(seat)
    for member in crew.present:
        if not await crew.hear_from([member], -math.inf, START_SECONDS):
            raise RuntimeError(f"writer {member.job.name} did not begin within {START_SECONDS:g} s")
    struck: list[Struck] = []
    lasting: set[asyncio.Task[Struck]] = set()
    for strike in plan.strikes:
        await asyncio.sleep(strike.after_seconds)
        striking = asyncio.create_task(injector.strike(strike))
        if plan.is_overlapping and strike.fault is Fault.WRITER_STOPPED:
            lasting.add(striking)
            continue
        struck.append(await striking)
        if not plan.is_overlapping:
            await _recovered(crew, struck[-1])
        on_strike(struck[-1])
    for striking in lasting:
        struck.append(await striking)
        on_strike(struck[-1])
    for one in struck[-3:]:
        await _recovered(crew, one)
    await asyncio.sleep(_TAIL_SECONDS)
    return tuple(sorted(struck, key=lambda one: one.began_at))


async def _recovered(crew: Crew, struck: Struck) -> None:
    members = [member for member in crew.present if struck.seat in (None, member.seat)]
    await crew.hear_from(members, struck.began_at, RECOVERY_SECONDS)


def _recovery_seconds(struck: Struck, journals: Journals) -> float | None:
    """Return how long after the cause was gone a call made during or after the fault was acknowledged."""

    def counts(call: Call) -> bool:
        is_concerned = struck.seat is None or call.writer.startswith(f"w{struck.seat}.")
        return is_concerned and call.is_acknowledged and call.made_at >= struck.began_at

    answered = [call.answered_at for call in journals.calls.values() if counts(call) and call.answered_at]
    after = [at for at in answered if at >= struck.over_at]
    return min(after) - struck.over_at if after else None


async def _wait_until_alone(url: str) -> None:
    """Wait until the sessions of writers that were killed have ended, committed or not."""
    deadline = time.monotonic() + RECOVERY_SECONDS
    while ask(url, _OTHERS) != [(0,)]:
        if time.monotonic() > deadline:
            raise RuntimeError(f"sessions of ended writers are still there after {RECOVERY_SECONDS:g} s")
        await asyncio.sleep(_POLL_SECONDS)
