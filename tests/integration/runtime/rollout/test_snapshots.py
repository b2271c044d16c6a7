"""Versions of what agents decide by: taken where something changed, let go with age."""

from datetime import UTC, datetime, timedelta

from qe_core.runtime.rollout.snapshots import SCHEDULE, PolicySnapshots
from qe_core.store import Store
from tests.integration.runtime.rollout.playing import (
    AGENT,
    QUICK,
    best,
    frozen,
    opened,
    play,
    settings_with,
    worst,
)

SETTINGS = settings_with()


async def test_agents_that_lived_are_frozen_and_only_where_something_changed(store: Store) -> None:
    snapshots = PolicySnapshots(store, SETTINGS)
    assert await snapshots.take() == []
    async with store.live(reading=QUICK) as live:
        await play(await opened(live, SETTINGS), 3, seed=1)
    [first] = await snapshots.take()
    assert (first.version.agent, first.is_new, first.version.created_by) == (AGENT, True, SCHEDULE)
    [again] = await snapshots.take([AGENT], reason="on demand", by="Ada")
    assert (again.version.number, again.is_new) == (first.version.number, False)
    async with store.live(reading=QUICK) as live:
        await play(await opened(live, SETTINGS), 1, seed=2)
    [changed] = await snapshots.take()
    assert changed.is_new
    assert changed.version.visits > first.version.visits


async def test_versions_are_let_go_by_the_configured_ages(store: Store) -> None:
    versions = [await frozen(store, actions, "old") for actions in (best(), worst(), best())]
    settings = settings_with(keep_all_days=1.0, keep_hourly_days=2.0, keep_daily_days=3.0)
    snapshots = PolicySnapshots(store, settings)
    now = datetime.now(UTC)
    assert (await snapshots.thin(now)).versions == 0
    assert (await snapshots.thin(now + timedelta(days=5))).versions == 2
    assert [of.number for of in await store.policies.versions(AGENT)] == [versions[-1].number]
