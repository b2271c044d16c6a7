"""Fixtures for tests of policies."""

from collections.abc import AsyncIterator

import pytest

from qe_core.store import Store
from qe_core.store.live import Live


@pytest.fixture
async def live(store: Store) -> AsyncIterator[Live]:
    """The hot path of this process."""
    async with store.live() as opened:
        yield opened
