"""The store on a PostgreSQL older than the embedded default."""

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from qe_core.learning.affine_updates import AffineUpdates
from qe_core.learning.q_table import QTable, quantised_weights
from qe_core.store import Store, migrate
from qe_core.store.server import EmbeddedServer
from tests.conftest import THROWAWAY_SETTINGS
from tests.integration.store.rows import FINGERPRINT, experiences
from tests.recording import as_batch, record


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
