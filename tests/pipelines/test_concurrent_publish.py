"""Agents go on learning while their tables are rebuilt: nothing they learn may be lost."""

import asyncio
from typing import Any

import pytest

from qe_core.config import load_settings
from qe_core.fleet import AgentContract, registry
from qe_core.learning.empirical_mdp import EmpiricalMdp
from qe_core.store import Store
from qe_core.store.experiences import ExperienceLog
from tests.pipelines.conftest import EPISODES, STEPS, dump, experience_columns
from tests.recording import as_batch, record

LIVE_EPISODES = 12
"""Written 0.1 s apart, so that a rebuild meets some of them and finds room between others."""


async def learn_live(store: Store, contract: AgentContract, episode: int) -> int:
    """Commit one episode and its updates as a live agent does; returns how many experiences that was."""
    from qe_core.runtime.table_declarations import individual_table

    rows = experience_columns(contract, 1, seed=episode, first_episode=1_000 + episode)
    await record(store, await individual_table(contract).ensure(store), as_batch(rows))
    return STEPS


async def test_update_between_load_and_publish_is_kept_by_the_retry(
    filled_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qe_core.runtime.rebuilding import rebuild
    from qe_core.runtime.table_declarations import individual_table

    contract, settings = registry().get("quality-gate"), load_settings().values
    load, interruptions = ExperienceLog.load_mdp, iter([1, 2])

    async with Store.connect(filled_url) as store, Store.connect(filled_url) as live:

        async def interrupted(log: ExperienceLog, *wanted: Any) -> EmpiricalMdp:
            found = await load(log, *wanted)
            if episode := next(interruptions, None):
                await learn_live(live, contract, episode)
            return found

        monkeypatch.setattr(ExperienceLog, "load_mdp", interrupted)
        result = await rebuild(store, contract, settings)
        stored = await individual_table(contract).load(store)
        counters = store.counters

    assert result.attempts == 3
    assert counters.version_conflicts == 2
    assert int(stored.table.visits.sum()) == (EPISODES + 2) * STEPS
    assert stored.source["experiences"] == (EPISODES + 2) * STEPS


async def test_rebuilds_beside_a_busy_writer_end_where_an_undisturbed_one_does(
    filled_url: str, learned_url: str
) -> None:
    from qe_core.runtime.rebuilding import rebuild

    contract, settings = registry().get("quality-gate"), load_settings().values

    async def rebuild_until(store: Store, done: asyncio.Event) -> int:
        attempts = 0
        while not done.is_set():
            attempts += (await rebuild(store, contract, settings)).attempts
            await asyncio.sleep(0.01)
        await rebuild(store, contract, settings)
        return attempts

    async def write(store: Store, done: asyncio.Event) -> None:
        for episode in range(LIVE_EPISODES):
            await learn_live(store, contract, episode)
            await asyncio.sleep(0.1)
        done.set()

    done = asyncio.Event()
    async with Store.connect(filled_url) as store, Store.connect(filled_url) as live:
        attempts, _ = await asyncio.gather(rebuild_until(store, done), write(live, done))
    assert attempts >= 2
    async with Store.connect(learned_url) as store:
        for episode in range(LIVE_EPISODES):
            rows = experience_columns(contract, 1, seed=episode, first_episode=1_000 + episode)
            await store.experiences.append(rows)
        await rebuild(store, contract, settings)

    def values(url: str) -> list[str]:
        # What others told it is no part of what it learned; only the graph passed it on.
        name = "(SELECT name FROM q_tables t WHERE t.q_table_id = line.q_table_id AND 0 < ANY (line.visits))"
        q = (
            "(SELECT array_agg(CASE WHEN pair.visits > 0 THEN pair.q END ORDER BY pair.place) "
            "FROM unnest(line.q, line.visits) WITH ORDINALITY AS pair (q, visits, place))"
        )
        columns = f"({name}, line.state, {q}, line.visits, line.target_mean, line.target_m2, line.weights)"
        rows = dump(url, without={"q_values": columns})["q_values"]
        return [row for row in rows if row.startswith("(quality-gate,")]

    assert values(filled_url) == values(learned_url)


async def test_checks_stay_within_reason_while_agents_learn_on(learned_url: str) -> None:
    from qe_pipelines.defs.q_tables.checks import judged_agents, judged_category, judged_fleet
    from qe_pipelines.resources import FleetDatabase

    contract, settings = registry().get("quality-gate"), load_settings().values
    async with Store.connect(learned_url) as store:
        await learn_live(store, contract, 1)
    database = FleetDatabase()
    found = [
        *await judged_agents(database, settings),
        await judged_category(database, settings, contract.category),
        *await judged_fleet(database, settings),
    ]
    assert all(result.passed for result in found), [result.description for result in found]
