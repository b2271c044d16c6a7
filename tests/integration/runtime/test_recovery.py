"""Decisions recovered by token count once, whoever else records them, in whichever order."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import numpy as np
import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qe_core.config import Settings
from qe_core.errors import ConfigError, FingerprintMismatchError, RewardError
from qe_core.fleet import registry
from qe_core.runtime.decisions import Decision
from qe_core.runtime.episodes import Outcome
from qe_core.runtime.errors import AlreadyRecordedError, DecisionError, DecisionExpiredError
from qe_core.runtime.learner import Learner
from qe_core.runtime.tokens import DecisionToken
from qe_core.store import StaleEpochError, Store
from qe_core.store.errors import DecisionClaimedError
from qe_core.store.identity import Identity
from qe_core.store.live import Live
from tests.conftest import execute

CONTRACT = registry().get("test-executor")
SETTINGS = Settings()
DONE = Outcome(points=10.0, terminated=True)


async def opened(live: Live, **changed: object) -> Learner:
    return await Learner.open(live, CONTRACT.name, SETTINGS, np.random.default_rng(1), **changed)  # type: ignore[arg-type]


@pytest.fixture
async def two(database_url: str) -> AsyncIterator[tuple[Store, Learner, Learner]]:
    """The learners of two processes, as far as the database can tell."""
    async with AsyncExitStack() as stack:
        learners = []
        for _ in range(2):
            store = await stack.enter_async_context(Store.connect(database_url))
            learners.append(await opened(await stack.enter_async_context(store.live())))
        yield store, learners[0], learners[1]


async def counted(store: Store) -> tuple[int, int]:
    """Return how many experiences and how many visits there are."""
    log = await store.experiences.read_columns(CONTRACT.name, 0, 1_000)
    keys = list(zip(log["episode"].to_pylist(), log["step"].to_pylist(), strict=True))
    assert len(set(keys)) == len(keys)
    stored = await store.q_tables.load("individual", CONTRACT.name, CONTRACT.fingerprint)
    return len(keys), int(stored.table.visits.sum())


async def test_another_process_records_by_token(two: tuple[Store, Learner, Learner]) -> None:
    store, first, second = two
    decision = await first.decide(5)
    token = DecisionToken.from_json(first.token(decision).to_json())
    assert token.decision_id == decision.decision_id
    acknowledged = await second.recover(token, DONE)
    assert not acknowledged.is_repeated
    again = await second.recover(token, DONE)
    assert (again.is_repeated, again.version) == (True, acknowledged.version)
    assert await counted(store) == (1, 1)
    log = await store.experiences.read_columns(CONTRACT.name, 0, 10)
    row = {name: log[name].to_pylist()[0] for name in ("episode", "step", "state", "action", "reward")}
    assert row == {
        "episode": decision.episode, "step": 0, "state": 5, "action": decision.action, "reward": 10.0
    }  # fmt: skip
    assert log["propensity"].to_pylist() == [decision.propensity]
    assert log["source"].to_pylist() == ["agent"]
    assert second.counters.recorded == 1


async def test_what_the_first_process_recorded_is_found(two: tuple[Store, Learner, Learner]) -> None:
    store, first, second = two
    decision = await first.decide(5)
    token = first.token(decision)
    acknowledged = await first.record(decision, DONE)
    repeated = await second.recover(token, DONE)
    assert (repeated.is_repeated, repeated.version) == (True, acknowledged.version)
    assert await counted(store) == (1, 1)
    with pytest.raises(AlreadyRecordedError):
        first.token(decision)


async def test_an_original_that_comes_late_is_told_and_others_in_its_flush_get_through(
    two: tuple[Store, Learner, Learner],
) -> None:
    store, first, second = two
    decisions = [await first.decide(state) for state in range(6)]
    token = first.token(decisions[2])
    await second.recover(token, DONE)
    outcome = Outcome(points=1.0, next_context=3)
    told = await asyncio.gather(
        *(first.record(decision, outcome) for decision in decisions), return_exceptions=True
    )
    assert [isinstance(one, DecisionClaimedError) for one in told] == [False] * 2 + [True] + [False] * 3
    assert await counted(store) == (6, 6)
    assert (await first.recover(token, DONE)).is_repeated
    with pytest.raises(AlreadyRecordedError):
        await first.record(decisions[2], outcome)
    await first.record(await first.decide(1), DONE)
    assert await counted(store) == (7, 7)


async def test_a_claim_whose_process_died_does_not_lose_the_outcome(
    two: tuple[Store, Learner, Learner], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, first, second = two
    decision = await first.decide(5)
    token = first.token(decision)

    async def die(*_: object) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr("qe_core.store.live.recovery.OutcomeRecovery.store", die)
        with pytest.raises(asyncio.CancelledError):
            await second.recover(token, DONE)
    with pytest.raises(DecisionClaimedError):
        await first.record(decision, DONE)
    assert not (await first.recover(token, DONE)).is_repeated
    assert await counted(store) == (1, 1)


async def test_several_processes_recovering_at_once_count_once(two: tuple[Store, Learner, Learner]) -> None:
    store, first, second = two
    decision = await first.decide(5)
    token = first.token(decision)
    told = await asyncio.gather(*(learner.recover(token, DONE) for learner in (first, second) * 3))
    assert sorted(one.is_repeated for one in told) == [False] + [True] * 5
    assert await counted(store) == (1, 1)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
@given(
    plan=st.lists(
        st.tuples(st.sampled_from(("record", "recover here", "recover there")), st.integers(0, 2)),
        min_size=1,
        max_size=9,
    ),
    is_together=st.booleans(),
)
def test_any_interleaving_counts_each_decision_once(
    database_url: str, plan: list[tuple[str, int]], is_together: bool
) -> None:
    async def play() -> None:
        async with Store.connect(database_url) as store, store.live() as live, store.live() as other:
            first, second = await opened(live), await opened(other)
            before = await counted(store)
            decisions = [await first.decide(state) for state in range(3)]
            tokens = [first.token(decision) for decision in decisions]

            async def act(how: str, which: int) -> bool:
                """Return whether it is acknowledged."""
                try:
                    match how:
                        case "record":
                            await first.record(decisions[which], DONE)
                        case "recover here":
                            await first.recover(tokens[which], DONE)
                        case _:
                            await second.recover(tokens[which], DONE)
                except (AlreadyRecordedError, DecisionClaimedError):
                    return False
                return True

            if is_together:
                told = list(await asyncio.gather(*(act(*step) for step in plan)))
            else:
                told = [await act(*step) for step in plan]
            acknowledged = {which for (_, which), is_so in zip(plan, told, strict=True) if is_so}
            assert acknowledged == {which for _, which in plan}, "somebody is always told that it is stored"
            gained = len(acknowledged)
            assert await counted(store) == (before[0] + gained, before[1] + gained)

    asyncio.run(play())


async def test_old_decisions_are_refused_by_name(store: Store) -> None:
    now = [datetime.now(UTC) - timedelta(hours=3)]
    async with store.live() as live:
        learner = await opened(live, clock=lambda: now[0], decision_life=timedelta(hours=1))
        decision, other = await learner.decide(5), await learner.decide(6)
        token = learner.token(decision)
        now[0] += timedelta(hours=1)
        await learner.record(other, DONE)
        now[0] += timedelta(seconds=1)
        with pytest.raises(DecisionExpiredError, match="decide afresh"):
            await learner.record(decision, DONE)
        with pytest.raises(DecisionExpiredError):
            await learner.recover(token, DONE)
        await learner.decide(7)
        assert learner.counters.forgotten == 1
        with pytest.raises(AlreadyRecordedError):
            await learner.record(decision, DONE)
        for life in (timedelta(0), timedelta(days=31)):
            with pytest.raises(ConfigError, match="at most 30 days"):
                await opened(live, decision_life=life)
    assert await counted(store) == (1, 1)


async def test_a_token_of_a_withdrawn_table_is_refused_and_stores_nothing(store: Store) -> None:
    async with store.live() as live:
        learner = await opened(live)
        token = learner.token(await learner.decide(5))
        handle = (await store.q_tables.load("individual", CONTRACT.name, CONTRACT.fingerprint)).handle
        await store.q_tables.raise_epoch(handle)
        with pytest.raises(StaleEpochError):
            await learner.recover(token, DONE)
        assert await counted(store) == (0, 0)


async def test_tokens_that_do_not_fit_are_refused_before_anything_is_claimed(store: Store) -> None:
    async with store.live() as live:
        learner = await opened(live)
        token = learner.token(await learner.decide(5))
        with pytest.raises(FingerprintMismatchError, match="under contract other"):
            await learner.recover(token.model_copy(update={"fingerprint": "other"}), DONE)
        with pytest.raises(DecisionError, match="damaged"):
            await learner.recover(token.model_copy(update={"action": 99}), DONE)
        with pytest.raises(RewardError):
            await learner.recover(token, Outcome({"no such term": 1.0}, terminated=True))
        with pytest.raises(DecisionError, match="only a part"):
            DecisionToken.from_json(token.to_json()[:-4])
        assert not (await learner.recover(token, DONE)).is_repeated


async def test_an_open_step_is_truncated_and_its_episode_judged_whole(store: Store) -> None:
    async with store.live() as live:
        learner = await opened(live)
        episode = learner.begin_episode()
        need = CONTRACT.success.minimum_return
        await learner.record(await learner.decide(5, episode), Outcome(points=need, next_context=6))
        token = learner.token(await learner.decide(6, episode))
        assert token.return_before == need
        await learner.recover(token, Outcome(points=0.0, next_context=7))
        log = await store.experiences.read_columns(CONTRACT.name, 0, 10)
        assert log["truncated"].to_pylist() == [False, True]
        assert log["success"].to_pylist() == [None, True]
        assert learner.counters.episodes == 1


async def test_a_later_original_is_refused_even_if_its_flush_waited_for_the_claim(
    two: tuple[Store, Learner, Learner], database_url: str
) -> None:
    """The flush of the original is on its way while the claim is made: they meet on the table's line."""
    store, first, second = two

    async def race(decision: Decision, token: DecisionToken) -> list[object]:
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: first.record(decision, DONE),
            lambda: second.recover(token, DONE),
        ]
        return list(await asyncio.gather(*(call() for call in calls), return_exceptions=True))

    for number in range(25):
        decision = await first.decide(number)
        await race(decision, first.token(decision))
    assert await counted(store) == (25, 25)
    execute(database_url, "DELETE FROM decision_claims")


async def test_an_outcome_belongs_to_whom_it_was_decided_for_whoever_records_it(database_url: str) -> None:
    ada, somebody_else = Identity("a" * 32, "b" * 32), Identity("c" * 32, "d" * 32)
    async with (
        Store.connect(database_url, identity=ada) as store,
        Store.connect(database_url, identity=somebody_else) as other,
        store.live() as live,
        other.live() as elsewhere,
    ):
        first, second = await opened(live), await opened(elsewhere)
        kept = DecisionToken.from_json(first.token(await first.decide(5)).to_json())
        await second.recover(kept, DONE)
        await second.record(await second.decide(6), DONE)
        found = await store.experiences.read_columns(CONTRACT.name, 0, 10)
    assert found["state"].to_pylist() == [5, 6]
    with psycopg2.connect(database_url) as session, session.cursor() as cursor:
        cursor.execute("SELECT developer, project FROM experience_chunks ORDER BY chunk_id")
        assert cursor.fetchall() == [("a" * 32, "b" * 32), ("c" * 32, "d" * 32)]
    session.close()
