"""What the team sent back: every version is kept, the newest counts, and a pull can be undone."""

import asyncio
from uuid import UUID, uuid4

import numpy as np
import pytest

from qe_core.errors import PrivacyError
from qe_core.learning.team_evidence import TeamEvidence
from qe_core.store import Store
from qe_core.store.team import PulledTable, TableChange, TeamEvent

CONTRACT = "contract-1"


def pulled(version: int, agent: str = "tester") -> PulledTable:
    """Return a table of 4 states and 3 actions whose figures tell its version; one pair in two is known."""
    visits = np.zeros((4, 3), dtype=np.int64)
    visits.ravel()[::2] = version
    known = visits > 0
    q, error, reported = (np.where(known, scale * version, 0.0) for scale in (-1.5, 0.25, 7.0))
    return PulledTable(agent, CONTRACT, version, TeamEvidence(q, visits, error, reported))


async def save(store: Store, *tables: PulledTable) -> UUID:
    """Store a pull and return its number."""
    pull_id = uuid4()
    await store.team_tables.save(pull_id, tables, by="test")
    return pull_id


async def version_in_use(store: Store, agent: str = "tester") -> int | None:
    found = await store.team_tables.current(agent, CONTRACT)
    return None if found is None else found.version


async def test_a_table_comes_back_as_it_was_stored(store: Store) -> None:
    pull_id = await save(store, pulled(3))
    found = await store.team_tables.current("tester", CONTRACT)
    assert found is not None
    assert (found.version, found.pull_id) == (3, pull_id)
    for name in ("q", "visits", "error", "reported"):
        stored, wanted = getattr(found.evidence, name), getattr(pulled(3).evidence, name)
        assert stored.dtype == wanted.dtype
        assert (stored == wanted).all()
    assert await store.team_tables.current("tester", "contract-2") is None


async def test_storing_a_pull_again_or_an_older_one_changes_nothing(store: Store) -> None:
    pull_id = uuid4()
    first = await store.team_tables.save(pull_id, [pulled(3)], by="test")
    assert first == [TableChange("tester", CONTRACT, None, 3)]
    assert await store.team_tables.save(pull_id, [pulled(4)], by="test") == []
    assert await store.team_tables.save(uuid4(), [pulled(2)], by="test") == []
    assert await store.team_tables.save(uuid4(), [pulled(3)], by="test") == []
    assert await version_in_use(store) == 3
    assert [entry.kind for entry in await store.team_log.entries()] == [TeamEvent.PULL]


async def test_undoing_a_pull_brings_back_the_table_before_it_for_all_its_agents(store: Store) -> None:
    await save(store, pulled(1))
    second = await save(store, pulled(2), pulled(5, "other"))
    changes = await store.team_tables.undo(by="test")
    assert {change.agent: (change.before, change.after) for change in changes} == {
        "tester": (2, 1),
        "other": (5, None),
    }
    assert (await version_in_use(store), await version_in_use(store, "other")) == (1, None)
    await store.team_tables.undo(by="test")
    assert await version_in_use(store) is None
    with pytest.raises(PrivacyError, match="no pull to undo"):
        await store.team_tables.undo(by="test")
    with pytest.raises(PrivacyError, match="no pull to undo"):
        await store.team_tables.undo(second, by="test")


async def test_undoing_a_pull_that_was_overtaken_changes_no_table(store: Store) -> None:
    first = await save(store, pulled(1))
    await save(store, pulled(2))
    assert await store.team_tables.undo(first, by="test") == []
    assert await version_in_use(store) == 2


async def test_what_was_undone_is_known_and_can_be_had_again(store: Store) -> None:
    await save(store, pulled(1))
    await save(store, pulled(2))
    await store.team_tables.undo(by="test")
    assert await store.team_tables.versions() == {("tester", CONTRACT): 2}
    again = await store.team_tables.version("tester", CONTRACT, 2)
    assert again is not None
    assert (again.evidence.q == pulled(2).evidence.q).all()
    assert await store.team_tables.version("tester", CONTRACT, 9) is None
    await save(store, pulled(2))
    assert await version_in_use(store) == 2


async def test_pulls_are_listed_with_what_they_brought(store: Store) -> None:
    await save(store, pulled(1))
    await save(store, pulled(2), pulled(5, "other"))
    await store.team_tables.undo(by="eve")
    newest, oldest = await store.team_tables.pulls()
    assert (newest.versions, newest.undone_by) == ({"tester": 2, "other": 5}, "eve")
    assert (oldest.versions, oldest.undone_by) == ({"tester": 1}, None)


async def test_pulls_at_once_leave_the_newest_version_in_use(store: Store) -> None:
    await asyncio.gather(*(save(store, pulled(version)) for version in (2, 5, 1, 4, 3)))
    assert await version_in_use(store) == 5
