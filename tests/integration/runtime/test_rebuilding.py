"""An agent's table is a function of its log and its team's table; the team's part goes without a trace."""

from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from qe_core.config import Settings
from qe_core.fleet import registry
from qe_core.learning.team_evidence import TeamEvidence
from qe_core.runtime.rebuilding import rebuild, rebuild_with_team, team_version
from qe_core.runtime.table_declarations import individual_table
from qe_core.store import Store, StoredTable
from qe_core.store.team import PulledTable
from tests.unit.store.team.made import AGENT, task

CONTRACT = registry().get(AGENT)
SHAPE = (CONTRACT.state_count, CONTRACT.action_count)
SEEN, PRIOR, TOLD = (1, 1), (3, 0), (5, 0)
"""A pair with own visits, one another agent gave a prior for, one only the team knows."""


def evidence(q: float, *pairs: tuple[int, int]) -> TeamEvidence:
    arrays: dict[str, Any] = {name: np.zeros(SHAPE) for name in ("q", "error", "reported")}
    visits = np.zeros(SHAPE, dtype=np.int64)
    for pair in pairs:
        arrays["q"][pair], arrays["reported"][pair], visits[pair] = q, 50.0, 20
    return TeamEvidence(visits=visits, **arrays)


async def pull(store: Store, version: int, found: TeamEvidence) -> None:
    table = PulledTable(AGENT, CONTRACT.fingerprint, version, found)
    assert await store.team_tables.save(uuid4(), [table], by="test")


async def learn(store: Store) -> StoredTable:
    """Let the agent see one pair four times, and another agent pass on a prior."""
    for number in range(4):
        await store.experiences.append(task(f"t{number}", [1], minute=number))
    await rebuild(store, CONTRACT, Settings())
    stored = await loaded(store)
    stored.table.q[PRIOR] = 7.0
    await store.q_tables.publish(stored.handle, stored.table, stored.weights, stored.version, stored.source)
    return await loaded(store)


async def loaded(store: Store) -> StoredTable:
    return await individual_table(CONTRACT).load(store)


async def test_a_pulled_table_is_merged_into_values_and_leaves_own_evidence_alone(store: Store) -> None:
    before = await learn(store)
    await pull(store, 1, evidence(2.0, SEEN, TOLD))
    merged = (await rebuild_with_team(store, CONTRACT, Settings())).merged
    after = await loaded(store)
    assert merged is not None
    assert (merged.taken, merged.merged) == (1, 1)
    # One point four times: error² = 80 / 4, own value 1 − 3·√20; both sides' precision is 4 / 80 = 20 / 400.
    assert after.table.q[SEEN] == pytest.approx(((1.0 - 3.0 * np.sqrt(20.0)) + 2.0) / 2.0)
    assert after.table.q[TOLD] == 2.0
    assert after.table.q[PRIOR] == 7.0
    assert team_version(after) == 1
    for name in ("visits", "target_mean", "target_m2"):
        np.testing.assert_array_equal(getattr(after.table, name), getattr(before.table, name))


async def test_building_again_changes_nothing(store: Store) -> None:
    await learn(store)
    await pull(store, 1, evidence(2.0, SEEN, TOLD))
    await rebuild(store, CONTRACT, Settings())
    first = await loaded(store)
    assert not (await rebuild(store, CONTRACT, Settings())).is_changed
    np.testing.assert_array_equal((await loaded(store)).table.q, first.table.q)


async def test_after_undoing_a_pull_the_table_is_what_it_was_bit_for_bit(store: Store) -> None:
    before = await learn(store)
    await pull(store, 1, evidence(2.0, SEEN, TOLD))
    await rebuild(store, CONTRACT, Settings())
    await store.team_tables.undo(by="test")
    await rebuild(store, CONTRACT, Settings())
    after = await loaded(store)
    for name in ("q", "visits", "target_mean", "target_m2"):
        np.testing.assert_array_equal(getattr(after.table, name), getattr(before.table, name))
    assert team_version(after) == 0


async def test_a_newer_table_that_knows_less_takes_back_what_the_older_one_told(store: Store) -> None:
    await learn(store)
    await pull(store, 1, evidence(11.0, TOLD))
    await rebuild(store, CONTRACT, Settings())
    await pull(store, 2, evidence(4.0, (6, 0)))
    await rebuild(store, CONTRACT, Settings())
    q = (await loaded(store)).table.q
    assert (q[TOLD], q[6, 0]) == (0.0, 4.0)


async def test_a_newcomer_without_any_experience_gets_the_team_s_values(store: Store) -> None:
    await pull(store, 1, evidence(11.0, TOLD))
    await rebuild(store, CONTRACT, Settings())
    stored = await loaded(store)
    assert stored.table.q[TOLD] == 11.0
    assert not stored.table.visits.any()
