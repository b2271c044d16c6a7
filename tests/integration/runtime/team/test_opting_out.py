"""Opting out takes effect for the very next release, also when one is already running."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing, suppress
from dataclasses import replace
from typing import Any
from unittest import mock

import psycopg2
import pytest

from qe_core.privacy.statistics import AgentStatistics
from qe_core.runtime.team.privacy_manager import PrivacyManager
from qe_core.runtime.team.reports import OptOutReport, Preparation
from qe_core.store.central import TeamServer
from qe_core.store.team import OptOutKind, ReleaseStore, TeamEvent
from tests.integration.runtime.team.nursery import AGENTS, Contributor

Team = Callable[..., Awaitable[list[Contributor]]]
Exact = Mapping[str, AgentStatistics]

CASES = [
    (OptOutKind.DEVELOPER, "ann"),
    (OptOutKind.PROJECT, "shop"),
    (OptOutKind.AGENT, AGENTS[1]),
]
"""Each takes two of the five tasks away."""


@pytest.fixture
async def pusher(team: Team) -> Contributor:
    """A contributor with three tasks of bob's, and two of ann's for the shop, of another agent."""
    contributor = (await team())[0]
    await contributor.learn("one", "two", "three", developer="bob", project="tower")
    await contributor.learn("four", "five", agent=AGENTS[1], developer="ann", project="shop")
    return contributor


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[Exact]:
    """What every release was made of, before noise."""
    found: list[Exact] = []
    count = PrivacyManager.count

    def noted(manager: PrivacyManager, *arguments: Any) -> Exact:
        found.append(count(manager, *arguments))
        return found[-1]

    monkeypatch.setattr(PrivacyManager, "count", noted)
    return found


async def opt_out(contributor: Contributor, kind: OptOutKind, name: str | None) -> OptOutReport:
    """Opt out as another process does: through a store of its own."""
    async with contributor.opened() as (_, coordinator):
        return await coordinator.privacy.opt_out(kind, name)


async def _own_releases(contributor: Contributor) -> list[Any]:
    async with TeamServer.connect(contributor.team_url) as server:
        return await server.own_releases()


@pytest.mark.parametrize(("kind", "name"), CASES)
async def test_the_next_release_is_without_who_opted_out(
    pusher: Contributor, counted: list[Exact], kind: OptOutKind, name: str
) -> None:
    await opt_out(pusher, kind, name)
    async with pusher.opened() as (_, coordinator):
        report = await coordinator.push_to_central()
    assert report.prepared.task_count == 3
    assert [counts.units for counts in counted[-1].values()] == [3, 0]


@pytest.mark.parametrize(("kind", "name"), CASES)
async def test_a_release_that_is_being_made_begins_anew_without_who_opted_out(
    pusher: Contributor, counted: list[Exact], kind: OptOutKind, name: str
) -> None:
    commit = ReleaseStore.commit
    has_read, may_commit = asyncio.Event(), asyncio.Event()

    async def held(*arguments: Any, **options: Any) -> Any:
        has_read.set()
        await may_commit.wait()
        return await commit(*arguments, **options)

    async def pushed() -> Any:
        async with pusher.opened() as (_, coordinator):
            return await coordinator.push_to_central()

    with mock.patch.object(ReleaseStore, "commit", held):
        pushing = asyncio.create_task(pushed())
        await has_read.wait()
        out = await asyncio.wait_for(opt_out(pusher, kind, name), 5.0)
        assert (out.withdrawn, out.being_sent, out.sent_before) == ((), (), 0)
        may_commit.set()
        report = await pushing
    assert [[counts.units for counts in exact.values()] for exact in counted] == [[3, 2], [3, 0]]
    assert (report.prepared.task_count, len(report.sent)) == (3, 1)
    async with pusher.opened() as (store, _):
        (entry,) = await store.privacy_ledger.entries()
        assert entry.release_id == report.prepared.release_id
    assert len(await _own_releases(pusher)) == 1


async def test_a_release_that_waits_to_be_sent_is_withdrawn_and_made_anew_without_who_opted_out(
    pusher: Contributor, counted: list[Exact]
) -> None:
    async with pusher.opened() as (store, coordinator):
        first = await coordinator.privacy.prepare_release()
        out = await opt_out(pusher, OptOutKind.DEVELOPER, "ann")
        assert out.withdrawn == (first.release_id,)
        report = await coordinator.push_to_central()
        assert [counts.units for counts in counted[-1].values()] == [3, 0]
        assert await _own_releases(pusher) == [report.prepared.release_id]
        assert len(await store.privacy_ledger.entries()) == 2  # what the withdrawn one cost stays spent


async def test_a_release_on_its_way_counts_as_sent_and_the_one_after_is_without_who_opted_out(
    pusher: Contributor, counted: list[Exact]
) -> None:
    submit = TeamServer.submit
    is_sending, may_send = asyncio.Event(), asyncio.Event()

    async def held(*arguments: Any) -> Any:
        is_sending.set()
        await may_send.wait()
        return await submit(*arguments)

    async def pushed() -> Any:
        async with pusher.opened() as (_, coordinator):
            return await coordinator.push_to_central()

    with mock.patch.object(TeamServer, "submit", held):
        pushing = asyncio.create_task(pushed())
        await is_sending.wait()
        out = await asyncio.wait_for(opt_out(pusher, OptOutKind.DEVELOPER, "ann"), 5.0)
        may_send.set()
        report = await pushing
    assert out.being_sent == report.sent == (report.prepared.release_id,)
    await pusher.learn("six", "seven", developer="ann")
    await pusher.learn("eight", "nine", developer="bob")
    async with pusher.opened() as (_, coordinator):
        await coordinator.push_to_central()
        assert [counts.units for counts in counted[-1].values()] == [2, 0]
        assert (await opt_out(pusher, OptOutKind.DATABASE, None)).sent_before == 2


async def test_a_release_whose_delivery_broke_off_is_told_of_and_its_tasks_never_leave_again(
    pusher: Contributor,
) -> None:
    submit = TeamServer.submit

    async def cut_off(*arguments: Any) -> Any:
        await submit(*arguments)
        raise asyncio.CancelledError

    async with pusher.opened() as (store, coordinator):
        with mock.patch.object(TeamServer, "submit", cut_off), suppress(asyncio.CancelledError):
            await coordinator.push_to_central()
        (pending,) = await store.releases.pending()
        out = await opt_out(pusher, OptOutKind.DEVELOPER, "ann")
        assert out.maybe_sent == (pending.header.release_id,)
        report = await coordinator.push_to_central()
        assert report.prepared.outcome is Preparation.NOTHING_NEW
    assert await _own_releases(pusher) == [pending.header.release_id]


async def test_with_everything_opted_out_no_task_leaves(pusher: Contributor) -> None:
    await opt_out(pusher, OptOutKind.DATABASE, None)
    async with pusher.opened() as (_, coordinator):
        report = await coordinator.push_to_central()
    assert report.prepared.outcome is Preparation.NOTHING_NEW
    assert await _own_releases(pusher) == []


async def test_an_opt_out_is_stored_as_a_pseudonym_and_logged(pusher: Contributor) -> None:
    await opt_out(pusher, OptOutKind.DEVELOPER, "Ann")
    async with pusher.opened() as (store, coordinator):
        (entry,) = await store.team_log.entries(kind=TeamEvent.OPT_OUT)
        (held,) = (await coordinator.privacy.status()).opt_outs
        assert held.subject == entry.details["subject"]
        await coordinator.privacy.lift(OptOutKind.DEVELOPER, "ann")
    with closing(psycopg2.connect(pusher.url)) as session, session.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM opt_outs WHERE lower(subject) LIKE '%ann%'")
        assert cursor.fetchone() == (0,)


async def test_opting_out_works_with_sharing_off_and_the_server_away(pusher: Contributor) -> None:
    async with replace(pusher, team_url="postgresql://nobody:x@/qe?host=/nonexistent").opened() as (
        _,
        coordinator,
    ):
        assert (await coordinator.privacy.opt_out(OptOutKind.AGENT, AGENTS[0])).opt_out.lifted_at is None
