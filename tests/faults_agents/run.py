"""One run: processes play, are killed at random moments and replaced, until every agent has done its tasks.

What belongs here: starting, killing, stopping, replacing, waiting. What does not: playing (`player`) and
judging (`verdict`).
"""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from qe_core.fleet import registry
from tests.faults_agents.player import ENOUGH, Seat
from tests.faults_agents.verdict import Diaries, Verdict, judge, stored

ROOT = Path(__file__).parents[2]
POLL_SECONDS = 0.02
LONGEST_LIFE_SECONDS = 0.6
"""Processes are killed within this time after they began to play."""

ZOMBIE_SECONDS = 1.0
"""How long a replaced process that was only stopped goes on before it is killed, too."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to happen.

    Attributes:
        seed: of the moments and the victims.
        processes: at once.
        agents: in each process.
        episodes: each agent of each process is to finish, at least.
        kills: SIGKILLs of processes that play.
        zombies: processes that are stopped, replaced, woken up, and killed in the end.
        patience_seconds: after which an agent that is not done is stuck.
    """

    seed: int
    processes: int
    agents: int
    episodes: int
    kills: int
    zombies: int
    patience_seconds: float


@dataclass(slots=True)
class _Chair:
    """A seat and the process in it."""

    seat: Seat
    process: subprocess.Popen[bytes]
    folder: Path

    @property
    def has_begun(self) -> bool:
        """Whether the process in the seat plays."""
        diary = self.folder / "diary"
        return diary.exists() and f"began {self.seat.life}\n" in diary.read_text()

    @property
    def is_over(self) -> bool:
        """Whether the process has ended by itself."""
        return self.process.poll() is not None


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a run.

    Attributes:
        plan: what was to happen.
        killed: processes killed while they played.
        zombies: of them stopped and replaced first.
        stuck: processes that did not finish in time, or ended with an error.
        verdict: on what is stored.
        seconds: it took.
    """

    plan: Plan
    killed: int
    zombies: int
    stuck: int
    verdict: Verdict
    seconds: float = field(compare=False)

    @property
    def is_clean(self) -> bool:
        """Whether nothing was lost or doubled, nobody is stuck and all that was to happen happened."""
        happened = self.killed == self.plan.kills + self.plan.zombies and self.zombies == self.plan.zombies
        return happened and self.stuck == 0 and self.verdict.is_clean


def run(plan: Plan, url: str, folder: Path, on_kill: Callable[[int], None] = lambda _: None) -> Result:
    """Return what came of a plan.

    Args:
        plan: what is to happen.
        url: of a migrated, empty database with room for five connections a process.
        folder: empty, for the processes' files.
        on_kill: told after every kill how many there were.
    """
    began_at = time.monotonic()
    rng = np.random.default_rng(plan.seed)
    names = sorted(registry().names())
    chairs, zombies, sleepers = [], set(), []
    for number in range(plan.processes):
        place = folder / str(number)
        place.mkdir()
        chosen = tuple(rng.choice(names, plan.agents, replace=False).tolist())
        chairs.append(_taken(Seat(url, str(place), number, 0, chosen, plan.episodes, plan.seed)))
    strikes = rng.permutation([False] * plan.kills + [True] * plan.zombies).tolist()
    ends_at = began_at + plan.patience_seconds
    killed = 0
    try:
        while killed < len(strikes) and time.monotonic() < ends_at:
            time.sleep(float(rng.uniform(0, LONGEST_LIFE_SECONDS / 4)))
            _wake(sleepers)
            playing = [chair for chair in chairs if not chair.is_over and chair.has_begun]
            if not playing:
                if all(chair.is_over for chair in chairs):
                    break
                continue
            victim = playing[int(rng.integers(len(playing)))]
            if strikes[killed]:
                victim.process.send_signal(signal.SIGSTOP)
                zombies.add((victim.seat.number, victim.seat.life))
                sleepers.append((time.monotonic(), victim.process))
            else:
                victim.process.kill()
                victim.process.wait()
            chairs[victim.seat.number] = _taken(replace(victim.seat, life=victim.seat.life + 1))
            killed += 1
            on_kill(killed)
        (folder / ENOUGH).touch()
        while time.monotonic() < ends_at and not (all(chair.is_over for chair in chairs) and not sleepers):
            time.sleep(POLL_SECONDS)
            _wake(sleepers)
        stuck = sum(chair.process.poll() != 0 for chair in chairs)
    finally:
        for process in [chair.process for chair in chairs] + [process for _, process in sleepers]:
            process.kill()
            process.wait()
    log, visits = stored(url)
    verdict = judge(Diaries.read([chair.folder for chair in chairs]), log, visits, zombies)
    return Result(plan, killed, len(zombies), stuck, verdict, time.monotonic() - began_at)


def _taken(seat: Seat) -> _Chair:
    """Start a process in a seat."""
    folder = Path(seat.folder)
    with (folder / "errors").open("ab") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults_agents.player", seat.to_json()], cwd=ROOT, stderr=errors
        )
    return _Chair(seat, process, folder)


def _wake(sleepers: list[tuple[float, "subprocess.Popen[bytes]"]]) -> None:
    """Let stopped processes go on a while after they were replaced, and kill them a while later."""
    now = time.monotonic()
    for since, process in list(sleepers):
        with contextlib.suppress(ProcessLookupError):
            if now - since > 4 * ZOMBIE_SECONDS:
                process.kill()
                process.wait()
                sleepers.remove((since, process))
            elif now - since > 3 * ZOMBIE_SECONDS:
                process.send_signal(signal.SIGCONT)
