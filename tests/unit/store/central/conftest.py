"""A founded team on a database of its own, and a member of it."""

from collections.abc import AsyncIterator

import pytest

from qe_core.store.central import TeamCuration
from tests.unit.store.central.releases import SPACE


@pytest.fixture
async def curation(database_url: str) -> AsyncIterator[TeamCuration]:
    """A founded team that learns about one agent."""
    async with TeamCuration.connect(database_url) as opened:
        await opened.found("ada", "the testers")
        await opened.register([SPACE])
        yield opened


@pytest.fixture
async def member_url(curation: TeamCuration) -> str:
    """The address of one member."""
    return await curation.invite("runner-1")
