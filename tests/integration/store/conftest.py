"""Fixtures for tests of the store."""

import pytest

from qe_core.store import Store, TableHandle
from tests.integration.store.rows import FINGERPRINT


@pytest.fixture
async def handle(store: Store) -> TableHandle:
    """A registered individual table of 7 states and 3 actions."""
    return await store.q_tables.ensure("individual", "tester", FINGERPRINT, 7, ["plan", "act", "stop"])
