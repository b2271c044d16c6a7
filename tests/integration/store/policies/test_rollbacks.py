"""Rollbacks: everything or nothing, nothing leaks back in, nothing is lost that should stay."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import asyncpg
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qe_core.fleet import AgentContract
from qe_core.learning.q_table import QTable, quantised_weights
from qe_core.rollout.assignment import Stage
from qe_core.store import Rebuild, StaleEpochError, Store
from qe_core.store.ab_tests import EndVerdict
from qe_core.store.errors import CoolDownError, PolicyError
from qe_core.store.live import Live
from qe_core.store.policies import Alias, Mode, RollbackEvent
from tests.integration.store.playing import (
    AGENT,
    CONTRACT,
    SHAPE,
    episodes,
    frozen_bits,
    learned_rewards,
    live_bits,
    own_handle,
    play,
)

BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
_agents = count()


async def freeze(store: Store) -> int:
    return (await store.policies.snapshot(CONTRACT, reason="test", by="me")).number


async def roll_back(
    store: Store, to: int | None = None, agent: str = AGENT, cool_down: timedelta | None = None
) -> RollbackEvent:
    return await store.policies.rollback(
        agent,
        to=to,
        trigger="success rate",
        evidence={"lost": 12, "of": 100},
        by="watch",
        cool_down=cool_down,
    )


def appended(rewards: list[float], contract: AgentContract) -> dict[str, Any]:
    """Return experiences that reach the log without an update, as an import does."""
    first = next(_agents) * 1_000
    return {
        "occurred_at": [BEGAN + timedelta(seconds=first + place) for place in range(len(rewards))],
        "agent": contract.name,
        "episode": [f"imported-{first + place}" for place in range(len(rewards))],
        "step": 0,
        "state": 0,
        "action": 0,
        "reward": rewards,
        "next_state": 0,
        "terminated": True,
        "truncated": False,
        "propensity": 1.0,
        "fingerprint": contract.fingerprint,
        "source": "import:test",
    }


async def rebuild_from_log(store: Store) -> Rebuild:
    """Return a table whose visits and means are exactly those of what the log says may be learned."""
    stored = await store.q_tables.load("individual", AGENT, CONTRACT.fingerprint)
    log = await store.experiences.load_transitions(AGENT, CONTRACT.fingerprint)
    table = QTable.zeros(*SHAPE)
    np.add.at(table.visits, (log.state, log.action), 1)
    np.add.at(table.target_mean, (log.state, log.action), log.reward)
    table.target_mean[:] = table.target_mean / np.maximum(table.visits, 1)
    table.q[:] = table.target_mean
    return Rebuild(
        table,
        quantised_weights(table),
        stored.version,
        {"version": stored.version + 1, "experiences": len(log)},
    )


async def publish_rebuild(store: Store) -> None:
    await store.q_tables.publish_with_retry(await own_handle(store), lambda: rebuild_from_log(store))


async def test_the_live_table_holds_what_it_held_to_the_bit_under_a_new_version_and_epoch(
    store: Store, live: Live
) -> None:
    await play(store, live, [10.0, 20.0])
    await publish_rebuild(store)
    good = await freeze(store)
    before = await live_bits(store)
    [source_before] = [(await store.q_tables.load("individual", AGENT, CONTRACT.fingerprint)).source]
    await play(store, live, [-100.0] * 5, states=9)
    await publish_rebuild(store)
    handle = await own_handle(store)
    event = await roll_back(store)
    assert await live_bits(store) == before
    stored = await store.q_tables.load("individual", AGENT, CONTRACT.fingerprint)
    assert (stored.epoch, stored.version) == (handle.epoch + 1, handle.version + 1)
    assert stored.source == source_before
    assert (event.mode, event.to_version, event.served_version) == (Mode.LEARNING, good, None)
    assert (event.trigger, event.evidence, event.rolled_back_by) == (
        "success rate",
        {"lost": 12, "of": 100},
        "watch",
    )
    assert (event.rows_written, event.rows_removed, event.experiences_excluded) == (4, 5, 10)
    assert event.is_log_complete
    assert await store.policies.rollbacks(AGENT) == [event]
    [alert] = await store.alerts.list_alerts()
    assert (alert.kind, alert.subject, alert.severity) == ("policy-rolled-back", AGENT, "critical")
    [delivery] = await store.alerts.deliveries(alert.alert_id)
    assert (delivery.event, delivery.channel) == ("opened", "log")


async def test_updates_in_flight_are_refused_whole_and_counted_and_new_handles_are_served(
    store: Store, live: Live
) -> None:
    await play(store, live, [10.0])
    await freeze(store)
    stale = await own_handle(store)
    await play(store, live, [-50.0])
    event = await roll_back(store)
    before = await live_bits(store)
    for _ in range(2):
        with pytest.raises(StaleEpochError):
            await live.writer.record_many(stale, episodes([-99.0], steps=5))
    assert await live_bits(store) == before
    assert -99.0 not in await learned_rewards(store)
    [told] = await store.policies.rollbacks(AGENT)
    assert (told.rollback_id, told.refused_flushes, told.refused_updates) == (event.rollback_id, 2, 10)
    await play(store, live, [3.0])
    assert await learned_rewards(store) == [3.0, 3.0, 10.0, 10.0]


async def test_a_rebuild_after_a_rollback_does_not_bring_the_bad_values_back(
    store: Store, live: Live
) -> None:
    await play(store, live, [10.0])
    await freeze(store)
    await play(store, live, [-100.0] * 4)
    handle = await own_handle(store)
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> Rebuild:
        rebuild = await rebuild_from_log(store)
        entered.set()
        await go_on.wait()
        return rebuild

    racing = asyncio.create_task(store.q_tables.publish_with_retry(handle, slow))
    await entered.wait()
    await roll_back(store)
    go_on.set()
    with pytest.raises(StaleEpochError):
        await racing
    await publish_rebuild(store)
    stored = await store.q_tables.load("individual", AGENT, CONTRACT.fingerprint)
    assert stored.table.visits.sum() == 2
    assert stored.table.q.min() >= 0.0
    observed = await store.experiences.load_mdp(AGENT, CONTRACT.fingerprint, *SHAPE)
    assert int(observed.count.sum()) == 2
    [evidence] = await store.retention.evidence()
    assert evidence.total == 2
    assert (await store.experiences.counts())[0].experiences == 10, "the log itself keeps everything"


async def test_retention_drops_what_was_excluded_without_counting_it(store: Store, live: Live) -> None:
    await play(store, live, [10.0])
    await freeze(store)
    await play(store, live, [-100.0])
    await roll_back(store)
    # The very newest stays raw whatever its age.
    await play(store, live, [20.0])
    [present] = await store.experiences.counts()
    report = await store.retention.run(1, 2, present.last_occurred_at + timedelta(days=9_000))
    assert report.experiences_folded == 2
    observed = await store.experiences.load_mdp(AGENT, CONTRACT.fingerprint, *SHAPE)
    assert int(observed.count.sum()) == 4
    np.testing.assert_array_equal(observed.reward_mean, [15.0, 15.0])
    assert (await store.experiences.counts())[0].experiences == 2


async def test_without_a_stable_version_learning_goes_back_to_the_newest_that_is_not_in_doubt(
    store: Store, live: Live
) -> None:
    with pytest.raises(PolicyError, match="take a snapshot first"):
        await roll_back(store)
    await play(store, live, [1.0])
    first = await freeze(store)
    await play(store, live, [2.0])
    second = await freeze(store)
    await play(store, live, [-9.0])
    event = await roll_back(store, to=first)
    withdrawn = {one.number for one in await store.policies.versions(AGENT) if one.is_withdrawn}
    assert withdrawn == {second, event.from_version}
    await play(store, live, [-8.0])
    again = await roll_back(store)
    assert again.to_version == first
    assert (await roll_back(store, to=second)).to_version == second
    assert not (await store.policies.version(second)).is_withdrawn
    assert await live_bits(store) == await frozen_bits(store, second)
    assert await learned_rewards(store) == [1.0, 1.0, 2.0, 2.0]


async def test_an_exclusion_that_was_undone_holds_again_for_a_version_that_rests_on_it(
    store: Store, live: Live
) -> None:
    await play(store, live, [1.0], steps=1)
    first = await freeze(store)
    await play(store, live, [-9.0], steps=1)
    second = (await roll_back(store, to=first)).from_version
    await play(store, live, [3.0], steps=1)
    third = await freeze(store)
    await play(store, live, [4.0], steps=1)
    await roll_back(store, to=second)
    assert await learned_rewards(store) == [-9.0, 1.0]
    await roll_back(store, to=third)
    assert await learned_rewards(store) == [1.0, 3.0]
    await roll_back(store, to=second)
    assert await learned_rewards(store) == [-9.0, 1.0]


async def test_each_rollback_is_told_also_while_the_alert_of_the_last_one_is_open(
    store: Store, live: Live
) -> None:
    await play(store, live, [1.0])
    await freeze(store)
    await roll_back(store)
    await roll_back(store)
    opened, closed = await store.alerts.list_alerts(is_all=True)
    assert (opened.is_open, opened.opening, closed.is_open) == (True, 2, False)
    assert [one.event for one in await store.alerts.deliveries(opened.alert_id)] == ["opened"]


async def test_while_serving_aliases_go_back_the_test_ends_and_experiences_stay(
    store: Store, live: Live
) -> None:
    numbers = []
    for reward in (1.0, 2.0, 3.0):
        await play(store, live, [reward])
        numbers.append(await freeze(store))
    first, second, third = numbers
    await store.policies.promote(AGENT, first, by="me", why="a beginning")
    await store.policies.promote(AGENT, second, by="me", why="better")
    test = await store.ab_tests.start(
        AGENT, key="second against third", control=second, treatment=third, by="me", why="try"
    )
    await store.ab_tests.advance(test.experiment_id, Stage.HALF, by="me", why="going well")
    event = await roll_back(store)
    assert (event.to_version, event.served_version, event.stopped_test) == (second, third, test.experiment_id)
    state = (await store.policies.serving([AGENT]))[AGENT]
    assert (state.mode, state.stable, state.candidate, state.test) == (Mode.SERVING, second, None, None)
    assert (await store.ab_tests.test(test.experiment_id)).verdict is EndVerdict.HARM
    assert await live_bits(store) == await frozen_bits(store, second)
    assert event.experiences_excluded == 0
    assert await learned_rewards(store) == [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]
    await store.policies.point(AGENT, Alias.CANDIDATE, third, by="me", why="to be tested one day")
    event = await roll_back(store)
    assert (event.to_version, event.served_version) == (first, second)
    assert (await store.policies.serving([AGENT]))[AGENT].stable == first
    with pytest.raises(PolicyError, match="no earlier version that is not in doubt"):
        await roll_back(store)
    changes = [(one.what, one.before, one.after) for one in await store.policies.history(AGENT)]
    assert changes[:2] == [("stable", str(second), str(first)), ("candidate", str(third), None)], (
        "a candidate that is in no test was not served"
    )


async def test_of_two_watches_at_once_one_rolls_back_and_the_other_is_told_to_rest(
    store: Store, live: Live
) -> None:
    await play(store, live, [1.0])
    await freeze(store)
    await play(store, live, [-1.0])
    found = await asyncio.gather(
        *(roll_back(store, cool_down=timedelta(minutes=10)) for _ in range(3)), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in found) == ["CoolDownError", "CoolDownError", "RollbackEvent"]
    assert len(await store.policies.rollbacks(AGENT)) == 1
    with pytest.raises(CoolDownError, match=r"was rolled back \d+ s ago and rests for 600 s"):
        await roll_back(store, cool_down=timedelta(minutes=10))
    by_hand = await roll_back(store)
    assert (by_hand.rows_written, by_hand.rows_removed) == (0, 0)
    assert store.counters.deadlocks == 0


async def test_evidence_that_could_not_be_computed_does_not_stop_a_rollback(store: Store, live: Live) -> None:
    await play(store, live, [1.0])
    await freeze(store)
    evidence = {"mean": float("nan"), "bounds": [float("-inf"), 0.5], "tasks": 3}
    event = await store.policies.rollback(AGENT, trigger="test", evidence=evidence, by="me")
    assert event.evidence == {"mean": None, "bounds": [None, 0.5], "tasks": 3}


async def test_processes_are_told_at_the_commit(store: Store, live: Live, database_url: str) -> None:
    heard: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    connection = await asyncpg.connect(database_url)
    try:
        for channel in ("qe_serving", "qe_tables"):
            await connection.add_listener(channel, lambda _, __, name, text: heard.put_nowait((name, text)))
        await play(store, live, [1.0])
        await freeze(store)
        while not heard.empty():
            heard.get_nowait()
        event = await roll_back(store)
        told = {await asyncio.wait_for(heard.get(), 10) for _ in range(2)}
    finally:
        await connection.close()
    assert ("qe_serving", AGENT) in told
    assert ("qe_tables", f"{event.q_table_id} {event.version_before + 1} - *") in told


async def test_a_version_of_another_contract_or_agent_is_refused(store: Store, live: Live) -> None:
    await play(store, live, [1.0])
    number = await freeze(store)
    await store.policies.promote(AGENT, number, by="me", why="good")
    await store.q_tables.ensure("individual", AGENT, "another contract", 10, ["a", "b"])
    state = (await store.policies.serving([AGENT]))[AGENT]
    assert (state.mode, state.stable) == (Mode.LEARNING, None), "a changed contract ends what was served"
    with pytest.raises(PolicyError, match="no version under its present contract"):
        await roll_back(store)
    with pytest.raises(PolicyError, match="which the agent has no longer"):
        await store.policies.promote(AGENT, number, by="me", why="good")


async def test_rollbacks_and_rebuilds_beside_running_agents_keep_table_and_log_in_agreement(
    store: Store, live: Live
) -> None:
    await play(store, live, [0.0])
    await freeze(store)
    is_over = False
    refused = 0

    async def learn(seed: float) -> None:
        nonlocal refused
        number = 0
        while not is_over:
            number += 1
            try:
                await play(store, live, [seed, float(number % 100)], states=20)
            except StaleEpochError:
                refused += 1

    async def rebuild() -> None:
        while not is_over:
            try:
                await publish_rebuild(store)
            except StaleEpochError:
                await asyncio.sleep(0)

    async def take_back() -> None:
        for number in range(6):
            await asyncio.sleep(0.05)
            await freeze(store)
            await asyncio.sleep(0.05)
            versions = await store.policies.versions(AGENT)
            await roll_back(store, to=versions[(number * 2) % len(versions)].number)

    tasks = [asyncio.create_task(one) for one in (learn(1.0), learn(2.0), rebuild())]
    await take_back()
    is_over = True
    await asyncio.gather(*tasks)
    await publish_rebuild(store)
    rebuilt = await rebuild_from_log(store)
    stored = await store.q_tables.load("individual", AGENT, CONTRACT.fingerprint)
    np.testing.assert_array_equal(stored.table.visits, rebuilt.table.visits)
    reported = await store.policies.rollbacks(AGENT)
    assert len(reported) == 6
    assert sum(event.refused_flushes for event in reported) <= refused
    assert live.writer.counters.refused_updates == sum(event.refused_updates for event in reported)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("play"), st.integers(1, 3)),
        st.tuples(st.just("append"), st.integers(1, 3)),
        st.tuples(st.just("freeze"), st.just(0)),
        st.tuples(st.just("roll back"), st.integers(0, 9)),
    ),
    min_size=2,
    max_size=16,
)


async def check_against_model(url: str, taken: list[tuple[str, int]]) -> None:
    """Play steps; what may be learned from is what the restored version rests on, and what came since."""
    async with Store.connect(url) as store, store.live() as live:
        contract = replace(CONTRACT, name=f"agent-{next(_agents)}")
        known: set[float] = set()
        in_table: set[float] = set()
        frozen: dict[int, tuple[set[float], set[float]]] = {}
        numbers: dict[int, int] = {}
        next_reward = 0

        def new_rewards(count: int) -> list[float]:
            nonlocal next_reward
            next_reward += count
            return [float(reward) / 8 for reward in range(next_reward - count, next_reward)]

        async def note(number: int) -> None:
            version = await store.policies.version(number)
            frozen.setdefault(version.own_snapshot, (set(known), set(in_table)))
            numbers[number] = version.own_snapshot

        for step, value in taken:
            handle = await own_handle(store, contract)
            match step:
                case "play":
                    rewards = new_rewards(value)
                    await live.writer.record_many(handle, episodes(rewards, steps=1))
                    known |= set(rewards)
                    in_table |= set(rewards)
                case "append":
                    rewards = new_rewards(value)
                    await store.experiences.append(appended(rewards, contract))
                    known |= set(rewards)
                case "freeze":
                    await note((await store.policies.snapshot(contract, reason="t", by="me")).number)
                case "roll back" if numbers:
                    target = sorted(numbers)[value % len(numbers)]
                    event = await roll_back(store, to=target, agent=contract.name)
                    await note(event.from_version)
                    known, in_table = (set(one) for one in frozen[numbers[target]])
                case _:
                    pass
            log = await store.experiences.load_transitions(contract.name, contract.fingerprint)
            assert sorted(log.reward.tolist()) == sorted(known)
            stored = await store.q_tables.load("individual", contract.name, contract.fingerprint)
            assert int(stored.table.visits.sum()) == len(in_table)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(taken=steps)
def test_any_sequence_of_rollbacks_back_and_forth_learns_from_what_the_model_says(
    database_url: str, taken: list[tuple[str, int]]
) -> None:
    asyncio.run(check_against_model(database_url, taken))


async def test_aliases_rest_while_a_test_runs(store: Store, live: Live) -> None:
    await play(store, live, [1.0])
    first = await freeze(store)
    await play(store, live, [2.0])
    second = await freeze(store)
    await store.ab_tests.start(AGENT, key="k", control=first, treatment=second, by="me", why="try")
    with pytest.raises(PolicyError, match="stop the test first"):
        await store.policies.point(AGENT, Alias.CANDIDATE, first, by="me", why="other")
