"""QEAgent does its tasks whatever becomes of learning, and learns from them when it can."""

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from qe_core.config import Settings
from qe_core.errors import ConfigError, DatabaseUnavailableError, RewardError
from qe_core.fleet import registry
from qe_core.learning.exploration import ExponentialSchedule
from qe_core.runtime.agent import QEAgent
from qe_core.runtime.episodes import Outcome
from qe_core.runtime.errors import StrategyError
from qe_core.runtime.journal import CROSSED_OUT_LIMIT, FileJournal, JournalError
from qe_core.runtime.learner import Learner
from qe_core.runtime.tasks import Learning, QETask, Strategy
from qe_core.runtime.tokens import DecisionToken
from qe_core.store import Store
from qe_core.store.live import Live

CONTRACT = registry().get("test-executor")
NAMES = CONTRACT.action_names
BASELINE = str(CONTRACT.baseline_action)
TERM = CONTRACT.reward.terms[0].name
DONE = Outcome(points=10.0, terminated=True)
GREEDY = ExponentialSchedule(initial=0.0, final=0.0)


@pytest.fixture
async def live(store: Store) -> AsyncIterator[Live]:
    async with store.live() as opened:
        yield opened


async def opened(live: Live, **changed: object) -> Learner:
    return await Learner.open(live, CONTRACT.name, Settings(), np.random.default_rng(1), **changed)  # type: ignore[arg-type]


def all_do(strategy: Strategy) -> dict[str, Strategy]:
    return dict.fromkeys(NAMES, strategy)


async def log_of(store: Store) -> dict[str, list[object]]:
    log = await store.experiences.read_columns(CONTRACT.name, 0, 1_000)
    return {name: log[name].to_pylist() for name in log.column_names}


async def test_a_task_is_done_with_the_decided_strategy_and_learned_from(store: Store, live: Live) -> None:
    async def strategy(task: QETask) -> dict[str, float]:
        return {TERM: float(task.inputs["quality"])}

    agent = QEAgent(await opened(live), all_do(strategy), is_strict=True)
    task = QETask(context=CONTRACT.state_model.decode(5), inputs={"quality": 0.5})
    result = await agent.execute_with_learning(task)
    assert (result.task, result.value, result.learning) == (task, {TERM: 0.5}, Learning.RECORDED)
    assert result.decision is not None
    assert result.acknowledgement is not None
    assert (result.action, result.is_baseline, result.error) == (result.decision.name, False, None)
    log = await log_of(store)
    assert (log["state"], log["reward"]) == ([5], [CONTRACT.reward.reward({TERM: 0.5})])
    assert log["terminated"] == [True]
    assert (agent.counters.tasks, agent.counters.recorded) == (1, 1)


async def test_each_action_has_its_strategy_and_what_pays_is_chosen(store: Store, live: Live) -> None:
    def strategy(points: float) -> Strategy:
        return lambda _: Outcome(points=points, terminated=True)

    strategies = {name: strategy(90.0 if name == NAMES[2] else -50.0) for name in NAMES}
    agent = QEAgent(await opened(live, schedule=ExponentialSchedule(initial=1.0, final=1.0)), strategies)
    for _ in range(60):
        await agent.execute_with_learning(QETask(context=5))
    greedy = QEAgent(await opened(live, schedule=GREEDY), strategies)
    result = await greedy.execute_with_learning(QETask(context=5))
    assert (result.action, result.value.points) == (NAMES[2], 90.0)


async def test_a_sync_strategy_runs_beside_the_event_loop(live: Live) -> None:
    threads = []

    def strategy(_: QETask) -> Outcome:
        threads.append(threading.current_thread())
        return DONE

    await QEAgent(await opened(live), all_do(strategy)).execute_with_learning(QETask(context=5))
    assert threads != [threading.current_thread()]


async def test_what_a_strategy_raises_is_raised_and_learned_from_as_a_failure(
    store: Store, live: Live
) -> None:
    raised = ZeroDivisionError("the tool broke")

    def strategy(_: QETask) -> Outcome:
        raise raised

    agent = QEAgent(await opened(live), all_do(strategy))
    with pytest.raises(ZeroDivisionError) as caught:
        await agent.execute_with_learning(QETask(context=5))
    assert caught.value is raised
    log = await log_of(store)
    assert (log["reward"], log["terminated"]) == ([0.0], [True])
    assert (agent.counters.failed_tasks, agent.counters.recorded) == (1, 1)


async def test_an_episode_of_several_tasks_is_one_episode_in_the_log(store: Store, live: Live) -> None:
    outcomes = [Outcome(points=1.0, next_context=6), Outcome(points=2.0, next_context=7), DONE]
    agent = QEAgent(await opened(live), all_do(lambda task: outcomes[task.inputs["number"]]))
    episode = agent.begin_episode()
    for number in range(3):
        await agent.execute_with_learning(QETask(context=5 + number, inputs={"number": number}), episode)
    log = await log_of(store)
    assert (set(log["episode"]), log["step"]) == ({episode.name}, [0, 1, 2])


async def test_a_context_that_is_no_state_does_not_stop_the_work(live: Live) -> None:
    agent = QEAgent(await opened(live), all_do(lambda _: DONE))
    result = await agent.execute_with_learning(QETask(context={"no such feature": 1}))
    assert (result.action, result.value, result.is_baseline) == (BASELINE, DONE, True)
    assert (result.decision, result.learning) == (None, Learning.NOT_RECORDED)
    assert "no such feature" in str(result.error)
    assert (agent.counters.baselines, agent.counters.not_recorded) == (1, 1)


async def test_where_no_decision_comes_in_time_the_baseline_is_used_with_certainty(
    store: Store, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = live.reader.rows
    is_away = True

    async def answer_later(*keys: object) -> object:
        if is_away:
            await asyncio.sleep(3_600)
        return await answer(*keys)  # type: ignore[arg-type]

    def strategy(_: QETask) -> Outcome:
        nonlocal is_away
        is_away = False
        return DONE

    agent = QEAgent(await opened(live), all_do(strategy), decide_seconds=0.05)
    monkeypatch.setattr(live.reader, "rows", answer_later)
    result = await agent.execute_with_learning(QETask(context=5))
    assert (result.action, result.is_baseline) == (BASELINE, True)
    assert isinstance(result.error, TimeoutError)
    assert result.decision is not None
    assert (result.decision.propensity, result.learning) == (1.0, Learning.RECORDED)
    log = await log_of(store)
    assert (log["action"], log["propensity"]) == ([NAMES.index(BASELINE)], [1.0])


@pytest.mark.parametrize(
    "error", [DatabaseUnavailableError("away"), RewardError("odd"), MemoryError(), RuntimeError("a fault")]
)
async def test_trouble_with_recording_is_told_and_never_raised(
    live: Live, monkeypatch: pytest.MonkeyPatch, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object) -> None:
        raise error

    learner = await opened(live)
    monkeypatch.setattr(learner, "record", fail)
    agent = QEAgent(learner, all_do(lambda _: DONE))
    result = await agent.execute_with_learning(QETask(context=5, task_id="build-7"))
    assert (result.value, result.learning, result.error) == (DONE, Learning.NOT_RECORDED, error)
    assert "build-7" in caplog.text
    strict = QEAgent(learner, all_do(lambda _: DONE), is_strict=True)
    with pytest.raises(type(error)):
        await strict.execute_with_learning(QETask(context=5))


async def test_a_result_that_says_nothing_is_returned_and_not_learned_from(store: Store, live: Live) -> None:
    agent = QEAgent(await opened(live), all_do(lambda _: "a report"))
    result = await agent.execute_with_learning(QETask(context=5))
    assert (result.value, result.learning) == ("a report", Learning.NOT_RECORDED)
    assert isinstance(result.error, StrategyError)
    assessed = QEAgent(
        await opened(live),
        all_do(lambda _: "a report"),
        assess=lambda _, value: Outcome(points=float(len(value)), terminated=True),
    )
    assert (await assessed.execute_with_learning(QETask(context=5))).learning is Learning.RECORDED
    assert (await log_of(store))["reward"] == [8.0]


async def test_a_cancelled_task_leaves_nothing_half_done(store: Store, live: Live) -> None:
    async def strategy(_: QETask) -> Outcome:
        await asyncio.sleep(3_600)
        return DONE

    agent = QEAgent(await opened(live), all_do(strategy))
    task = asyncio.create_task(agent.execute_with_learning(QETask(context=5)))
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await live.writer.drain()
    assert (await log_of(store))["step"] == []


async def test_an_agent_made_without_a_database_works_and_learns_later(store: Store, live: Live) -> None:
    agent = QEAgent(CONTRACT, all_do(lambda _: DONE))
    result = await agent.execute_with_learning(QETask(context=5), agent.begin_episode())
    assert (result.action, result.value, result.is_baseline) == (BASELINE, DONE, True)
    assert (result.decision, result.learning) == (None, Learning.NOT_RECORDED)
    assert "learn_with" in str(result.error)
    other = await Learner.open(live, "quality-gate", Settings(), np.random.default_rng(1))
    with pytest.raises(StrategyError, match=CONTRACT.name):
        agent.learn_with(other)
    agent.learn_with(await opened(live))
    assert (await agent.execute_with_learning(QETask(context=5))).learning is Learning.RECORDED
    assert len((await log_of(store))["step"]) == 1


async def test_a_result_does_not_wait_long_for_a_database_that_is_away(
    store: Store, live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learner = await opened(live)
    with FileJournal(tmp_path / "notes") as journal:
        agent = QEAgent(learner, all_do(lambda _: DONE), journal=journal, record_seconds=0.05)
        with monkeypatch.context() as patch:
            patch.setattr(live.writer, "record", lambda *_: asyncio.sleep(3_600))
            result = await agent.execute_with_learning(QETask(context=5))
        assert (result.value, result.learning) == (DONE, Learning.UNKNOWN)
        assert isinstance(result.error, TimeoutError)
        [(_, noted)] = journal.open.values()
        assert noted == DONE
        assert await agent.resume(journal) == 1
    assert (await log_of(store))["reward"] == [10.0]


async def test_what_can_never_be_learned_from_does_not_stay_in_the_notes(live: Live, tmp_path: Path) -> None:
    with FileJournal(tmp_path / "notes") as journal:
        agent = QEAgent(await opened(live), all_do(lambda _: {"no such term": 1.0}), journal=journal)
        result = await agent.execute_with_learning(QETask(context=5))
        assert isinstance(result.error, RewardError)
        assert journal.open == {}


async def test_notes_that_cannot_be_written_do_not_stop_learning(
    store: Store, live: Live, tmp_path: Path
) -> None:
    journal = FileJournal(tmp_path / "notes")
    journal.close()
    agent = QEAgent(await opened(live), all_do(lambda _: DONE), journal=journal)
    result = await agent.execute_with_learning(QETask(context=5))
    assert (result.learning, type(result.error)) == (Learning.RECORDED, ValueError)
    assert (await log_of(store))["reward"] == [10.0]


async def test_strategies_must_be_those_of_the_contract(live: Live) -> None:
    learner = await opened(live)
    with pytest.raises(StrategyError, match=NAMES[0]):
        QEAgent(learner, dict.fromkeys(NAMES[1:], lambda _: DONE))
    with pytest.raises(StrategyError, match="invented"):
        QEAgent(learner, dict.fromkeys((*NAMES, "invented"), lambda _: DONE))
    with pytest.raises(ConfigError, match="decide_seconds"):
        QEAgent(learner, all_do(lambda _: DONE), decide_seconds=0.0)
    with pytest.raises(ConfigError, match="record_seconds"):
        QEAgent(learner, all_do(lambda _: DONE), record_seconds=float("nan"))


async def test_a_later_process_finishes_what_the_notes_say(store: Store, live: Live, tmp_path: Path) -> None:
    first = await opened(live)
    decisions = [await first.decide(state) for state in range(4)]
    tokens = [first.token(decision) for decision in decisions]
    with FileJournal(tmp_path / "notes") as journal:
        for token in tokens:
            journal.decided(token)
        for token in tokens[:2]:
            journal.happened(token, DONE)
    await first.record(decisions[0], DONE)

    async def again() -> Outcome:
        return Outcome(points=3.0, next_context=2)

    with FileJournal(tmp_path / "notes") as journal:
        assert [outcome for _, outcome in journal.open.values()] == [DONE, DONE, None, None]
        agent = QEAgent(await opened(live), all_do(lambda _: DONE), journal=journal)
        finished = await agent.resume(journal, lambda token: again() if token == tokens[2] else None)
        assert finished == 3
        assert journal.open == {}
        assert (agent.counters.recovered, agent.counters.abandoned) == (3, 1)
        assert (await agent.execute_with_learning(QETask(context=5))).learning is Learning.RECORDED
        assert journal.open == {}
    log = await log_of(store)
    assert sorted(zip(log["state"], log["reward"], strict=True))[:3] == [(0, 10.0), (1, 10.0), (2, 3.0)]
    assert log["truncated"].count(True) == 1
    with FileJournal(tmp_path / "notes") as journal:
        assert journal.open == {}


async def test_what_cannot_be_recovered_is_given_up_and_what_may_be_stays(
    store: Store, live: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    past = datetime.now(UTC) - timedelta(days=2)
    old = await opened(live, clock=lambda: past)
    young = await opened(live)
    tokens = [old.token(await old.decide(1)), young.token(await young.decide(2))]
    agent = QEAgent(await opened(live), all_do(lambda _: DONE))

    async def away(*_: object) -> None:
        raise DatabaseUnavailableError("away")

    with FileJournal(tmp_path / "notes") as journal:
        for token in tokens:
            journal.decided(token)
            journal.happened(token, DONE)
        with monkeypatch.context() as patch:
            patch.setattr("qe_core.store.live.recovery.OutcomeRecovery.claim", away)
            assert await agent.resume(journal) == 0
        assert list(journal.open) == [tokens[1].decision_id]
        assert await agent.resume(journal) == 1
    assert (await log_of(store))["state"] == [2]


async def test_an_original_whose_decision_was_taken_over_is_acknowledged_with_the_other(
    store: Store, live: Live, tmp_path: Path
) -> None:
    other = await opened(live)
    with FileJournal(tmp_path / "notes") as journal:

        async def strategy(_: QETask) -> Outcome:
            [(token, _)] = journal.open.values()
            await other.recover(token, Outcome(points=1.0, terminated=True))
            return DONE

        agent = QEAgent(await opened(live), all_do(strategy), journal=journal, is_strict=True)
        result = await agent.execute_with_learning(QETask(context=5))
    assert result.acknowledgement is not None
    assert result.acknowledgement.is_repeated
    assert (await log_of(store))["reward"] == [1.0]


@pytest.mark.parametrize(
    "outcome",
    [
        DONE,
        Outcome(measurements={TERM: np.float64(0.5)}, next_context=CONTRACT.state_model.decode(7)),
        Outcome(points=1.0, next_context={"size": "small"}, truncated=True, success=False),
        Outcome(points=-1.0, terminated=True, failed=True, occurred_at=datetime(2026, 1, 1, tzinfo=UTC)),
    ],
)
async def test_notes_survive_and_half_a_line_is_ignored(live: Live, tmp_path: Path, outcome: Outcome) -> None:
    learner = await opened(live)
    token = learner.token(await learner.decide(5))
    path = tmp_path / "notes"
    with FileJournal(path, is_synced=True) as journal:
        journal.decided(token)
        journal.happened(token, outcome)
    whole = path.read_bytes()
    for damage in (b"{}\n", b"[1]\n", b"\xff\n", b'{"decided":{}}\n'):
        path.write_bytes(whole + damage)
        with pytest.raises(JournalError, match="line 3"):
            FileJournal(path)
    for cut in (b'{"settled":"', b"\xff\x00"):
        path.write_bytes(whole + cut)
        with FileJournal(path) as journal:
            [(kept, read)] = journal.open.values()
    assert kept == token
    assert read is not None
    assert read.reward(CONTRACT.reward) == outcome.reward(CONTRACT.reward)
    assert (read.is_end, read.failed, read.success, read.occurred_at) == (
        *(outcome.is_end, outcome.failed, outcome.success, outcome.occurred_at),
    )
    assert path.read_bytes() == whole


async def test_notes_do_not_grow_for_ever(live: Live, tmp_path: Path) -> None:
    learner = await opened(live)
    token = learner.token(await learner.decide(5))
    path = tmp_path / "notes"
    with FileJournal(path) as journal:
        journal.decided(token)
        for number in range(CROSSED_OUT_LIMIT):
            other = DecisionToken.model_validate({**token.model_dump(), "step": number + 1})
            journal.decided(other)
            journal.settled(other)
    assert len(path.read_bytes().splitlines()) == 1
    with pytest.raises(JournalError, match="cannot be used"):
        FileJournal(tmp_path / "missing" / "notes")


def test_a_task_takes_contexts_as_they_are() -> None:
    assert QETask(context={}).context == {}
    state = CONTRACT.state_model.decode(5)
    assert QETask(context=state).context is state
    for odd in (True, "text", 1.5, None):
        with pytest.raises(ValueError, match="context"):
            QETask(context=odd)  # type: ignore[arg-type]


def test_a_task_without_a_name_gets_one() -> None:
    names: list[str] = [QETask(context=0).task_id for _ in range(2)]
    assert names[0] != names[1]
