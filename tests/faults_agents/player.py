"""One process of agents that play episodes, and goes on where the process before it was killed.

What belongs here: what a user's orchestrator would do: notes, tasks that are done, resuming. What does not:
killing (`run`) and judging (`verdict`).
"""

import asyncio
import os
from dataclasses import dataclass
from multiprocessing import parent_process
from pathlib import Path

import numpy as np

from qe_core.config import Settings
from qe_core.runtime.agent import QEAgent
from qe_core.runtime.episodes import Outcome
from qe_core.runtime.journal import FileJournal
from qe_core.runtime.learner import Learner
from qe_core.runtime.tasks import QETask
from qe_core.runtime.tokens import DecisionToken
from qe_core.store import Store
from qe_core.store.live import Live, LiveSettings

STEPS = 3
STATES = 20
WORK_SECONDS = 0.1
ENOUGH = "enough"
"""A file beside the seats' folders: all kills have happened. Agents play on until then."""


@dataclass(frozen=True, slots=True)
class Seat:
    """What one process is to do.

    Attributes:
        url: of the database.
        folder: of the seat's files; every process in the seat goes on with them.
        number: of the seat.
        life: of the process in the seat, from 0.
        agents: names, played side by side.
        episodes: each agent is to finish at least.
        seed: of everything random but the fleet's own identifiers.
    """

    url: str
    folder: str
    number: int
    life: int
    agents: tuple[str, ...]
    episodes: int
    seed: int


class Diary:
    """Lines that survive the process, written by any number of processes at once."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, *words: object) -> None:
        """Append one line in one write: it is there whole or not at all."""
        os.write(self._file, (" ".join(map(str, words)) + "\n").encode())


class WatchedJournal(FileJournal):
    """Notes that also tell the judge what was decided and what was acknowledged."""

    def __init__(self, path: Path, diary: Diary, life: int) -> None:
        super().__init__(path)
        self._diary = diary
        self._life = life

    def decided(self, token: DecisionToken) -> None:
        """Tell before, for what is in the log was decided; and after, for what is noted is finished."""
        self._diary.write("decided", self._life, token.agent, token.episode, token.step)
        super().decided(token)
        self._diary.write("noted", self._life, token.agent, token.episode, token.step)

    def happened(self, token: DecisionToken, outcome: Outcome) -> None:
        """Tell first: from now on the outcome is being recorded."""
        self._diary.write("happened", self._life, token.agent, token.episode, token.step)
        super().happened(token, outcome)

    def settled(self, token: DecisionToken) -> None:
        """Tell first: nothing is abandoned here, so what is crossed out was acknowledged."""
        self._diary.write("acknowledged", self._life, token.agent, token.episode, token.step)
        super().settled(token)


async def play(seat: Seat, live: Live, agent_name: str, diary: Diary) -> None:
    """Finish the episodes of one agent that are not done yet."""
    folder = Path(seat.folder)
    done = folder / f"{agent_name}.done"
    begun = len(done.read_bytes().splitlines()) if done.exists() else 0
    rng = np.random.default_rng([seat.seed, seat.number, seat.life, seat.agents.index(agent_name)])
    learner = await Learner.open(live, agent_name, Settings(), rng)
    with WatchedJournal(folder / f"{agent_name}.notes", diary, seat.life) as journal:
        agent = QEAgent(
            learner,
            dict.fromkeys(learner.contract.action_names, work),
            journal=journal,
            decide_seconds=60.0,
            record_seconds=120.0,
            is_strict=True,
        )
        while journal.open:
            await agent.resume(journal, redo)
        diary.write("resumed", seat.life, agent_name)
        finished = Diary(done)
        while begun < seat.episodes or not (folder.parent / ENOUGH).exists():
            begun += 1
            episode = agent.begin_episode()
            for step in range(STEPS):
                inputs = {"is_last": step == STEPS - 1, "pause": float(rng.uniform(0, WORK_SECONDS))}
                inputs |= {"points": float(rng.uniform(-50, 50)), "next": int(rng.integers(STATES))}
                await agent.execute_with_learning(
                    QETask(context=int(rng.integers(STATES)), inputs=inputs), episode
                )
            finished.write("done")


async def work(task: QETask) -> Outcome:
    """Take some time, and score."""
    await asyncio.sleep(task.inputs["pause"])
    if task.inputs["is_last"]:
        return Outcome(points=task.inputs["points"], terminated=True)
    return Outcome(points=task.inputs["points"], next_context=task.inputs["next"])


async def redo(token: DecisionToken) -> Outcome:
    """Do the work of a process that was killed again, with the action it had decided on."""
    await asyncio.sleep(WORK_SECONDS / 5)
    return Outcome(points=float(token.state), terminated=True)


def occupy(seat: Seat) -> None:
    """Play in a process of its own, which ends with the one that started it."""
    with (Path(seat.folder) / "errors").open("ab") as errors:
        os.dup2(errors.fileno(), 2)
    asyncio.run(main(seat))


async def main(seat: Seat) -> None:
    """Play all agents of the seat side by side."""
    if (parent := parent_process()) is not None:
        asyncio.get_running_loop().add_reader(int(parent.sentinel), os._exit, 1)
    diary = Diary(Path(seat.folder) / "diary")
    settings = LiveSettings(writer_connections=1, deadline_seconds=60.0)
    async with Store.connect(seat.url, pool_size=1) as store, store.live(settings) as live:
        diary.write("began", seat.life)
        await asyncio.gather(*(play(seat, live, name, diary) for name in seat.agents))
