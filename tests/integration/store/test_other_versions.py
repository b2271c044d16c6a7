"""The store on a PostgreSQL older than the embedded default."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from qe_core.errors import DatabaseUnavailableError
from qe_core.learning.affine_updates import AffineUpdates
from qe_core.learning.q_table import QTable, quantised_weights
from qe_core.rollout.assignment import Arm
from qe_core.store import Store, migrate
from qe_core.store.ab_tests import UnitRow
from qe_core.store.central import TeamCuration, TeamServer
from qe_core.store.server import EmbeddedServer
from tests.conftest import THROWAWAY_SETTINGS, execute
from tests.integration.store.playing import (
    AGENT,
    CONTRACT,
    frozen_bits,
    learned_rewards,
    live_bits,
    play,
)
from tests.integration.store.rows import FINGERPRINT, experiences
from tests.integration.store.test_migration import check_that_every_row_is_kept
from tests.recording import as_batch, record
from tests.unit.store.central.releases import SPACE, header, part


@pytest.fixture
async def old_store(server_directory: Path) -> AsyncIterator[Store]:
    """A store on PostgreSQL 16."""
    with EmbeddedServer(server_directory / "sixteen", version=16, settings=THROWAWAY_SETTINGS) as server:
        assert server.status().version.startswith("16.")
        assert EmbeddedServer(server.data_dir).status().version.startswith("16."), (
            "a cluster keeps its version"
        )
        await migrate(server.url())
        async with Store.connect(server.url()) as store:
            yield store


async def test_a_full_database_is_migrated_and_old_experiences_removed_on_postgresql_16(
    server_directory: Path,
) -> None:
    with EmbeddedServer(server_directory / "full", version=16, settings=THROWAWAY_SETTINGS) as server:
        execute(server.url("postgres"), "CREATE DATABASE full_of_rows")
        url = server.url("full_of_rows")
        await check_that_every_row_is_kept(url)
        async with Store.connect(url) as store:
            before = await store.experiences.load_mdp("tester", FINGERPRINT, 500, 6)
            report = await store.retention.run(30, 10, datetime.now(UTC) + timedelta(days=40))
            after = await store.experiences.load_mdp("tester", FINGERPRINT, 500, 6)
    assert report.experiences_folded > 50_000
    assert report.experiences_folded + report.experiences_kept == 150_000
    np.testing.assert_array_equal(after.count, before.count)
    np.testing.assert_allclose(after.reward_mean, before.reward_mean, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(after.reward_m2, before.reward_m2, rtol=1e-9, atol=1e-6)


async def test_the_whole_path_works_on_postgresql_16(old_store: Store) -> None:
    handle = await old_store.q_tables.ensure("individual", "tester", FINGERPRINT, 7, ["a", "b", "c"])
    batch = as_batch(experiences(10))
    await record(old_store, handle, batch)
    updates = AffineUpdates.from_targets(batch.state, batch.action, batch.target, batch.learning_rate)
    stored = await old_store.q_tables.load("individual", "tester", FINGERPRINT)
    expected = updates.apply(QTable.zeros(7, 3))
    np.testing.assert_allclose(stored.table.q, expected.q, rtol=0, atol=1e-12)
    result = await old_store.q_tables.publish(
        handle, stored.table, quantised_weights(stored.table), stored.version, {"experiences": 10}
    )
    assert result.rows_written == 7
    assert len(await old_store.experiences.load_transitions("tester", FINGERPRINT)) == 10
    [line] = await old_store.status()
    assert (line.experiences, line.updates, line.states_visited) == (10, 10, 7)


async def test_policies_are_frozen_tested_and_taken_back_on_postgresql_16(old_store: Store) -> None:
    async with old_store.live() as live:
        numbers = []
        for reward in (1.0, -2.0):
            await play(old_store, live, [reward])
            numbers.append((await old_store.policies.snapshot(CONTRACT, reason="test", by="me")).number)
        before = await frozen_bits(old_store, numbers[0])
        test = await old_store.ab_tests.start(
            AGENT, key="k", control=numbers[0], treatment=numbers[1], by="me", why="try"
        )
        row = UnitRow(test.experiment_id, "one", 10, Arm.CONTROL, numbers[0], datetime.now(UTC))
        assert (await old_store.ab_tests.record_units([row, row])).new == 1
        event = await old_store.policies.rollback(AGENT, to=numbers[0], trigger="test", evidence={}, by="me")
        assert (event.stopped_test, event.experiences_excluded) == (test.experiment_id, 2)
        assert await live_bits(old_store) == before
        assert await learned_rewards(old_store) == [1.0, 1.0]
        assert len(await old_store.policies.recent_outcomes(AGENT, None, 10)) == 2
        assert (await old_store.policies.thin(datetime.now(UTC) + timedelta(days=99))).versions == 0


async def test_a_team_is_founded_joined_and_left_on_postgresql_16(server_directory: Path) -> None:
    with EmbeddedServer(server_directory / "team", version=16, settings=THROWAWAY_SETTINGS) as server:
        await migrate(server.url())
        async with TeamCuration.connect(server.url()) as curation:
            assert await curation.found()
            assert not await curation.found()
            await curation.close_other_databases()
            assert await curation.openings() == []
            await curation.register([SPACE])
            url = await curation.invite("ada")
            async with TeamServer.connect(url) as member:
                assert (await member.submit(header(), {SPACE.agent: part(1)})).is_new
                assert len(await member.own_releases()) == 1
                await curation.revoke("ada", is_left_out=True)
                with pytest.raises(DatabaseUnavailableError):
                    await member.hello()
            assert [one async for one in curation.contributions(SPACE.agent)] == []
