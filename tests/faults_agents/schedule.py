"""Which process is hit when: every seat, at random moments, some again while they recover.

What belongs here: drawing blows from a seed. What does not: dealing them (`run`).
"""

from dataclasses import dataclass

import numpy as np

LONGEST_WAIT_SECONDS = 0.15
"""A process that plays is hit within this time after the blow before it."""

RECOVERY_SECONDS = 0.04
"""A process that is to be hit while it recovers is hit within this time after it began."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to happen.

    Attributes:
        seed: of the moments and the victims.
        processes: at once.
        agents: in each process.
        episodes: each agent of each process is to finish, at least.
        kills: SIGKILLs of processes that play: of one seat after the other, in random order.
        relapses: of these seats, how many are hit again as soon as the next process there recovers.
        zombies: processes that are stopped, replaced, woken up, and killed in the end.
        patience_seconds: after which an agent that is not done is stuck.
    """

    seed: int
    processes: int
    agents: int
    episodes: int
    kills: int
    relapses: int
    zombies: int
    patience_seconds: float

    @property
    def blows(self) -> int:
        """Processes that are hit in all."""
        return self.kills + self.relapses + self.zombies


@dataclass(frozen=True, slots=True)
class Blow:
    """What happens to one process.

    Attributes:
        seat: of the process.
        after_seconds: since the blow before, or since the process began if that is later.
        is_only_stopped: rather than killed: it will wake up and go on beside its successor.
    """

    seat: int
    after_seconds: float
    is_only_stopped: bool = False


def schedule(plan: Plan, rng: np.random.Generator) -> list[Blow]:
    """Return the blows of a plan in their order, ``plan.blows`` of them."""
    rounds = [rng.permutation(plan.processes) for _ in range(-(-plan.kills // plan.processes))]
    victims = np.concatenate([*rounds, np.empty(0, dtype=np.int64)])[: plan.kills].tolist()
    again = set(rng.choice(plan.kills, plan.relapses, replace=False).tolist())
    blows = []
    for place, seat in enumerate(victims):
        blows.append([Blow(seat, float(rng.uniform(0, LONGEST_WAIT_SECONDS)))])
        if place in again:
            blows[-1].append(Blow(seat, float(rng.uniform(0, RECOVERY_SECONDS))))
    for _ in range(plan.zombies):
        seat = int(rng.integers(plan.processes))
        blow = Blow(seat, float(rng.uniform(0, LONGEST_WAIT_SECONDS)), is_only_stopped=True)
        blows.insert(int(rng.integers(len(blows) + 1)), [blow])
    return [blow for together in blows for blow in together]
