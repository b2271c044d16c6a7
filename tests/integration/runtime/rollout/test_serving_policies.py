"""Which policy decides: the live table, a frozen version, an arm of a test; and what changes it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from qe_core.errors import DatabaseUnavailableError
from qe_core.rollout.assignment import Arm, Stage, arm_of, bucket_of, plan_of
from qe_core.runtime.agent import QEAgent
from qe_core.runtime.episodes import Episode, Outcome
from qe_core.runtime.errors import DecisionError
from qe_core.runtime.learner import Learner
from qe_core.runtime.tasks import QETask
from qe_core.store import StaleEpochError, Store
from qe_core.store.ab_tests import ABTest, EndVerdict, UnitCount, UnitRow
from qe_core.store.live import Live
from qe_core.store.live.serving import CHANNEL
from qe_core.store.policies import Mode, PolicyVersion
from tests.integration.runtime.rollout.playing import (
    AGENT,
    CONTRACT,
    QUICK,
    best,
    frozen,
    opened,
    play,
    settings_with,
    worst,
)
from tests.integration.waiting import until

SETTINGS = settings_with(serving_exploration_rate=0.0)
STATE = int(np.flatnonzero(best() != worst())[0])
GOOD, BAD = int(best()[STATE]), int(worst()[STATE])
ENDS = Outcome(points=1.0, terminated=True)


@pytest.fixture
async def live(store: Store) -> AsyncIterator[Live]:
    async with store.live(reading=QUICK) as found:
        yield found


async def decided(learner: Learner, count: int = 1, unit: str | None = None) -> list[int]:
    """Return what one-step episodes begin with."""
    return [(await learner.decide(STATE, learner.begin_episode(unit))).action for _ in range(count)]


async def test_while_learning_decisions_follow_the_live_table_and_carry_no_version(
    store: Store, live: Live
) -> None:
    learner = await opened(live, settings_with())
    await frozen(store, best(), "not served")
    decision = await learner.decide(STATE)
    assert (decision.policy_version, decision.variant) == (None, None)
    assert decision.exploration_rate == learner.schedule.exploration_rate


async def test_a_promoted_version_serves_within_seconds_and_stays_as_it_was_frozen(
    store: Store, live: Live
) -> None:
    learner = await opened(live, SETTINGS)
    version = await frozen(store, best(), "good")
    before = learner.begin_episode()
    await learner.decide(STATE, before)
    await store.policies.promote(AGENT, version.number, by="a test", why="it is good")
    await until(lambda: live.serving.of(AGENT).state.mode is Mode.SERVING)
    await frozen(store, worst(), "the live table goes on")
    decision = await learner.decide(STATE, learner.begin_episode())
    assert (decision.action, decision.policy_version, decision.propensity) == (GOOD, version.number, 1.0)
    # An episode goes on as it began.
    assert (await learner.decide(STATE, before)).policy_version is None
    await learner.record(decision, ENDS)
    log = await store.experiences.read_columns(AGENT, 0, 10)
    assert log["policy_version"].to_pylist() == [version.number]


async def test_serving_explores_a_little_with_right_propensities(store: Store, live: Live) -> None:
    version = await frozen(store, best(), "good")
    await store.policies.promote(AGENT, version.number, by="a test", why="it is good")
    learner = await opened(live, settings_with(serving_exploration_rate=0.2))
    chosen = [await learner.decide(STATE, learner.begin_episode()) for _ in range(2_000)]
    count = CONTRACT.action_count
    for decision in chosen:
        greedy = 0.8 if decision.action == GOOD else 0.0
        assert decision.propensity == pytest.approx(0.2 / count + greedy, abs=1e-12)
        assert decision.exploration_rate == 0.2
    # 2,000 draws at 0.2: more than five standard errors off happens in less than one run in a million.
    assert sum(decision.is_explored for decision in chosen) == pytest.approx(400, abs=5 * 17.9)


async def started(
    store: Store, control: PolicyVersion, treatment: PolicyVersion, unit_kind: str = "task"
) -> ABTest:
    return await store.ab_tests.start(
        AGENT, key="k", control=control.number, treatment=treatment.number, by="a test", why="to see",
        unit_kind=unit_kind,
    )  # fmt: skip


async def test_in_a_test_units_follow_their_arms_and_everybody_else_the_live_table(
    store: Store, live: Live
) -> None:
    control, treatment = await frozen(store, worst(), "control"), await frozen(store, best(), "treatment")
    learner = await opened(live, settings_with())
    test = await started(store, control, treatment)
    await until(lambda: live.serving.of(AGENT).state.test is not None)
    decisions = await play(learner, 300, seed=1)
    versions = {Arm.CONTROL: control.number, Arm.TREATMENT: treatment.number, Arm.OUTSIDE: None}
    plan = plan_of(Stage.TENTH)
    for decision in decisions:
        arm = arm_of("k", decision.episode, plan)
        assert decision.policy_version == versions[arm]
        assert decision.variant == (None if arm is Arm.OUTSIDE else arm)
    await live.units.drain()
    units = await store.ab_tests.units(test.experiment_id)
    expected = {of.episode: of.variant is Arm.TREATMENT for of in decisions if of.variant is not None}
    assert dict(zip(units.unit, units.is_treatment.tolist(), strict=True)) == expected
    assert units.is_recorded.all()
    assert units.reward[units.is_treatment].mean() > units.reward[~units.is_treatment].mean() + 50
    assert set(units.stage.tolist()) == {10}
    assert (units.duration_seconds > 0).all()


async def test_developers_keep_their_arm_from_stage_to_stage_and_in_every_process(
    store: Store, live: Live
) -> None:
    control, treatment = await frozen(store, worst(), "control"), await frozen(store, best(), "treatment")
    test = await started(store, control, treatment, "developer")
    first = await opened(live, settings_with())
    names = [f"developer {number}" for number in range(60)]
    seen: dict[str, list[Arm | None]] = {name: [] for name in names}
    for stage in (Stage.TENTH, Stage.HALF, Stage.FULL):
        if stage is not Stage.TENTH:
            await store.ab_tests.advance(test.experiment_id, stage, by="a test", why="on")
        async with store.live(reading=QUICK) as elsewhere:
            second = await opened(elsewhere, settings_with(), seed=2)
            await until(lambda stage=stage: live.serving.of(AGENT).state.test.stage is stage)  # type: ignore[misc,union-attr]
            for name in names:
                here = await first.decide(STATE, first.begin_episode(name))
                there = await second.decide(STATE, second.begin_episode(name))
                assert here.variant == there.variant
                seen[name].append(here.variant)
    for name in names:
        bucket = bucket_of("k", name)
        arms = [plan_of(stage).arm_at(bucket) for stage in (Stage.TENTH, Stage.HALF, Stage.FULL)]
        assert seen[name] == [None if arm is Arm.OUTSIDE else arm for arm in arms]
        treated = [arm is Arm.TREATMENT for arm in seen[name]]
        assert treated == sorted(treated)  # nobody leaves the treatment
    anonymous = await first.decide(STATE, first.begin_episode())
    assert anonymous.variant is None
    await live.units.drain()
    units = await store.ab_tests.units(test.experiment_id)
    assert set(units.cluster) <= set(names)


async def test_an_episode_keeps_arm_and_version_while_the_test_goes_on_and_ends(
    store: Store, live: Live
) -> None:
    control, treatment = await frozen(store, worst(), "control"), await frozen(store, best(), "treatment")
    test = await started(store, control, treatment)
    learner = await opened(live, SETTINGS)
    await store.ab_tests.advance(test.experiment_id, Stage.HALF, by="a test", why="on")
    await until(lambda: live.serving.of(AGENT).state.test.stage is Stage.HALF)  # type: ignore[union-attr]
    episodes = [learner.begin_episode() for _ in range(20)]
    firsts = [await learner.decide(STATE, episode) for episode in episodes]
    assert {decision.variant for decision in firsts} == {Arm.CONTROL, Arm.TREATMENT}
    await store.ab_tests.stop(test.experiment_id, EndVerdict.BY_HAND, by="a test", why="enough")
    await until(lambda: live.serving.of(AGENT).state.test is None)
    seconds = [await learner.decide(STATE, episode) for episode in episodes]
    assert [(of.variant, of.policy_version) for of in seconds] == [
        (of.variant, of.policy_version) for of in firsts
    ]
    assert (await learner.decide(STATE, learner.begin_episode())).variant is None


async def test_after_a_rollback_nothing_decides_or_records_by_the_version_taken_back(
    store: Store, live: Live
) -> None:
    good, bad = await frozen(store, best(), "good"), await frozen(store, worst(), "bad")
    await store.policies.promote(AGENT, good.number, by="a test", why="good")
    await store.policies.promote(AGENT, bad.number, by="a test", why="by mistake")
    learner = await opened(live, SETTINGS)
    episode = learner.begin_episode()
    in_flight = await learner.decide(STATE, episode)
    assert (in_flight.action, in_flight.policy_version) == (BAD, bad.number)
    event = await store.policies.rollback(AGENT, trigger="by hand", evidence={}, by="a test")
    assert event.to_version == good.number
    with pytest.raises(StaleEpochError):
        await learner.record(in_flight, Outcome(points=1.0, next_context=STATE))
    assert learner.counters.refused == 1
    # The very next decision, of the same episode, follows what was gone back to.
    after = await learner.decide(STATE, episode)
    assert (after.action, after.policy_version) == (GOOD, good.number)
    await learner.record(after, ENDS)
    log = await store.experiences.read_columns(AGENT, 0, 10)
    assert log["policy_version"].to_pylist() == [good.number]


async def test_a_rollback_that_is_heard_of_changes_running_episodes_before_anything_is_refused(
    store: Store, live: Live
) -> None:
    good, bad = await frozen(store, best(), "good"), await frozen(store, worst(), "bad")
    await store.policies.promote(AGENT, good.number, by="a test", why="good")
    await store.policies.promote(AGENT, bad.number, by="a test", why="by mistake")
    learner = await opened(live, SETTINGS)
    episode = learner.begin_episode()
    await learner.record(await learner.decide(STATE, episode), Outcome(points=1.0, next_context=STATE))
    await store.policies.rollback(AGENT, trigger="by hand", evidence={}, by="a test")
    await until(lambda: learner._tables.is_superseded)
    after = await learner.decide(STATE, episode)
    assert (after.policy_version, learner.counters.refused) == (good.number, 0)


async def test_a_change_is_heard_of_and_not_only_looked_for(store: Store) -> None:
    """Looks are ten minutes apart: only the announcement can be what brings the news."""
    async with store.live(reading=replace(QUICK, check_seconds=600.0)) as live:
        learner = await opened(live, SETTINGS)
        version = await frozen(store, best(), "good")
        await store.policies.promote(AGENT, version.number, by="a test", why="good")
        await until(lambda: live.serving.of(AGENT).state.stable == version.number)
        assert await decided(learner) == [GOOD]


async def test_a_lost_announcement_is_made_up_for_by_the_next_look(store: Store, live: Live) -> None:
    learner = await opened(live, SETTINGS)
    version = await frozen(store, best(), "good")
    live.reader.hear_also(CHANNEL, lambda _: None)
    await store.policies.promote(AGENT, version.number, by="a test", why="good")
    await until(lambda: live.serving.of(AGENT).state.stable == version.number)
    assert await decided(learner) == [GOOD]


async def test_a_version_that_cannot_be_loaded_does_not_stop_the_work(
    store: Store, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows are away, the rest answers: decisions follow what there is, and say so; then the version."""
    version = await frozen(store, best(), "good")
    await store.policies.promote(AGENT, version.number, by="a test", why="good")
    rows = live.serving._policies.rows

    async def unreadable(number: int) -> object:
        raise StaleEpochError(f"version {number} is out of reach")

    monkeypatch.setattr(live.serving._policies, "rows", unreadable)
    learner = await opened(live, SETTINGS)
    decision = await learner.decide(STATE, learner.begin_episode())
    assert (decision.policy_version, decision.action) == (None, GOOD)
    assert learner.counters.degraded == 1
    assert live.serving.counters.not_loaded >= 1
    monkeypatch.setattr(live.serving._policies, "rows", rows)
    await until(lambda: live.serving.of(AGENT).is_complete)
    assert (await learner.decide(STATE, learner.begin_episode())).policy_version == version.number


async def test_while_the_database_is_away_serving_goes_on_with_what_is_known(
    store: Store, live: Live
) -> None:
    version = await frozen(store, best(), "good")
    await store.policies.promote(AGENT, version.number, by="a test", why="good")
    learner = await opened(live, SETTINGS)
    async with store._database.connection() as connection:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    # No row of these states was ever asked for: the version is in the process whole.
    for state in range(0, CONTRACT.state_count, 3):
        decision = await learner.decide(state, learner.begin_episode())
        assert decision.policy_version == version.number


async def test_a_token_carries_the_version_and_recovering_it_logs_it(store: Store, live: Live) -> None:
    version = await frozen(store, best(), "good")
    await store.policies.promote(AGENT, version.number, by="a test", why="good")
    learner = await opened(live, SETTINGS)
    token = learner.token(await learner.decide(STATE))
    assert token.policy_version == version.number
    async with store.live(reading=QUICK) as elsewhere:
        await (await opened(elsewhere, SETTINGS)).recover(token, ENDS)
    log = await store.experiences.read_columns(AGENT, 0, 10)
    assert log["policy_version"].to_pylist() == [version.number]


async def test_a_baseline_decision_in_a_test_names_the_arm_and_no_version(store: Store, live: Live) -> None:
    control, treatment = await frozen(store, worst(), "control"), await frozen(store, best(), "treatment")
    test = await started(store, control, treatment)
    await store.ab_tests.advance(test.experiment_id, Stage.HALF, by="a test", why="on")
    learner = await opened(live, SETTINGS)
    episode = learner.begin_episode()
    decision = await learner.decide(STATE, episode)
    baseline = learner.decide_baseline(STATE, episode)
    assert (baseline.variant, baseline.policy_version) == (decision.variant, None)


@pytest.mark.parametrize("unit", ["", "x" * 201, "two\nlines"])
def test_a_unit_nobody_can_be_assigned_by_is_refused(unit: str) -> None:
    with pytest.raises(DecisionError, match="a unit is a name"):
        Episode("e", unit=unit)
    with pytest.raises(DecisionError, match="a unit is a name"):
        QETask(context=STATE, unit=unit)


async def test_a_task_is_assigned_by_whom_it_is_done_for(store: Store, live: Live) -> None:
    control, treatment = await frozen(store, worst(), "control"), await frozen(store, best(), "treatment")
    test = await started(store, control, treatment, "developer")
    await store.ab_tests.advance(test.experiment_id, Stage.HALF, by="a test", why="on")
    agent = QEAgent(
        await opened(live, SETTINGS), {name: lambda _: ENDS for name in CONTRACT.action_names}, is_strict=True
    )
    for number in range(10):
        unit = f"developer {number}"
        result = await agent.execute_with_learning(QETask(context=STATE, unit=unit))
        assert result.decision is not None
        assert result.decision.variant is arm_of("k", unit, plan_of(Stage.HALF))
    await live.units.drain()
    units = await store.ab_tests.units(test.experiment_id)
    assert set(units.cluster) == {f"developer {number}" for number in range(10)}
    assert units.is_recorded.all()


async def test_units_that_wait_while_the_database_is_away_are_sent_when_it_is_back(
    store: Store, live: Live
) -> None:
    control, treatment = await frozen(store, worst(), "control"), await frozen(store, best(), "treatment")
    test = await started(store, control, treatment)
    await store.ab_tests.advance(test.experiment_id, Stage.HALF, by="a test", why="on")
    learner = await opened(live, SETTINGS)
    decisions = [await learner.decide(STATE, learner.begin_episode()) for _ in range(30)]
    async with store._database.connection() as connection:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    await asyncio.wait_for(live.units.drain(), 20)
    units = await store.ab_tests.units(test.experiment_id)
    assert set(units.unit) == {decision.episode for decision in decisions}
    assert live.units.counters.dropped == 0


async def test_an_outcome_that_comes_again_is_noted_and_one_sent_again_is_not(
    store: Store, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    control, treatment = await frozen(store, worst(), "control"), await frozen(store, best(), "treatment")
    test = await started(store, control, treatment)
    record_units = store.ab_tests.record_units

    async def stored_and_not_heard_of(rows: Sequence[UnitRow], *, is_retry: bool = False) -> UnitCount:
        monkeypatch.undo()
        await record_units(rows, is_retry=is_retry)
        raise DatabaseUnavailableError("the answer was lost")

    async def repeats() -> list[int]:
        await live.units.drain()
        return (await store.ab_tests.units(test.experiment_id)).repeats.tolist()

    outcome = UnitRow(
        *(test.experiment_id, "unit", Stage.TENTH, Arm.CONTROL, control.number, test.started_at),
        reward=1.0,
        recorded_at=test.started_at,
    )
    monkeypatch.setattr(store.ab_tests, "record_units", stored_and_not_heard_of)
    live.units.add(outcome)
    assert await repeats() == [0]
    assert live.units.counters.failed_attempts == 1
    live.units.add(outcome)
    assert await repeats() == [1]
    live.units.add(outcome)
    live.units.add(outcome)
    assert await repeats() == [3], "two that waited together"


async def test_closing_sends_the_last_units(store: Store) -> None:
    control, treatment = await frozen(store, worst(), "control"), await frozen(store, best(), "treatment")
    test = await started(store, control, treatment)
    await store.ab_tests.advance(test.experiment_id, Stage.HALF, by="a test", why="on")
    async with store.live(reading=QUICK) as live:
        learner = await opened(live, SETTINGS)
        decisions = [await learner.decide(STATE, learner.begin_episode()) for _ in range(10)]
        await asyncio.gather(*(learner.record(decision, ENDS) for decision in decisions))
    units = await store.ab_tests.units(test.experiment_id)
    assert (len(units), units.is_recorded.all()) == (10, True)


async def test_units_of_a_test_nobody_knows_are_dropped_one_by_one_and_counted(
    store: Store, live: Live
) -> None:
    control, treatment = await frozen(store, worst(), "control"), await frozen(store, best(), "treatment")
    test = await started(store, control, treatment)
    await store.ab_tests.advance(test.experiment_id, Stage.HALF, by="a test", why="on")
    learner = await opened(live, SETTINGS)
    rows = []
    live.units.add, add = rows.append, live.units.add  # type: ignore[method-assign]
    for _ in range(2):
        await learner.decide(STATE, learner.begin_episode())
    add(rows[0])
    add(rows[1]._replace(experiment_id=999))
    await live.units.drain()
    assert (live.units.counters.stored, live.units.counters.dropped) == (1, 1)
    assert len(await store.ab_tests.units(test.experiment_id)) == 1
