"""Playing the pilot: learning episodes over all tasks, by the same loop as any agent's work.

What belongs here: one learning episode after the other through `QEAgent`, and going on after an interruption.
What does not: the tasks (`tasks`), watching (`run`).
"""

import asyncio
from collections.abc import Container, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from qe_core.fleet.contract import AgentContract
from qe_core.fleet.state import StateModel
from qe_core.learning.exploration import ExponentialSchedule
from qe_core.runtime.agent import QEAgent
from qe_core.runtime.episodes import Episode, Outcome
from qe_core.runtime.pilot.tasks import PilotTask, TaskSession
from qe_core.runtime.tasks import QETask, Strategy
from qe_core.store import Store

FIRST_RATE = 1.0
"""Exploration rate of the first task."""

EXPLORING_SHARE = 0.6
"""Share of all tasks after which the last rate is reached; later the agent mostly does what it knows."""

_SESSION = "session"


@dataclass(frozen=True, slots=True)
class EpisodePlayed:
    """One learning episode: every task once.

    Attributes:
        number: from 0.
        mean_return: undiscounted return of its tasks, points; NaN where all had been done before.
        tasks: done now.
        steps: decisions taken now.
    """

    number: int
    mean_return: float
    tasks: int
    steps: int


def exploration(task_count: int, done: int, last_rate: float) -> ExponentialSchedule:
    """Return how an agent explores that knows how many tasks it will do.

    Args:
        task_count: in all learning episodes.
        done: of them so far.
        last_rate: exploration rate of the last tasks, in (0, 1].
    """
    decay = (last_rate / FIRST_RATE) ** (1.0 / max(1.0, EXPLORING_SHARE * task_count))
    return ExponentialSchedule(FIRST_RATE, last_rate, decay, done)


def strategies(contract: AgentContract) -> dict[str, Strategy]:
    """Return one strategy for each action: it spends a slice of the task's session that way."""
    return {name: partial(_spend, column) for column, name in enumerate(contract.action_names)}


async def _spend(column: int, task: QETask) -> Outcome:
    session: TaskSession = task.inputs[_SESSION]
    return session.take(column)


def session_name(episode: int, task: PilotTask) -> str:
    """Return the name in the log of one task in one learning episode."""
    return f"pilot-{episode:03d}-{task.name}"


async def sessions_in_log(store: Store, agent: str) -> frozenset[str]:
    """Return the names of all sessions of which the log holds anything."""
    [count] = [line.experiences for line in await store.experiences.counts() if line.agent == agent] or [0]
    rows = await store.experiences.read_columns(agent, 0, count)
    return frozenset(rows["episode"].unique().to_pylist())


async def play_episode(
    agent: QEAgent,
    tasks: Sequence[PilotTask],
    number: int,
    seed: int,
    done: Container[str],
    at_once: int,
) -> EpisodePlayed:
    """Do every task once that was not done before in this learning episode.

    Args:
        agent: who does them; strict, so that nothing that was not recorded goes unnoticed.
        tasks: which.
        number: of the learning episode, from 0.
        seed: of what tasks answer.
        done: names of sessions to leave out.
        at_once: tasks under way at the same time, at least 1.

    Raises: what went wrong with learning.
    """
    room = asyncio.Semaphore(at_once)
    sessions: list[TaskSession] = []

    async def do(place: int, task: PilotTask) -> None:
        """Do one task as soon as there is room."""
        async with room:
            session = task.open(int(np.random.SeedSequence([seed, number, place]).generate_state(1)[0]))
            await _play(agent, task, session, Episode(session_name(number, task)))
            sessions.append(session)

    try:
        async with asyncio.TaskGroup() as group:
            for place, task in enumerate(tasks):
                if session_name(number, task) not in done:
                    group.create_task(do(place, task))
    except ExceptionGroup as several:
        # One says what to do; the others met the same.
        raise several.exceptions[0] from None
    points = [session.points for session in sessions]
    mean = float(np.mean(points)) if points else float("nan")
    return EpisodePlayed(number, mean, len(sessions), sum(session.steps for session in sessions))


async def _play(agent: QEAgent, task: PilotTask, session: TaskSession, episode: Episode) -> None:
    """Take one decision after the other until the task is over."""
    context: StateModel | int = task.context
    while not episode.is_finished:
        asked = QETask(task_id=f"{episode.name}-{session.steps}", context=context, inputs={_SESSION: session})
        await agent.execute_with_learning(asked, episode)
        context = session.state
