"""The pilot's tasks go through the real loop into a real log, each once."""

from collections.abc import AsyncIterator

import numpy as np
import pytest

from qe_core.config import Settings
from qe_core.fleet.test_generation import TEST_GENERATOR
from qe_core.runtime.agent import QEAgent
from qe_core.runtime.pilot.live import (
    exploration,
    play_episode,
    session_name,
    sessions_in_log,
    strategies,
)
from qe_core.runtime.pilot.tasks import synthetic_tasks
from qe_core.runtime.working import agent_at_work
from qe_core.store import Store

TASKS = synthetic_tasks(6, 0, 0)
AGENT = TEST_GENERATOR.name


@pytest.fixture
async def agent(store: Store) -> AsyncIterator[QEAgent]:
    async with (
        store.live() as live,
        agent_at_work(
            *(store, live, AGENT, strategies(TEST_GENERATOR), Settings(), np.random.default_rng(1)),
            schedule=exploration(12, 0, 0.1),
            is_strict=True,
        ) as opened,
    ):
        yield opened


async def test_a_learning_episode_does_every_task_once(store: Store, agent: QEAgent) -> None:
    played = await play_episode(agent, TASKS, 0, seed=0, done=(), at_once=3)
    assert (played.number, played.tasks) == (0, 6)
    assert await sessions_in_log(store, AGENT) == {session_name(0, task) for task in TASKS}
    episodes = await store.experiences.episode_returns(AGENT, TEST_GENERATOR.fingerprint)
    assert episodes.is_finished.all()
    assert played.steps == episodes.steps.sum() == agent.counters.recorded
    assert played.mean_return == pytest.approx(episodes.total_reward.mean())
    first = (await store.experiences.read_columns(AGENT, 0, 1_000)).to_pylist()
    assert {row["state"] for row in first if row["step"] == 0} == {task.first_state for task in TASKS}


async def test_tasks_that_were_done_before_an_interruption_are_left_out(store: Store, agent: QEAgent) -> None:
    await play_episode(agent, TASKS[:4], 0, seed=0, done=(), at_once=3)
    before = await sessions_in_log(store, AGENT)
    played = await play_episode(agent, TASKS, 0, seed=0, done=before, at_once=3)
    assert played.tasks == 2
    nothing = await play_episode(agent, TASKS, 0, seed=0, done=await sessions_in_log(store, AGENT), at_once=3)
    assert (nothing.tasks, nothing.steps, np.isnan(nothing.mean_return)) == (0, 0, True)
    assert len(await store.experiences.episode_returns(AGENT)) == 6


async def test_what_goes_wrong_with_learning_stops_the_pilot(
    store: Store, agent: QEAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr("qe_core.runtime.learner.Learner.record", fail)
    with pytest.raises(MemoryError, match="no room"):
        await play_episode(agent, TASKS, 0, seed=0, done=(), at_once=3)


async def test_an_empty_log_holds_no_sessions(store: Store) -> None:
    assert await sessions_in_log(store, AGENT) == frozenset()
