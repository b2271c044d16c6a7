"""What a build makes of contributions, sound and hostile, on a real server."""

from collections.abc import AsyncIterator

import pytest

from qe_core.config import Settings
from qe_core.runtime.team.building import AgentBuild, build
from qe_core.store.central import PublishedTable, TeamCuration, TeamServer
from tests.unit.runtime.team.contributing import (
    BUSY_STATES,
    SPACE,
    honest,
    joined,
)


@pytest.fixture
async def curation(database_url: str) -> AsyncIterator[TeamCuration]:
    """A founded team that learns about everybody."""
    async with TeamCuration.connect(database_url) as opened:
        await opened.found()
        await opened.register([SPACE])
        yield opened


async def built(curation: TeamCuration) -> AgentBuild:
    """Build, and return what became of the one agent anybody contributed to."""
    report = await build(curation, Settings())
    return next(one for one in report.agents if one.agent == SPACE.agent)


async def pulled(url: str) -> PublishedTable:
    """Return the newest table as a member gets it."""
    async with TeamServer.connect(url) as server:
        (table,) = await server.newest({})
    return table


async def test_three_contributors_make_a_table_that_a_newcomer_pulls(curation: TeamCuration) -> None:
    for name in ("ada", "bob", "ci"):
        await joined(curation, name, honest())
    found = await built(curation)
    table = await pulled(await curation.invite("newcomer"))
    assert (found.version, found.contributors, found.left_out, found.refusal) == (1, 3, 0, None)
    assert (table.version, table.contributors, table.fingerprint) == (1, 3, SPACE.fingerprint)
    known = table.table.visits > 0
    assert known[:BUSY_STATES].all()
    assert not known[BUSY_STATES:].any()
    assert (table.table.q[:BUSY_STATES].argmax(axis=1) == 0).all()


async def test_the_same_contributions_are_never_published_twice(curation: TeamCuration) -> None:
    for name in ("ada", "bob", "ci"):
        await joined(curation, name, honest())
    first, second = await built(curation), await built(curation)
    assert (first.version, second.version, second.refusal) == (1, None, None)
    assert len(await curation.publications()) == 1
