"""The checks behind the figures find what they are for: a changed value, a wrong answer, a lost update."""

from dataclasses import replace

import asyncpg
import numpy as np
import pyarrow as pa
import pytest

from benchmarks.agent_workers import Worked
from benchmarks.agents import Books
from benchmarks.experience_log import RowLog
from benchmarks.harness import ResultsDifferError
from benchmarks.latencies import LatencyHistogram
from benchmarks.lookups import require_right
from benchmarks.population import populate
from benchmarks.readers import Answered
from benchmarks.statements import PEER_STATEMENTS
from benchmarks.updates import KEPT, Ledger
from benchmarks.workload import drawn_batch, drawn_log, named
from benchmarks.writers import Written, individual_table
from qe_core.fleet import registry
from qe_core.store import Store

CONTRACT = registry().get("test-executor")


def with_value(log: pa.Table, name: str, row: int, value: object) -> pa.Table:
    """Return the log with one value replaced."""
    values = log[name].to_pylist()
    values[row] = value
    return log.set_column(
        log.schema.get_field_index(name), name, pa.array(values, log.schema.field(name).type)
    )


async def test_digest_tells_any_changed_value_from_the_true_log(database_url):
    log = drawn_log(CONTRACT, 60, 50, seed=1)
    connection = await asyncpg.connect(database_url)
    try:
        for statement in ("create_row_log", "create_staging_log"):
            await connection.execute(PEER_STATEMENTS[statement])
        peer = RowLog(connection)

        async def digest(stored: pa.Table) -> tuple[int, str]:
            """Store rows in the plain table and return what is found there."""
            await connection.execute(PEER_STATEMENTS["empty_row_log"])
            await peer.copy("row_log", await peer.encode(stored))
            return await peer.digest("digest_row_log")

        truth = await digest(log)
        assert truth == await peer.digest("digest_staging_log")
        assert truth[0] == 60
        changes = {
            "reward": log["reward"][7].as_py() + 1e-9,
            "success": True,
            "episode": "another",
            "policy_version": None,
        }
        for name, value in changes.items():
            assert await digest(with_value(log, name, 7, value)) != truth, name
        assert await digest(log.slice(1)) != truth
    finally:
        await connection.close()


async def test_wrong_answer_of_a_lookup_is_found(database_url):
    population = await populate(database_url, (CONTRACT.name,))
    states = np.arange(50)
    actions = population.best_actions(CONTRACT.name, states)
    assert len(np.unique(actions)) > 1
    answered = Answered(np.ones(50), {CONTRACT.name: (states, actions)}, 1.0)
    require_right(population, [answered])
    wrong = actions.copy()
    wrong[17] = (wrong[17] + 1) % CONTRACT.action_count
    with pytest.raises(ResultsDifferError, match="state 17"):
        require_right(population, [answered, replace(answered, answers={CONTRACT.name: (states, wrong)})])
    with pytest.raises(ResultsDifferError, match="nothing"):
        require_right(population, [replace(answered, latencies=np.array([]))])


async def recorded(database_url, count):
    """Record one batch of this many updates, durably."""
    batch = named(drawn_batch(CONTRACT, count, 1.2, np.random.default_rng(0)), "e")
    async with Store.connect(database_url) as store, store.live() as live:
        await live.writer.record_many(await individual_table(store, CONTRACT.name), batch)


def acknowledged(count):
    """Return what a writer says that had this many acknowledged."""
    return [Written(count, 1.0)]


async def test_ledger_counts_what_was_acknowledged_and_is_not_there(database_url):
    await recorded(database_url, 300)
    ledger = Ledger(database_url)
    assert ledger.enter(acknowledged(300), with_experiences=True).result == KEPT
    lost = ledger.enter(acknowledged(5), with_experiences=True)
    assert lost.result == (5, 5)
    assert lost.values["lost_updates"] == 5.0


async def test_ledger_counts_what_was_applied_twice(database_url):
    await recorded(database_url, 300)
    assert Ledger(database_url).enter(acknowledged(299), with_experiences=False).result == (-1, -300)


async def test_ledger_finds_a_value_that_the_visits_do_not_explain(database_url):
    await recorded(database_url, 300)
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("UPDATE q_values SET q[1] = q[1] + 1e-6 WHERE visits[1] > 0")
    finally:
        await connection.close()
    with pytest.raises(ResultsDifferError, match="action 0"):
        Ledger(database_url).enter(acknowledged(300), with_experiences=True)


async def test_books_of_the_agents_tell_tables_from_log(database_url):
    await recorded(database_url, 30)
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("DELETE FROM experience_chunks")
    finally:
        await connection.close()
    worked = Worked(LatencyHistogram(), LatencyHistogram(), 30, 1.0, [1])
    assert Books(database_url).enter([worked]) == (0, 30)
