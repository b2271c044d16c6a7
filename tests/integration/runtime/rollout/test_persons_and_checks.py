"""Before and beside the verdict: what the log says of a candidate, and what a person decides."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import numpy as np
import pytest

from qe_core.config import Settings
from qe_core.hierarchy.lookup import Source
from qe_core.learning.exploration import ExponentialSchedule
from qe_core.rollout.assignment import Arm, Stage
from qe_core.rollout.ramp import Move
from qe_core.rollout.safe_improvement_check import CandidateVerdict
from qe_core.rollout.verdicts import Verdict
from qe_core.runtime.errors import CandidateRefusedError
from qe_core.runtime.learner import Learner
from qe_core.runtime.rollout.ab_testing import ABTestingFramework
from qe_core.runtime.rollout.candidates import policy_of
from qe_core.runtime.rollout.staged_rollout import StagedRollout
from qe_core.store import Store
from qe_core.store.ab_tests import ABTest, EndVerdict, UnitRow
from qe_core.store.errors import ABTestError
from qe_core.store.live import Live
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

SETTINGS = settings_with()
NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
async def live(store: Store) -> AsyncIterator[Live]:
    async with store.live(reading=QUICK) as found:
        yield found


async def running(store: Store, settings: Settings = SETTINGS) -> ABTest:
    """Start a test of a good candidate against a bad stable version."""
    stable, candidate = await frozen(store, worst(), "stable"), await frozen(store, best(), "candidate")
    await store.policies.promote(AGENT, stable.number, by="a test", why="first")
    return await ABTestingFramework(store, settings).start(
        AGENT, by="Ada", why="to see", candidate=candidate.number, insistence="a trial"
    )


async def record(store: Store, test: ABTest, count: int, gain: float, stage: Stage = Stage.TENTH) -> None:
    """Record units of both arms, as many in each, at a stage."""
    rng, now = np.random.default_rng(1), test.started_at
    rows = [
        UnitRow(
            *(test.experiment_id, f"{arm} {stage:d} {number}", stage, arm, version, now),
            *(None, float(rng.normal(mean, 10.0)), True, 1.0, 2.0, now),
        )
        for arm, version, mean in ((Arm.CONTROL, test.control, 0.0), (Arm.TREATMENT, test.treatment, gain))
        for number in range(count)
    ]
    await store.ab_tests.record_units(rows)


async def test_a_candidate_is_refused_without_support_and_tested_if_a_person_insists(store: Store) -> None:
    stable, candidate = await frozen(store, worst(), "stable"), await frozen(store, best(), "candidate")
    await store.policies.promote(AGENT, stable.number, by="a test", why="first")
    testing = ABTestingFramework(store, SETTINGS)
    with pytest.raises(CandidateRefusedError, match=r"refused\): the log holds no complete episode.*insist"):
        await testing.start(AGENT, by="Ada", why="to see", candidate=candidate.number)
    assert await store.ab_tests.tests() == []
    test = await testing.start(
        AGENT, by="Ada", why="to see", candidate=candidate.number, insistence="tried elsewhere"
    )
    assert test.why == "to see (insisted although refused: tried elsewhere)"
    assert test.settings["check"]["verdict"] == "refused"
    assert test.settings["insistence"] == "tried elsewhere"


async def test_a_candidate_the_log_speaks_for_needs_nobody_to_insist(store: Store, live: Live) -> None:
    """The more of the good choices a candidate gives up, the less the log has to say for it."""
    await frozen(store, mixed(0.7), "stable")
    learner = await Learner.open(
        live, AGENT, SETTINGS, np.random.default_rng(1), schedule=ExponentialSchedule(0.2, 0.2)
    )
    await play(learner, 800, seed=5)
    stable = await store.policies.snapshot(CONTRACT, reason="stable", by="a test")
    await store.policies.promote(AGENT, stable.number, by="a test", why="first")
    testing = ABTestingFramework(store, SETTINGS)
    verdicts, numbers = [], []
    for good_share in (0.71, 0.69, 0.65):
        version = await frozen(store, mixed(good_share), f"{good_share:.0%} good choices")
        verdicts.append((await testing.check(AGENT, version.number, stable.number)).verdict)
        numbers.append(version.number)
    assert verdicts == [CandidateVerdict.READY, CandidateVerdict.UNSAFE, CandidateVerdict.REFUSED]
    with pytest.raises(CandidateRefusedError, match=r"unsafe\): the candidate is estimated to lose"):
        await testing.start(AGENT, by="Ada", why="x", candidate=numbers[1])
    assert (await testing.start(AGENT, by="Ada", why="x", candidate=numbers[0])).why == "x"


async def test_what_is_checked_is_what_serves(store: Store, live: Live) -> None:
    version = await frozen(store, mixed(0.5), "any")
    policy = policy_of(await store.policies.rows(version.number), CONTRACT, SETTINGS)
    await store.policies.promote(AGENT, version.number, by="a test", why="first")
    learner = await opened(live, SETTINGS)
    for state in range(0, CONTRACT.state_count, 11):
        decision = await learner.decide(state, learner.begin_episode())
        assert policy[state, decision.action] == pytest.approx(decision.propensity, abs=1e-12)
        assert decision.source is Source.INDIVIDUAL


async def test_in_a_first_test_the_control_is_what_the_agent_decides_by_at_its_start(store: Store) -> None:
    candidate = await frozen(store, best(), "candidate")
    await frozen(store, worst(), "newer")
    test = await ABTestingFramework(store, SETTINGS).start(
        AGENT, by="Ada", why="to see", candidate=candidate.number, insistence="a trial"
    )
    control = await store.policies.rows(test.control)
    assert (control.own.as_dense()[0].greedy() == worst()).all()
    with pytest.raises(ABTestError, match="one at a time"):
        await ABTestingFramework(store, SETTINGS).start(AGENT, by="Ada", why="again")


async def test_a_test_waits_for_its_dwell_however_clear_it_is(store: Store) -> None:
    settings = settings_with(dwell_hours_at_10=24.0, dwell_hours_at_50=48.0)
    test = await running(store, settings)
    await record(store, test, 200, gain=30.0)
    rollout = StagedRollout(store, settings)
    [step] = await rollout.advance_due(datetime.now(UTC))
    assert (step.step.move, step.test.stage) == (Move.STAY, Stage.TENTH)
    assert step.look.judgement.verdict is Verdict.PROMOTE
    assert "of the dwell are left" in step.step.why
    [step] = await rollout.advance_due(NOW)
    assert (step.step.move, step.test.stage) == (Move.ADVANCE, Stage.HALF)


async def test_a_held_test_does_not_go_on_but_is_stopped_for_harm(store: Store) -> None:
    test = await running(store)
    rollout = StagedRollout(store, SETTINGS)
    await rollout.hold(test.experiment_id, by="Grace", why="weekend")
    await record(store, test, 60, gain=20.0)
    [step] = await rollout.advance_due(NOW)
    assert (step.step.move, step.test.stage, step.held_by) == (Move.STAY, Stage.TENTH, "Grace: weekend")
    await rollout.release(test.experiment_id, by="Grace", why="Monday")
    [step] = await rollout.advance_due(NOW)
    assert step.test.stage is Stage.HALF
    await rollout.hold(test.experiment_id, by="Grace", why="weekend")
    await record(store, test, 400, gain=-30.0, stage=Stage.HALF)
    [step] = await rollout.advance_due(NOW)
    assert step.test.verdict is EndVerdict.HARM


async def test_a_person_moves_a_test_against_its_verdict_and_that_is_kept(store: Store) -> None:
    test = await running(store)
    rollout = StagedRollout(store, SETTINGS)
    number = test.experiment_id
    await rollout.hold(number, by="Grace", why="weekend")
    step = await rollout.override(number, Move.ADVANCE, by="Ada", why="quiet", now=NOW)
    assert (step.test.stage, step.step.is_by_person) == (Stage.HALF, True)
    assert (await rollout.proposed(step.look)).held_by is None
    await rollout.override(number, Move.ADVANCE, by="Ada", why="still quiet", now=NOW)
    ended = await rollout.override(number, Move.PROMOTE, by="Ada", why="no choice", now=NOW)
    assert ended.test.verdict is EndVerdict.PROMOTE
    course = await store.ab_tests.history(number)
    assert [(of.changed_by, of.to_stage) for of in course] == [
        ("Ada", Stage.TENTH), ("Ada", Stage.HALF), ("Ada", Stage.FULL), ("Ada", None),
    ]  # fmt: skip
    assert course[1].why == "quiet (decided by a person at verdict not enough data)"
    [change] = [of for of in await store.policies.history(AGENT) if of.after == str(test.treatment)][:1]
    assert (change.changed_by, change.what) == ("Ada", "stable")
    with pytest.raises(ABTestError, match="has ended"):
        await rollout.override(number, Move.STOP, by="Ada", why="x", now=NOW)
    with pytest.raises(ABTestError, match="has ended"):
        await rollout.hold(number, by="Ada", why="x")


async def test_without_automatic_moves_verdicts_only_propose(store: Store) -> None:
    settings = settings_with(is_advancing=False)
    test = await running(store, settings)
    await record(store, test, 200, gain=-30.0)
    [step] = await StagedRollout(store, settings).advance_due(NOW)
    assert (step.step.move, step.test.is_running) == (Move.STOP, True)


async def test_a_test_is_judged_by_what_it_was_started_with(store: Store) -> None:
    test = await running(store)
    await record(store, test, 30, gain=30.0)
    later = settings_with(minimum_units_per_arm=10, minimum_units_to_advance=10)
    look = await ABTestingFramework(store, later).analyse(test.experiment_id, NOW)
    assert look.judgement.verdict is Verdict.NOT_ENOUGH_DATA


async def test_units_that_never_come_are_lost_and_make_uneven_arms_invalid(store: Store) -> None:
    test = await running(store)
    await record(store, test, 100, gain=0.0)
    missing = [
        UnitRow(test.experiment_id, f"gone {n}", Stage.TENTH, Arm.TREATMENT, test.treatment, test.started_at)
        for n in range(60)
    ]
    await store.ab_tests.record_units(missing)
    testing = ABTestingFramework(store, SETTINGS)
    now = await testing.analyse(test.experiment_id, test.started_at)
    assert sum(stage.treatment.lost for stage in now.evidence) == 0  # they may still come
    later = await testing.analyse(test.experiment_id, NOW)
    assert sum(stage.treatment.lost for stage in later.evidence) == 60
    assert later.judgement.verdict is Verdict.INVALID


async def outcomes_again(store: Store, test: ABTest, arm: Arm, share: float) -> None:
    """Deliver the outcomes of a share of an arm's 600 units once more, with another figure."""
    version = test.control if arm is Arm.CONTROL else test.treatment
    rows = [
        UnitRow(
            *(test.experiment_id, f"{arm} {Stage.TENTH:d} {number}", Stage.TENTH, arm, version),
            *(test.started_at, None, 99.0, True, 1.0, 2.0, test.started_at),
        )
        for number in range(round(600 * share))
    ]
    counted = await store.ab_tests.record_units(rows)
    assert (counted.new, counted.completed, counted.repeated) == (0, 0, len(rows))


async def test_outcomes_delivered_again_in_one_arm_make_a_test_invalid_and_in_both_do_not(
    store: Store,
) -> None:
    """5 % of 600 in one arm: 30 against 0 where a half is expected, likelihood ratio over ten million."""
    test = await running(store)
    await record(store, test, 600, gain=0.0)
    testing = ABTestingFramework(store, SETTINGS)
    before = await testing.analyse(test.experiment_id, NOW)
    await outcomes_again(store, test, Arm.TREATMENT, 0.05)
    found = await testing.analyse(test.experiment_id, NOW)
    assert found.judgement.verdict is Verdict.INVALID
    assert any("repeated units at 10 %: 30 treated, 0 control" in why for why in found.judgement.reasons)
    await outcomes_again(store, test, Arm.CONTROL, 0.05)
    found = await testing.analyse(test.experiment_id, NOW)
    assert found.judgement.verdict is before.judgement.verdict
    assert found.judgement.difference == before.judgement.difference, "nothing is counted twice"


async def test_assignments_are_those_every_process_computes(store: Store) -> None:
    test = await running(store)
    testing = ABTestingFramework(store, SETTINGS)
    arms = [testing.assign(test, f"episode {number}") for number in range(2_000)]
    # Shares of 10 % of 2,000: more than five standard errors off happens in less than one run in a million.
    for arm, share in ((Arm.CONTROL, 0.1), (Arm.TREATMENT, 0.1), (Arm.OUTSIDE, 0.8)):
        assert arms.count(arm) == pytest.approx(2_000 * share, abs=5 * (2_000 * share * (1 - share)) ** 0.5)
