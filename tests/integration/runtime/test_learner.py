"""An agent decides and learns on a real PostgreSQL."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from qe_core.config import Settings
from qe_core.errors import FingerprintMismatchError, RewardError, StateError, UnknownAgentError
from qe_core.fleet import registry
from qe_core.hierarchy.lookup import LevelRows, Source, blended_lookup
from qe_core.learning.exploration import ExponentialSchedule
from qe_core.learning.q_table import QTable, quantised_weights
from qe_core.runtime.awaiting import DECISIONS_REMEMBERED
from qe_core.runtime.decisions import Decision
from qe_core.runtime.episodes import Outcome
from qe_core.runtime.errors import AlreadyRecordedError, DecisionError
from qe_core.runtime.learner import Learner
from qe_core.runtime.tables import AgentTables
from qe_core.store import ExperienceRejectedError, StaleEpochError, Store
from qe_core.store.live import Live, LiveSettings
from tests.integration.waiting import until

CONTRACT = registry().get("test-executor")
NOW = datetime(2026, 6, 1, tzinfo=UTC)
SETTINGS = Settings()
DISCOUNT = CONTRACT.discount_or(SETTINGS.learning.discount)
NEVER_EXPLORES = ExponentialSchedule(initial=0.0, final=0.0)


@pytest.fixture
async def live(store: Store) -> AsyncIterator[Live]:
    async with store.live() as opened:
        yield opened


async def opened(live: Live, **changed: object) -> Learner:
    given = {"schedule": NEVER_EXPLORES, "clock": lambda: NOW} | changed
    return await Learner.open(live, CONTRACT.name, SETTINGS, np.random.default_rng(1), **given)  # type: ignore[arg-type]


async def own_table(store: Store) -> QTable:
    return (await store.q_tables.load("individual", CONTRACT.name, CONTRACT.fingerprint)).table


def step_to(state: int, points: float = 10.0) -> Outcome:
    return Outcome(points=points, next_context=state)


async def test_an_agent_that_knows_nothing_chooses_at_random_and_says_so(live: Live) -> None:
    learner = await opened(live, schedule=None)
    chosen = [await learner.decide(5) for _ in range(200)]
    assert {decision.action for decision in chosen} == set(range(CONTRACT.action_count))
    first = chosen[0]
    assert first.agent == CONTRACT.name
    assert first.name == CONTRACT.action_names[first.action]
    assert first.source is Source.NONE
    assert first.propensity == pytest.approx(1 / CONTRACT.action_count)
    assert first.exploration_rate == SETTINGS.exploration.rate_initial
    assert [decision.step for decision in chosen] == list(range(200))
    assert len({decision.decision_id for decision in chosen}) == 200


async def test_an_outcome_updates_value_and_log_in_hand_worked_numbers(store: Store, live: Live) -> None:
    learner = await opened(live)
    first = await learner.decide(5)
    await learner.record(first, step_to(6, 10.0))  # nothing is known of 6: target 10, rate 1 / 1
    again = await learner.decide(5)
    assert (again.action, again.source, again.values[again.action]) == (first.action, Source.INDIVIDUAL, 10.0)
    assert again.propensity == 1.0
    second = await learner.decide(7)
    await learner.record(second, step_to(5, 1.0))  # target 1 + γ·10
    await learner.record(again, Outcome(points=4.0, terminated=True))  # target 4, rate 1 / 2^0.7
    rate = 2.0**-0.7
    table = await own_table(store)
    assert table.q[5, first.action] == pytest.approx((1 - rate) * 10.0 + rate * 4.0, abs=1e-12)
    assert table.q[7, second.action] == pytest.approx(1.0 + DISCOUNT * 10.0, abs=1e-12)
    assert (table.visits[5, first.action], table.target_mean[5, first.action]) == (2, 7.0)
    log = await store.experiences.read_columns(CONTRACT.name, 0, 10)
    assert log["state"].to_pylist() == [5, 7, 5]
    assert log["next_state"].to_pylist() == [6, 5, 5]
    assert log["step"].to_pylist() == [0, 2, 1]
    assert log["terminated"].to_pylist() == [False, False, True]
    assert log["success"].to_pylist() == [None, None, CONTRACT.success.is_success(15.0)]
    assert set(log["episode"].to_pylist()) == {first.episode}
    assert set(log["source"].to_pylist()) == {"agent"}
    assert log["occurred_at"].to_pylist() == [NOW] * 3


async def test_measurements_are_rewarded_by_the_contract(store: Store, live: Live) -> None:
    learner = await opened(live)
    name = CONTRACT.reward.terms[0].name
    decision = await learner.decide(5)
    await learner.record(decision, Outcome({name: 0.2}, next_context=CONTRACT.state_model.decode(6)))
    log = await store.experiences.read_columns(CONTRACT.name, 0, 10)
    assert log["reward"].to_pylist() == [CONTRACT.reward.reward({name: 0.2})]
    assert log["next_state"].to_pylist() == [6]


async def test_many_outcomes_equal_the_same_one_by_one(store: Store, live: Live) -> None:
    rng = np.random.default_rng(3)
    states = rng.integers(0, 12, 61).tolist()
    points = rng.normal(scale=30, size=60).clip(-100, 100).tolist()
    learner = await opened(live, schedule=ExponentialSchedule(initial=1.0, final=1.0))
    decisions = [await learner.decide(state) for state in states[:60]]
    outcomes = [step_to(state, of) for state, of in zip(states[1:], points, strict=True)]
    await learner.record_many(list(zip(decisions, outcomes, strict=True)))
    assert live.writer.counters.flushes == 1
    expected = QTable.zeros(CONTRACT.state_count, CONTRACT.action_count)
    for decision, state, reward in zip(decisions, states[1:], points, strict=True):
        visited = expected.visits[state] > 0
        target = reward + DISCOUNT * (expected.q[state][visited].max() if visited.any() else 0.0)
        rate = (1.0 + expected.visits[decision.state, decision.action]) ** -0.7
        expected.q[decision.state, decision.action] += rate * (
            target - expected.q[decision.state, decision.action]
        )
        expected.visits[decision.state, decision.action] += 1
    table = await own_table(store)
    np.testing.assert_array_equal(table.visits, expected.visits)
    np.testing.assert_allclose(table.q, expected.q, rtol=1e-12, atol=1e-10)


async def test_values_are_those_of_the_blended_lookup_over_all_levels(store: Store, live: Live) -> None:
    tables = await AgentTables.take(live, CONTRACT)
    rng = np.random.default_rng(5)
    levels = []
    for cached in (tables.own, tables.category, tables.fleet):
        handle = cached.handle
        shape = handle.state_count, handle.action_count
        visits = rng.integers(0, 4, shape)
        known = visits > 0
        table = QTable(rng.normal(scale=20, size=shape) * known, visits, np.zeros(shape), 90.0 * visits)
        weights = quantised_weights(table)
        await store.q_tables.publish(handle, table, weights, 0, {})
        levels.append((table, weights))
    learner = await opened(live)
    states = np.arange(0, CONTRACT.state_count, 7)
    decisions = [await learner.decide(int(state)) for state in states]
    divisors = 1, CONTRACT.category_divisor, CONTRACT.fleet_divisor
    rows = [LevelRows.of(*level, states // of) for level, of in zip(levels, divisors, strict=True)]
    expected = blended_lookup(*rows, CONTRACT.approach_indices)
    np.testing.assert_allclose([of.values for of in decisions], expected.value, rtol=1e-12, atol=1e-11)
    assert [of.action for of in decisions] == expected.greedy().tolist()
    assert all(of.source == expected.source[n, of.action] for n, of in enumerate(decisions))


async def test_a_decision_is_recorded_once(live: Live) -> None:
    learner = await opened(live)
    other = await opened(live)
    decision = await learner.decide(5)
    for outcomes in ([(decision, step_to(6))] * 2, [(decision._replace(decision_id="made up"), step_to(6))]):
        with pytest.raises(AlreadyRecordedError):
            await learner.record_many(outcomes)
    with pytest.raises(AlreadyRecordedError, match="another learner's"):
        await other.record(decision, step_to(6))
    first = asyncio.create_task(learner.record(decision, step_to(6)))
    await asyncio.sleep(0)
    with pytest.raises(AlreadyRecordedError, match="recorded before"):
        await learner.record(decision, step_to(6))
    await first
    assert learner.counters.recorded == 1
    with pytest.raises(DecisionError, match="nothing to record"):
        await learner.record_many([])


async def test_what_was_refused_and_not_stored_can_be_recorded_again(store: Store, live: Live) -> None:
    learner = await opened(live)
    decision = await learner.decide(5)
    tomorrow = datetime.now(UTC) + timedelta(days=2)
    refusals: list[tuple[Outcome, type[Exception]]] = [
        (Outcome({"no such term": 1.0}, next_context=6), RewardError),
        (Outcome(points=101.0, next_context=6), RewardError),
        (Outcome(points=1.0, next_context={"nonsense": 1}), StateError),
        (replace(step_to(6), occurred_at=tomorrow), ExperienceRejectedError),
    ]
    for outcome, error in refusals:
        with pytest.raises(error):
            await learner.record(decision, outcome)
    await learner.record(decision, Outcome(points=100.0, terminated=True))
    table = await own_table(store)
    assert (table.visits.sum(), table.q[5, decision.action]) == (1, 100.0)
    assert learner.schedule.state() == NEVER_EXPLORES.advance(100.0).state()


async def test_episodes_follow_one_another_and_lower_the_exploration_rate(live: Live) -> None:
    learner = await opened(live, schedule=ExponentialSchedule(initial=0.5, final=0.01, decay=0.5))
    names, rates = [], []
    for _ in range(3):
        first = await learner.decide(5)
        await learner.record(first, step_to(6))
        last = await learner.decide(6)
        await learner.record(last, Outcome(points=1.0, next_context=7, truncated=True))
        assert (first.episode, first.step, last.episode, last.step) == (first.episode, 0, first.episode, 1)
        names.append(first.episode)
        rates.append(first.exploration_rate)
    assert len(set(names)) == 3
    assert rates == [0.5, 0.25, 0.125]
    assert learner.counters.episodes == 3


async def test_a_thousand_tasks_at_once_ask_few_queries_and_lose_nothing(store: Store, live: Live) -> None:
    learner = await opened(live, schedule=None)
    rng = np.random.default_rng(2)

    async def task(seed: int) -> None:
        """Work on one task of three steps."""
        states = np.random.default_rng(seed).integers(0, CONTRACT.state_count, 4).tolist()
        episode = learner.begin_episode()
        for step in range(3):
            decision = await learner.decide(states[step], episode)
            assert decision.step == step
            is_last = step == 2
            await learner.record(
                decision, Outcome(points=5.0, next_context=states[step + 1], truncated=is_last)
            )

    await asyncio.gather(*(task(int(seed)) for seed in rng.integers(0, 2**32, 1_000)))
    # One query for all first decisions that miss, and again as later steps reach new states.
    assert live.reader.counters.queries < 150
    assert (await own_table(store)).visits.sum() == 3_000
    assert learner.counters.snapshot()["recorded"] == 3_000
    assert learner.counters.episodes == 1_000
    log = await store.experiences.read_columns(CONTRACT.name, 0, 5_000)
    assert len(set(zip(log["episode"].to_pylist(), log["step"].to_pylist(), strict=True))) == 3_000


async def test_what_another_process_learned_is_followed(store: Store, live: Live) -> None:
    learner = await opened(live)
    before = await learner.decide(5)
    assert before.source is Source.NONE
    async with store.live() as elsewhere:
        teacher = await opened(elsewhere)
        taught = await teacher.decide(5)
        await teacher.record(taught, step_to(6, 50.0))
    row = learner._tables.own.row
    await until(lambda: row(5).visits[taught.action] == 1)  # type: ignore[union-attr]
    decision = await learner.decide(5)
    assert (decision.action, decision.values[decision.action]) == (taught.action, 50.0)


async def test_a_raised_epoch_refuses_what_was_decided_before_and_the_learner_goes_on(
    store: Store, live: Live
) -> None:
    learner, neighbour = (
        await opened(live),
        await Learner.open(live, "flaky-test-hunter", SETTINGS, np.random.default_rng(1)),
    )
    early, other = await learner.decide(5), await neighbour.decide(5)
    await store.q_tables.raise_epoch(learner._tables.handle)
    with pytest.raises(StaleEpochError, match="refused whole"):
        await learner.record(early, step_to(6))
    with pytest.raises(AlreadyRecordedError):
        await learner.record(early, step_to(6))
    assert learner.counters.refused == 1
    late = await learner.decide(5)
    await learner.record(late, step_to(6))
    assert learner.counters.renewals == 1
    assert (await own_table(store)).visits.sum() == 1
    await neighbour.record(other, step_to(6))
    assert neighbour.counters.recorded == 1


async def test_an_epoch_that_is_heard_of_is_taken_before_anything_is_refused(
    store: Store, live: Live
) -> None:
    learner = await opened(live)
    early = await learner.decide(5)
    await store.q_tables.raise_epoch(learner._tables.handle)
    await until(lambda: learner._tables.is_superseded)
    late = await learner.decide(5)
    with pytest.raises(DecisionError, match="before the table was restored and some after"):
        await learner.record_many([(early, step_to(6)), (late, step_to(6))])
    await learner.record(late, step_to(6))
    assert (learner.counters.renewals, learner.counters.refused) == (1, 0)


async def test_another_contract_is_refused_by_name_and_left_alone(store: Store, live: Live) -> None:
    learner = await opened(live)
    changed = replace(CONTRACT, discount=0.123)
    with pytest.raises(FingerprintMismatchError, match=f"contract {CONTRACT.fingerprint}, not"):
        await Learner.open(live, changed, SETTINGS, np.random.default_rng(1))
    await learner.record(await learner.decide(5), step_to(6))
    # Somebody replaces the contract on purpose: this process must not go on with the old one.
    await store.q_tables.ensure(
        *("individual", CONTRACT.name, changed.fingerprint, CONTRACT.state_count, CONTRACT.action_names)
    )
    await until(lambda: learner._tables.is_superseded)
    with pytest.raises(FingerprintMismatchError, match=f"contract {changed.fingerprint}, not"):
        await learner.decide(5)


async def test_an_unknown_agent_is_named(live: Live) -> None:
    with pytest.raises(UnknownAgentError, match="did you mean"):
        await Learner.open(live, "test-executer", SETTINGS, np.random.default_rng(1))


async def test_only_so_many_decisions_are_remembered(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qe_core.runtime.awaiting.DECISIONS_REMEMBERED", 10)
    learner = await opened(live)
    decisions = [await learner.decide(5) for _ in range(11)]
    with pytest.raises(AlreadyRecordedError, match="forgotten among too many"):
        await learner.record(decisions[0], step_to(6))
    await learner.record(decisions[1], step_to(6))
    assert learner.counters.forgotten == 1
    assert DECISIONS_REMEMBERED > 10


async def test_a_full_queue_gives_the_decisions_back(store: Store) -> None:
    async with store.live(LiveSettings(queue_limit=1, linger_seconds=0.1, deadline_seconds=0.2)) as live:
        learner = await opened(live)
        decisions: list[Decision] = [await learner.decide(5) for _ in range(30)]
        await live.reader.rows([(learner._tables.own, 6)])
        answers = await asyncio.gather(
            *(learner.record(decision, step_to(6)) for decision in decisions), return_exceptions=True
        )
        refused = [of for of, answer in zip(decisions, answers, strict=True) if isinstance(answer, Exception)]
        assert refused
        for decision in refused:
            await learner.record(decision, step_to(6))
        assert (await own_table(store)).visits.sum() == 30


def test_an_agent_does_not_bring_the_pipelines_along() -> None:
    code = "import sys, qe_core.runtime.learner; print(*{name.split('.')[0] for name in sys.modules})"
    found = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    brought = set(found.stdout.split())
    assert "qe_core" in brought
    assert not brought & {"dagster", "qe_pipelines", "pandas", "matplotlib", "gymnasium"}
