"""One process of agents at work: many tasks at once through the real learner, in simulated worlds.

What belongs here: what a user's agents would do, and a diary of which policy each decision followed. What
does not: poisoning (`policies`) and adding up (`timeline`).
"""

import asyncio
import os
import time
from dataclasses import dataclass
from multiprocessing import parent_process
from pathlib import Path
from typing import TextIO

import numpy as np

from qe_core.config import Settings
from qe_core.environments.simulated import SimulatedEnv
from qe_core.runtime.episodes import Outcome
from qe_core.runtime.learner import Learner
from qe_core.store import StaleEpochError, Store
from qe_core.store.live import LiveSettings

ENOUGH = "enough"
"""A file beside the diaries: tasks under way are finished, no further one is begun."""

LIVE_TABLE = 0
"""Stands in the diary for the number of a policy version where the live table was followed."""


@dataclass(frozen=True, slots=True)
class Crew:
    """What one process is to do.

    Attributes:
        url: of the database.
        folder: for the diaries of all processes.
        number: of this process.
        agents: names; each has ``tasks`` tasks at work at once.
        tasks: at once, of each agent.
        work_seconds: that a step of a task takes at most.
        seed: of everything random.
    """

    url: str
    folder: str
    number: int
    agents: tuple[str, ...]
    tasks: int
    work_seconds: float
    seed: int


def occupy(crew: Crew) -> None:
    """Work in a process of its own, which ends with the one that started it."""
    with (Path(crew.folder) / f"errors-{crew.number}").open("ab") as errors:
        os.dup2(errors.fileno(), 2)
    asyncio.run(main(crew))


async def main(crew: Crew) -> None:
    """Work on all tasks side by side until told that it is enough."""
    if (parent := parent_process()) is not None:
        asyncio.get_running_loop().add_reader(int(parent.sentinel), os._exit, 1)
    seeds = np.random.default_rng([crew.seed, crew.number])
    # Line by line: who looks while the work goes on sees whole lines.
    with (Path(crew.folder) / f"diary-{crew.number}").open("a", buffering=1, encoding="utf-8") as diary:
        async with (
            Store.connect(crew.url, pool_size=2) as store,
            store.live(LiveSettings(writer_connections=1)) as live,
            asyncio.TaskGroup() as group,
        ):
            for name in crew.agents:
                learner = await Learner.open(live, name, Settings(), seeds.spawn(1)[0])
                for rng in seeds.spawn(crew.tasks):
                    group.create_task(work(crew, learner, rng, diary))


async def work(crew: Crew, learner: Learner, rng: np.random.Generator, diary: TextIO) -> None:
    """Do one task after the other; one whose policy was taken back meanwhile is given up and begun anew."""
    world = SimulatedEnv(learner.contract.name)
    enough = Path(crew.folder) / ENOUGH
    world.reset(seed=int(rng.integers(2**31)))
    while not enough.exists():
        try:
            await finish_task(crew, learner, world, rng, diary)
        except StaleEpochError:
            diary.write(f"refused {time.time()} {learner.contract.name}\n")


async def finish_task(
    crew: Crew, learner: Learner, world: SimulatedEnv, rng: np.random.Generator, diary: TextIO
) -> None:
    """Work on one task to its end, and note the policy each of its decisions followed."""
    episode = learner.begin_episode()
    state, _ = world.reset()
    for step in range(1, learner.contract.horizon + 1):
        decision = await learner.decide(int(state), episode)
        version = LIVE_TABLE if decision.policy_version is None else decision.policy_version
        diary.write(
            f"decided {time.time()} {learner.contract.name} {episode.name} {version} {episode.epoch}\n"
        )
        await asyncio.sleep(rng.uniform(0.0, crew.work_seconds))
        state, points, is_over, _, _ = world.step(decision.action)
        is_cut = step == learner.contract.horizon and not is_over
        outcome = Outcome(
            points=points,
            next_context=None if is_over else int(state),
            terminated=is_over,
            truncated=is_cut,
        )
        await learner.record(decision, outcome)
        if outcome.is_end:
            points = sum(episode.rewards.values())
            diary.write(f"ended {time.time()} {learner.contract.name} {episode.name} {points}\n")
            return
