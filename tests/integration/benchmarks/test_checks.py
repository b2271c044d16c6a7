"""The checks behind the figures find what they are for: a changed value, a wrong answer, a lost update."""

from dataclasses import replace

import asyncpg
import numpy as np
import pyarrow as pa
import pytest

from benchmarks.experience_log import RowLog
from benchmarks.harness import ResultsDifferError
from benchmarks.lookups import require_right
from benchmarks.population import populate
from benchmarks.readers import Answered
from benchmarks.statements import PEER_STATEMENTS
from benchmarks.workload import drawn_log
from qe_core.fleet import registry

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
