"""An agent at work follows what the monitor asks of it, from its first task on."""

import asyncio

import numpy as np
import pytest

from qe_core.config import Settings
from qe_core.errors import ConfigError, UnknownAgentError
from qe_core.fleet import registry
from qe_core.learning.divergence_response import NEUTRAL, Adjustment
from qe_core.learning.exploration import ExponentialSchedule
from qe_core.runtime.episodes import Outcome
from qe_core.runtime.errors import StrategyError
from qe_core.runtime.tasks import QETask
from qe_core.runtime.working import agent_at_work
from qe_core.store import Store
from tests.integration.waiting import PATIENCE_SECONDS

CONTRACT = registry().get("test-executor")
STRATEGIES = dict.fromkeys(CONTRACT.action_names, lambda _: Outcome(points=40.0, terminated=True))
SCHEDULE = ExponentialSchedule(initial=0.1, final=0.01)


async def test_an_agent_follows_adjustments_without_being_asked_to(store: Store) -> None:
    await store.adjustments.adjust(CONTRACT.name, Adjustment(0.5, 0.25), "monitor", "diverging", "it fell")
    async with (
        store.live() as live,
        agent_at_work(
            *(store, live, CONTRACT, STRATEGIES, Settings(), np.random.default_rng(1)),
            schedule=SCHEDULE,
            is_strict=True,
            look_every_seconds=0.01,
        ) as agent,
    ):
        first = (await agent.execute_with_learning(QETask(context=5))).decision
        assert first is not None
        assert first.exploration_rate == 0.25
        table = (await store.q_tables.load("individual", CONTRACT.name, CONTRACT.fingerprint)).table
        assert table.q[5, first.action] == 20.0  # half of the first step, which goes all the way to 40
        await store.adjustments.adjust(CONTRACT.name, NEUTRAL, "monitor", "learning", "it recovered")
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                decision = (await agent.execute_with_learning(QETask(context=5))).decision
                assert decision is not None
                if decision.exploration_rate < 0.25:
                    break
                await asyncio.sleep(0.005)


async def test_nothing_goes_on_looking_after_the_agents_last_task(store: Store) -> None:
    before = asyncio.all_tasks()
    async with store.live() as live:
        async with agent_at_work(
            store, live, CONTRACT.name, STRATEGIES, Settings(), np.random.default_rng(1)
        ) as agent:
            await agent.execute_with_learning(QETask(context=5))
            beside = asyncio.all_tasks()
        assert any("_follow" in repr(task) for task in beside - before)
        assert not any("_follow" in repr(task) for task in asyncio.all_tasks() - before)


async def test_what_an_agent_cannot_be_made_of_is_refused(store: Store) -> None:
    rng = np.random.default_rng(1)
    async with store.live() as live:
        with pytest.raises(UnknownAgentError):
            async with agent_at_work(store, live, "nobody", STRATEGIES, Settings(), rng):
                pass
        with pytest.raises(StrategyError):
            async with agent_at_work(store, live, CONTRACT, {}, Settings(), rng):
                pass


async def test_an_agent_does_not_learn_for_somebody_the_store_does_not_know(store: Store) -> None:
    settings = Settings.model_validate({"team": {"developer": "ada"}})
    async with store.live() as live:
        with pytest.raises(ConfigError, match="is set, but the store was opened without it"):
            async with agent_at_work(store, live, CONTRACT, STRATEGIES, settings, np.random.default_rng(1)):
                pass
