"""Processes of agents that are killed in the middle of a test."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import numpy as np
import pytest

from qe_core.rollout.assignment import Arm, Stage, arm_of, plan_of
from qe_core.rollout.verdicts import Verdict
from qe_core.runtime.rollout.ab_testing import ABTestingFramework
from qe_core.store import Store
from qe_core.store.ab_tests import ABTest
from qe_core.store.errors import ABTestError
from tests.integration.runtime.rollout.playing import (
    AGENT,
    QUICK,
    best,
    frozen,
    opened,
    play,
    settings_with,
    worst,
)

SETTINGS = settings_with()
EPISODES = 60
NEVER = 3_600.0


@contextmanager
def agent_process(url: str, seed: int, linger_seconds: float) -> Iterator[list[str]]:
    """Let an agent play until it has finished some episodes, kill it, and yield their names."""
    module = "tests.integration.runtime.rollout.agent_process"
    command = [sys.executable, "-m", module, url, str(seed), str(linger_seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield [process.stdout.readline().strip() for _ in range(EPISODES)]
        finally:
            process.kill()


async def running(store: Store, unit_kind: str = "task") -> ABTest:
    """Start a test at its second stage."""
    control, treatment = await frozen(store, worst(), "control"), await frozen(store, best(), "treatment")
    await store.policies.promote(AGENT, control.number, by="a test", why="first")
    return await store.ab_tests.start(
        AGENT, key="k", control=control.number, treatment=treatment.number, by="a test", why="x",
        stage=Stage.HALF, unit_kind=unit_kind,
    )  # fmt: skip


async def test_units_that_died_with_their_process_are_made_good_from_the_log(
    store: Store, database_url: str
) -> None:
    test = await running(store)
    testing = ABTestingFramework(store, SETTINGS)
    with agent_process(database_url, 1, NEVER) as finished:
        pass
    assert len(await store.ab_tests.units(test.experiment_id)) == 0
    counted = await testing.recover_units(test.experiment_id)
    units = await store.ab_tests.units(test.experiment_id)
    assert counted.new == len(units) >= EPISODES
    recorded = {name for name, is_there in zip(units.unit, units.is_recorded, strict=True) if is_there}
    assert set(finished) <= recorded
    for name, is_treatment in zip(units.unit, units.is_treatment.tolist(), strict=True):
        assert (arm_of("k", name, plan_of(Stage.HALF)) is Arm.TREATMENT) == is_treatment
    log = await store.experiences.episode_returns(AGENT)
    assert np.nansum(units.reward) == pytest.approx(log.total_reward[log.success >= 0].sum())
    look = await testing.analyse(test.experiment_id, datetime.now(UTC))
    assert look.judgement.verdict is not Verdict.INVALID
    again = await testing.recover_units(test.experiment_id)
    assert (again.new, again.completed, again.repeated) == (0, 0, counted.new)
    assert not (await store.ab_tests.units(test.experiment_id)).repeats.any()


async def test_a_process_that_follows_a_killed_one_goes_on_with_the_same_test(
    store: Store, database_url: str
) -> None:
    test = await running(store)
    with agent_process(database_url, 2, 0.0) as finished:
        pass
    async with store.live(reading=QUICK) as live:
        decisions = await play(await opened(live, SETTINGS, seed=3), EPISODES, seed=3)
        await live.units.drain()
    await ABTestingFramework(store, SETTINGS).recover_units(test.experiment_id)
    units = await store.ab_tests.units(test.experiment_id)
    known = dict(zip(units.unit, units.is_treatment.tolist(), strict=True))
    assert set(finished) <= known.keys()
    for decision in decisions:
        assert known[decision.episode] == (decision.variant is Arm.TREATMENT)
    # The one episode that was under way when the process was killed stays without an outcome.
    assert (~units.is_recorded).sum() <= 1


async def test_episodes_outside_the_arms_are_no_units(store: Store) -> None:
    control, treatment = await frozen(store, worst(), "control"), await frozen(store, best(), "treatment")
    await store.policies.promote(AGENT, control.number, by="a test", why="first")
    async with store.live(reading=QUICK) as live:
        learner = await opened(live, SETTINGS)
        await play(learner, 20, seed=1)  # before the test, by the version that is its control
        test = await store.ab_tests.start(
            AGENT, key="k", control=control.number, treatment=treatment.number, by="a test", why="x"
        )
        await live.serving.look(AGENT)
        decisions = await play(learner, 60, seed=2)
        await live.units.drain()
    tested = {decision.episode for decision in decisions if decision.variant is not None}
    before = await store.ab_tests.units(test.experiment_id)
    assert set(before.unit) == tested
    counted = await ABTestingFramework(store, SETTINGS).recover_units(test.experiment_id)
    assert (counted.new, counted.completed, counted.contradicting) == (0, 0, 0)


async def test_units_of_developers_cannot_be_told_from_the_log(store: Store) -> None:
    test = await running(store, "developer")
    with pytest.raises(ABTestError, match="which the log does not tell"):
        await ABTestingFramework(store, SETTINGS).recover_units(test.experiment_id)
