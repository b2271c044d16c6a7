"""Whole A/B tests through real learners: better candidates are promoted, worse ones stopped."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import numpy as np
import pytest

from qe_core.config import Settings
from qe_core.rollout.assignment import Stage
from qe_core.rollout.verdicts import Verdict
from qe_core.runtime.rollout.ab_testing import ABTestingFramework
from qe_core.runtime.rollout.staged_rollout import RolloutStep, StagedRollout
from qe_core.store import Store
from qe_core.store.ab_tests import ABTest, EndVerdict
from qe_core.store.live import Live
from qe_core.store.policies import Mode, PolicyVersion
from tests.integration.runtime.rollout.playing import (
    AGENT,
    CONTRACT,
    QUICK,
    best,
    frozen,
    mixed,
    opened,
    play,
    settings_with,
    worst,
)
from tests.integration.waiting import until

SETTINGS = settings_with(minimum_units_per_arm=50, maximum_units_per_arm=150)
EPISODES = 100
"""Played between two looks."""


@pytest.fixture
async def live(store: Store) -> AsyncIterator[Live]:
    async with store.live(reading=QUICK) as found:
        yield found


async def served_and_candidate(
    store: Store, stable: np.ndarray, candidate: np.ndarray
) -> tuple[PolicyVersion, PolicyVersion]:
    """Serve one policy and freeze another."""
    first = await frozen(store, stable, "stable")
    await store.policies.promote(AGENT, first.number, by="a test", why="first")
    return first, await frozen(store, candidate, "candidate")


async def run(
    store: Store, live: Live, settings: Settings, test: ABTest, seed: int, rounds: int = 25
) -> list[RolloutStep]:
    """Play and look until the test ends or the rounds are over; return what each look led to."""
    rollout, learner, steps = StagedRollout(store, settings), await opened(live, settings, seed), []
    for number in range(rounds):
        await play(learner, EPISODES, seed=1_000 * seed + number)
        await live.units.drain()
        [step] = await rollout.advance_due(datetime.now(UTC))
        steps.append(step)
        if not step.test.is_running:
            break
        stage = step.test.stage
        await until(lambda stage=stage: live.serving.of(AGENT).state.test.stage is stage)  # type: ignore[misc,union-attr]
    assert test.experiment_id == steps[-1].test.experiment_id
    return steps


async def test_a_truly_better_candidate_passes_every_stage_and_is_promoted(store: Store, live: Live) -> None:
    stable, candidate = await served_and_candidate(store, mixed(0.5), best())
    testing = ABTestingFramework(store, SETTINGS)
    test = await testing.start(
        AGENT, by="Ada", why="it looks better", candidate=candidate.number, insistence="a trial"
    )
    assert (test.control, test.treatment, test.stage) == (stable.number, candidate.number, Stage.TENTH)
    steps = await run(store, live, SETTINGS, test, seed=1)
    assert steps[-1].test.verdict is EndVerdict.PROMOTE
    course = await store.ab_tests.history(test.experiment_id)
    assert [entry.to_stage for entry in course] == [Stage.TENTH, Stage.HALF, Stage.FULL, None]
    assert [entry.changed_by for entry in course] == ["Ada", "rollout", "rollout", "rollout"]
    state = (await store.policies.serving([AGENT]))[AGENT]
    assert (state.mode, state.stable, state.candidate, state.test) == (
        Mode.SERVING, candidate.number, None, None,
    )  # fmt: skip
    judgement = steps[-1].look.judgement
    assert judgement.verdict is Verdict.PROMOTE
    assert judgement.is_ordered_rule_met
    assert judgement.lower is not None
    assert judgement.lower > 0
    kept = await store.ab_tests.analyses(test.experiment_id)
    assert [one.verdict for one in kept] == [step.look.judgement.verdict.value for step in steps]
    # The treatment's share grew with the stages: the last one leaves a hold-out.
    by_stage = {one.stage: one for one in steps[-1].look.evidence}
    assert by_stage[Stage.FULL].treatment.count > 4 * by_stage[Stage.FULL].control.count


async def test_a_truly_worse_candidate_is_stopped_for_harm_at_ten_percent(store: Store, live: Live) -> None:
    stable, candidate = await served_and_candidate(store, best(), worst())
    test = await ABTestingFramework(store, SETTINGS).start(
        AGENT, by="Ada", why="a mistake", candidate=candidate.number, insistence="a trial"
    )
    steps = await run(store, live, SETTINGS, test, seed=2)
    assert steps[-1].test.verdict is EndVerdict.HARM
    assert steps[-1].test.stage is Stage.TENTH
    assert steps[-1].look.judgement.verdict is Verdict.STOP_FOR_HARM
    state = (await store.policies.serving([AGENT]))[AGENT]
    assert (state.stable, state.candidate, state.test) == (stable.number, None, None)
    assert "reward is lower" in (await store.ab_tests.history(test.experiment_id))[-1].why


async def test_a_candidate_that_is_no_better_is_not_promoted(store: Store, live: Live) -> None:
    # The same choices where tasks ever are, other ones in states nobody meets.
    same = best()
    elsewhere = same.copy()
    from tests.integration.runtime.rollout.playing import WORLD

    elsewhere[~WORLD.is_reachable] = (elsewhere[~WORLD.is_reachable] + 1) % CONTRACT.action_count
    _, candidate = await served_and_candidate(store, same, elsewhere)
    test = await ABTestingFramework(store, SETTINGS).start(
        AGENT, by="Ada", why="as good as any", candidate=candidate.number, insistence="a trial"
    )
    steps = await run(store, live, SETTINGS, test, seed=3)
    assert steps[-1].test.verdict is EndVerdict.FUTILITY
    assert Verdict.PROMOTE not in {step.look.judgement.verdict for step in steps}
