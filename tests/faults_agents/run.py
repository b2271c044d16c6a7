"""One run: processes play, are killed at random moments and replaced, until every agent has done its tasks.

What belongs here: starting, killing, stopping, replacing, waiting. What does not: when whom (`schedule`),
playing (`player`) and judging (`verdict`).
"""

import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np

from qe_core.fleet import registry
from tests.faults_agents.phases import Phase, phases
from tests.faults_agents.player import ENOUGH, Seat, occupy
from tests.faults_agents.schedule import Blow, Plan, schedule
from tests.faults_agents.verdict import Diaries, Verdict, judge, stored

POLL_SECONDS = 0.005
STOPPED_SECONDS = 3.0
"""How long a process that is only stopped sleeps, while the one that replaced it plays."""

AWAKE_SECONDS = 1.0
"""How long it then goes on before it is killed, too."""


@dataclass(slots=True)
class _Chair:
    """A seat and the process in it."""

    seat: Seat
    process: BaseProcess
    folder: Path

    @property
    def has_begun(self) -> bool:
        """Whether the process in the seat plays."""
        diary = self.folder / "diary"
        return diary.exists() and f"began {self.seat.life}\n" in diary.read_text()

    @property
    def is_over(self) -> bool:
        """Whether the process has ended by itself."""
        return self.process.exitcode is not None


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a run.

    Attributes:
        plan: what was to happen.
        killed: blows that hit a process while it played.
        seats_hit: different seats they hit.
        hit_while: what the agents of the processes were doing then.
        stuck: processes that did not finish in time, or ended with an error.
        verdict: on what is stored.
        seconds: it took.
    """

    plan: Plan
    killed: int
    seats_hit: int
    hit_while: Mapping[Phase, int]
    stuck: int
    verdict: Verdict
    seconds: float = field(compare=False)

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost or doubled, nobody is stuck and all that was to happen happened."""
        return self.killed == self.plan.blows and self.stuck == 0 and self.verdict.is_clean


def run(plan: Plan, url: str, folder: Path, on_blow: Callable[[int], None] = lambda _: None) -> Result:
    """Return what came of a plan.

    Args:
        plan: what is to happen.
        url: of a migrated, empty database with room for the connections of all processes.
        folder: empty, for the processes' files.
        on_blow: told after every blow how many there were.
    """
    began_at = time.monotonic()
    rng = np.random.default_rng(plan.seed)
    blows = schedule(plan, rng)
    names = sorted(registry().names())
    chairs: list[_Chair] = []
    sleepers: list[tuple[float, BaseProcess]] = []
    hit_while: Counter[Phase] = Counter()
    killed = 0
    ends_at = began_at + plan.patience_seconds
    try:
        for number in range(plan.processes):
            place = folder / str(number)
            place.mkdir()
            chosen = tuple(rng.choice(names, plan.agents, replace=False).tolist())
            chairs.append(_taken(Seat(url, str(place), number, 0, chosen, plan.episodes, plan.seed)))
        for blow in blows:
            victim = chairs[blow.seat]
            while not (victim.has_begun or victim.is_over) and time.monotonic() < ends_at:
                time.sleep(POLL_SECONDS)
            time.sleep(blow.after_seconds)
            _wake(sleepers)
            if victim.is_over or time.monotonic() >= ends_at:
                break
            _strike(victim, blow, sleepers)
            hit_while += phases(victim.folder / "diary", victim.seat)
            chairs[blow.seat] = _taken(replace(victim.seat, life=victim.seat.life + 1))
            killed += 1
            on_blow(killed)
        (folder / ENOUGH).touch()
        while time.monotonic() < ends_at and not (all(chair.is_over for chair in chairs) and not sleepers):
            time.sleep(POLL_SECONDS)
            _wake(sleepers)
        stuck = sum(chair.process.exitcode != 0 for chair in chairs)
    finally:
        for process in [chair.process for chair in chairs] + [process for _, process in sleepers]:
            process.kill()
            process.join()
    log, visits = stored(url)
    zombies = _lives_of_zombies(blows[:killed])
    verdict = judge(Diaries.read([chair.folder for chair in chairs]), log, visits, zombies)
    seats_hit = len({blow.seat for blow in blows[:killed]})
    return Result(plan, killed, seats_hit, hit_while, stuck, verdict, time.monotonic() - began_at)


@cache
def _nursery() -> ForkServerContext:
    """Return what processes are forked from: one process that has imported all they need."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.faults_agents.preloaded"])
    return context


def _taken(seat: Seat) -> _Chair:
    """Start a process in a seat."""
    process = _nursery().Process(target=occupy, args=(seat,))
    process.start()
    return _Chair(seat, process, Path(seat.folder))


def _strike(victim: _Chair, blow: Blow, sleepers: list[tuple[float, BaseProcess]]) -> None:
    """Kill a process, or put it to sleep to be woken up when it has been replaced."""
    if blow.is_only_stopped:
        _signal(victim.process, signal.SIGSTOP)
        sleepers.append((time.monotonic(), victim.process))
    else:
        victim.process.kill()
        victim.process.join()


def _wake(sleepers: list[tuple[float, BaseProcess]]) -> None:
    """Let stopped processes go on a while after they were replaced, and kill them a while later."""
    now = time.monotonic()
    for since, process in list(sleepers):
        if now - since > STOPPED_SECONDS + AWAKE_SECONDS:
            process.kill()
            process.join()
            sleepers.remove((since, process))
        elif now - since > STOPPED_SECONDS:
            _signal(process, signal.SIGCONT)


def _signal(process: BaseProcess, number: signal.Signals) -> None:
    if process.pid is not None and process.exitcode is None:
        os.kill(process.pid, number)


def _lives_of_zombies(blows: list[Blow]) -> set[tuple[int, int]]:
    """Return seat and life of every process that went on after it had been replaced."""
    lives: Counter[int] = Counter()
    zombies = set()
    for blow in blows:
        if blow.is_only_stopped:
            zombies.add((blow.seat, lives[blow.seat]))
        lives[blow.seat] += 1
    return zombies
