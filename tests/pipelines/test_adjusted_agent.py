"""End to end: an agent that diverges while it works takes smaller steps and explores more, on the record."""

import asyncio
from datetime import UTC, datetime

import dagster as dg
import numpy as np

from qe_core.config import Settings
from qe_core.fleet import registry
from qe_core.learning.exploration import ExponentialSchedule
from qe_core.runtime.agent import QEAgent
from qe_core.runtime.decisions import Decision
from qe_core.runtime.episodes import Outcome
from qe_core.runtime.tasks import QETask
from qe_core.runtime.working import agent_at_work
from qe_core.store import Store
from tests.integration.waiting import PATIENCE_SECONDS
from tests.pipelines.test_alerts import tick

CONTRACT = registry().get("quality-gate")
SCHEDULE = ExponentialSchedule(initial=0.05, final=0.05)
TASKS, AT_ONCE = 400, 25
FIRST_POINTS, LAST_POINTS = 60.0, -40.0
UNSEEN = 7


async def work(task: QETask) -> Outcome:
    """Bring what the task says."""
    return Outcome(points=task.inputs["points"], terminated=True, success=True)


async def decided(agent: QEAgent, state: int, points: float) -> Decision:
    """Do one task; return what was decided."""
    result = await agent.execute_with_learning(QETask(context=state, inputs={"points": points}))
    assert result.decision is not None
    return result.decision


def test_a_diverging_agent_is_slowed_down_while_it_works(
    database_url: str, environment: object, instance: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    environment(database_url)  # type: ignore[operator]
    asyncio.run(diverging_and_answered(database_url, instance, definitions))


async def diverging_and_answered(url: str, instance: dg.DagsterInstance, definitions: dg.Definitions) -> None:
    from qe_pipelines.defs.convergence.statistics import figures_of

    settings, rng = Settings(), np.random.default_rng(3)
    strategies = dict.fromkeys(CONTRACT.action_names, work)
    async with (
        Store.connect(url) as store,
        store.live() as live,
        agent_at_work(
            *(store, live, CONTRACT, strategies, settings, rng),
            schedule=SCHEDULE,
            is_strict=True,
            look_every_seconds=0.05,
        ) as agent,
    ):
        points = np.linspace(FIRST_POINTS, LAST_POINTS, TASKS) + rng.normal(0.0, 2.0, TASKS)
        for first in range(0, TASKS, AT_ONCE):
            await asyncio.gather(
                *(decided(agent, int(rng.integers(5)), float(one)) for one in points[first : first + AT_ONCE])
            )
        assert (await decided(agent, 0, LAST_POINTS)).exploration_rate == 0.05

        _, windows = await figures_of(store, CONTRACT, settings, None, is_trimmed=False)
        await store.stats.replace(CONTRACT.name, windows)
        said = await asyncio.to_thread(tick, instance, "divergence", definitions)
        assert "adjusted: quality-gate to " in said

        [record] = await store.adjustments.history(CONTRACT.name)
        assert (record.adjusted_by, record.verdict) == ("monitor", "diverging")
        assert record.learning_rate_factor < record.learning_rate_factor_before == 1.0
        assert record.exploration_floor > record.exploration_floor_before == 0.0
        assert "the mean return fell from" in record.reason
        assert (datetime.now(UTC) - record.adjusted_at).total_seconds() < 600.0

        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await decided(agent, 0, LAST_POINTS)).exploration_rate != record.exploration_floor:
                pass
        decision = await decided(agent, UNSEEN, 40.0)
        table = (await store.q_tables.load("individual", CONTRACT.name, CONTRACT.fingerprint)).table
        # The first step in a state goes all the way to its target unless steps were made smaller.
        assert table.q[UNSEEN, decision.action] == 40.0 * record.learning_rate_factor
