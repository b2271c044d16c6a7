"""What a rollback took back stays away when the graph rebuilds the table from the log."""

import numpy as np

from qe_core.config import load_settings
from qe_core.fleet import registry
from qe_core.store import Store
from tests.pipelines.conftest import EPISODES, STEPS, experience_columns
from tests.recording import as_batch, record


async def test_a_rebuild_after_a_rollback_gives_the_restored_values_and_passes_every_check(
    learned_url: str,
) -> None:
    from qe_core.runtime.rebuilding import rebuild
    from qe_core.runtime.table_declarations import individual_table
    from qe_pipelines.defs.q_tables.checks import judged_agents
    from qe_pipelines.resources import FleetDatabase

    contract, settings = registry().get("quality-gate"), load_settings().values
    declaration = individual_table(contract)
    async with Store.connect(learned_url) as store:
        good = await declaration.load(store)
        await store.policies.snapshot(contract, reason="test", by="me")
        for episode in range(3):
            poisoned = experience_columns(contract, 1, seed=episode, first_episode=1_000 + episode)
            poisoned["reward"] = np.full(STEPS, -100.0)
            await record(store, await declaration.ensure(store), as_batch(poisoned))
        await store.experiences.append(experience_columns(contract, 2, seed=9, first_episode=2_000))
        await rebuild(store, contract, settings)
        bad = await declaration.load(store)
        assert int(bad.table.visits.sum()) == (EPISODES + 5) * STEPS

        event = await store.policies.rollback(contract.name, trigger="test", evidence={}, by="me")
        assert event.experiences_excluded == 5 * STEPS
        restored = await declaration.load(store)
        assert all(result.passed for result in await judged_agents(FleetDatabase(), settings))

        await rebuild(store, contract, settings)
        rebuilt = await declaration.load(store)
        assert all(result.passed for result in await judged_agents(FleetDatabase(), settings))
    for name in ("q", "visits", "target_mean", "target_m2"):
        np.testing.assert_array_equal(getattr(restored.table, name), getattr(good.table, name))
        np.testing.assert_array_equal(getattr(rebuilt.table, name), getattr(good.table, name))
