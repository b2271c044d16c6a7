"""A running learner and training sessions follow what the monitor asks."""

import asyncio
from collections.abc import AsyncIterator

import numpy as np
import pytest

from qe_core.config import Settings
from qe_core.errors import DatabaseUnavailableError
from qe_core.fleet import registry
from qe_core.learning.divergence_response import NEUTRAL, Adjustment
from qe_core.learning.exploration import ExponentialSchedule
from qe_core.runtime.adjusting import adjustments_followed
from qe_core.runtime.episodes import Outcome
from qe_core.runtime.learner import Learner
from qe_core.runtime.parameters import adjusted, exploration_schedule, learning_rate
from qe_core.store import Store
from qe_core.store.live import Live
from tests.integration.waiting import PATIENCE_SECONDS, until

AGENT = "test-executor"
CONTRACT = registry().get(AGENT)
HALF = Adjustment(0.5, 0.25)


@pytest.fixture
async def live(store: Store) -> AsyncIterator[Live]:
    async with store.live() as opened:
        yield opened


async def learner_of(live: Live) -> Learner:
    schedule = ExponentialSchedule(initial=0.1, final=0.01)
    return await Learner.open(live, AGENT, Settings(), np.random.default_rng(1), schedule=schedule)


async def explores_at(learner: Learner, rate: float) -> None:
    """Wait until the learner decides at an exploration rate."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await learner.decide(5)).exploration_rate != rate:  # noqa: ASYNC110 - PostgreSQL's to do
            await asyncio.sleep(0.005)


async def test_an_adjusted_learner_takes_smaller_steps_and_explores_more(store: Store, live: Live) -> None:
    learner = await learner_of(live)
    learner.adjust(HALF)
    decision = await learner.decide(5)
    assert decision.exploration_rate == 0.25
    await learner.record(decision, Outcome(points=40.0, terminated=True))
    table = (await store.q_tables.load("individual", AGENT, CONTRACT.fingerprint)).table
    assert table.q[5, decision.action] == 20.0  # half of the first rate, which is 1
    assert (await learner.decide(5)).exploration_rate == 0.25  # after the episode's end as well
    learner.adjust(NEUTRAL)
    assert (await learner.decide(5)).exploration_rate == pytest.approx(0.1 * 0.995)


async def test_a_learner_follows_from_the_first_moment_on(store: Store, live: Live) -> None:
    await store.adjustments.adjust(AGENT, HALF, "monitor", "diverging", "returns fell")
    learner = await learner_of(live)
    async with adjustments_followed(store, learner, every_seconds=0.01):
        assert (await learner.decide(5)).exploration_rate == 0.25
        await store.adjustments.adjust(AGENT, NEUTRAL, "monitor", "learning", "it recovered")
        await explores_at(learner, 0.1)


async def test_the_last_adjustment_holds_while_the_database_cannot_be_asked(
    store: Store, live: Live, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.adjustments.adjust(AGENT, HALF, "monitor", "diverging", "returns fell")
    learner = await learner_of(live)
    async with adjustments_followed(store, learner, every_seconds=0.01):
        monkeypatch.setattr(store.adjustments, "_database", Unreachable())
        await until(lambda: "adjustments of test-executor are not known now: gone" in caplog.text)
        assert (await learner.decide(5)).exploration_rate == 0.25
        monkeypatch.undo()
        await store.adjustments.adjust(AGENT, NEUTRAL, "monitor", "learning", "it recovered")
        await explores_at(learner, 0.1)


class Unreachable:
    """Refuses as the store does when the server is away, which other tests show with a real one."""

    def connection(self) -> None:
        """Refuse."""
        raise DatabaseUnavailableError("gone")


def test_settings_are_adjusted_for_training_sessions() -> None:
    settings = Settings()
    changed = adjusted(settings, HALF)
    assert learning_rate(changed) == HALF.learning_rate(learning_rate(settings))
    assert exploration_schedule(changed).exploration_rate == 0.25
    assert adjusted(settings, NEUTRAL) == settings
    constant = Settings.model_validate({"learning": {"learning_rate_schedule": "constant"}})
    assert learning_rate(adjusted(constant, HALF)).initial == 0.05


async def test_a_training_session_explores_as_much_as_the_monitor_asks(store: Store) -> None:
    from qe_core.environments.catalogue import world_of
    from qe_core.runtime.training import TrainingPlan, simulated_play, train

    play = simulated_play(world_of(CONTRACT), adjusted(Settings(), HALF))
    await train(store, CONTRACT, TrainingPlan(AGENT, 20), "simulated", play)
    episodes = await store.experiences.episode_returns(AGENT, CONTRACT.fingerprint)
    assert episodes.exploration_rate.min() == 0.25
