"""Pushing: what is new leaves once, with the server away it is caught up with."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from qe_core.errors import PrivacyError
from qe_core.runtime.team.reports import Preparation, PushReport
from qe_core.store.team import TeamEvent
from tests.integration.runtime.team.nursery import AGENTS, Contributor, sharing

Team = Callable[..., Awaitable[list[Contributor]]]
NOWHERE = "postgresql://nobody:x@/qe?host=/nonexistent"


async def kinds(contributor: Contributor) -> list[TeamEvent]:
    """Return what the log tells of, the oldest first."""
    async with contributor.opened() as (store, _):
        return [entry.kind for entry in reversed(await store.team_log.entries())]


@pytest.fixture
async def pusher(team: Team) -> Contributor:
    """A contributor with two finished tasks."""
    return (await team())[0]


async def test_pushing_twice_without_learning_sends_nothing_and_costs_nothing(pusher: Contributor) -> None:
    await pusher.learn("one", "two")
    async with pusher.opened() as (store, coordinator):
        first = await coordinator.push_to_central()
        spent = await store.privacy_ledger.spent_nano_rho()
        second = await coordinator.push_to_central()
        assert (first.prepared.outcome, first.prepared.task_count) == (Preparation.RELEASED, 2)
        assert first.sent == (first.prepared.release_id,)
        assert second.prepared.outcome is Preparation.NOTHING_NEW
        assert (second.sent, second.pending) == ((), 0)
        assert await store.privacy_ledger.spent_nano_rho() == spent > 0
    assert await kinds(pusher) == [TeamEvent.RELEASE, TeamEvent.PUSH]


async def test_too_few_tasks_wait_and_unfinished_ones_do_not_count(pusher: Contributor) -> None:
    await pusher.learn("one")
    await pusher.learn("begun", "begun-too", is_finished=False)
    async with pusher.opened() as (_, coordinator):
        report = await coordinator.push_to_central()
    assert report.prepared.outcome is Preparation.WAITING
    assert "1 finished tasks wait for 1 more" in report.words


async def test_with_the_server_away_nothing_is_spent_and_later_everything_arrives(
    pusher: Contributor,
) -> None:
    await pusher.learn("one", "two")
    async with replace(pusher, team_url=NOWHERE).opened() as (store, coordinator):
        report = await coordinator.push_to_central()
        assert report.prepared.outcome is Preparation.NOT_TRIED
        assert "cannot be reached, this is caught up with later" in report.words
        assert await store.privacy_ledger.spent_nano_rho() == 0
    async with pusher.opened() as (_, coordinator):
        assert len((await coordinator.push_to_central()).sent) == 1
    assert await kinds(pusher) == [TeamEvent.UNREACHABLE, TeamEvent.RELEASE, TeamEvent.PUSH]


async def test_what_was_released_before_the_server_went_away_is_sent_with_the_same_noise(
    pusher: Contributor,
) -> None:
    await pusher.learn("one", "two")
    async with pusher.opened() as (store, coordinator):
        prepared = await coordinator.privacy.prepare_release()
        assert len(await store.releases.pending()) == 1
        report = await coordinator.push_to_central()
        assert report.sent == (prepared.release_id,)
        assert report.prepared.outcome is Preparation.NOTHING_NEW


async def test_an_exhausted_budget_refuses_in_words_and_keeps_the_tasks(team: Team) -> None:
    rules = sharing(privacy_epsilon_per_release=20.0, privacy_epsilon_lifetime=20.0)
    pusher = (await team(3, rules))[0]
    await pusher.learn("one", "two")
    async with pusher.opened() as (store, coordinator):
        await coordinator.push_to_central()
        await pusher.learn("three", "four")
        report = await coordinator.push_to_central()
        assert report.is_refused
        assert "one more does not fit" in report.words
        assert (await coordinator.privacy.status()).task_count == 2
        assert len(await store.releases.sent()) == 1


async def test_a_team_too_small_is_refused_before_anything_is_spent(team: Team) -> None:
    pusher = (await team(2))[0]
    await pusher.learn("one", "two")
    async with pusher.opened() as (store, coordinator):
        report = await coordinator.push_to_central()
        assert report.is_refused
        assert "the team has 2 contributors, and at least 3 are needed" in report.words
        assert await store.privacy_ledger.spent_nano_rho() == 0


async def test_with_sharing_off_nothing_connects_and_the_words_say_how_to_turn_it_on(team: Team) -> None:
    local = replace((await team())[0], settings=sharing(is_sharing=False))
    async with local.opened() as (_, coordinator):
        with pytest.raises(PrivacyError, match=r"team\.is_sharing .* QE_TEAM_URL"):
            await coordinator.push_to_central()
        with pytest.raises(PrivacyError, match="nothing leaves this database"):
            await coordinator.sync_from_central()
    assert await kinds(local) == [TeamEvent.REFUSAL, TeamEvent.REFUSAL]


async def test_a_release_shows_every_agent_and_the_audit_adds_up(pusher: Contributor) -> None:
    await pusher.learn("one", "two")
    async with pusher.opened() as (store, coordinator):
        report = await coordinator.push_to_central()
        (sent,) = await store.releases.sent()
        audit = await coordinator.privacy.audit()
        assert {name for name, _ in sent.header.agents} == set(coordinator.privacy.spaces)
        assert audit.faults == ()
        assert [line.release_id for line in audit.releases] == [report.prepared.release_id]
        assert audit.spent_epsilon == pytest.approx(20.0, rel=1e-3)


@pytest.mark.parametrize(("size", "outcome"), [(11, Preparation.RELEASED), (9, Preparation.REFUSED)])
async def test_whether_a_release_is_made_does_not_depend_on_how_tasks_are_spread_over_agents(
    team: Team, size: int, outcome: Preparation
) -> None:
    # Three contributors reach the minimum group of 30 in one pair with 11 tasks each, with 9 they cannot.
    alike, moved, _ = await team(3, sharing(minimum_group=30))
    names = [f"task-{number}" for number in range(size)]
    await alike.learn(*names)
    await moved.learn(*names[1:])
    await moved.learn(names[0], agent=AGENTS[1])
    for contributor in (alike, moved):
        async with contributor.opened() as (_, coordinator):
            assert (await coordinator.privacy.prepare_release(3)).outcome is outcome


async def test_of_pushes_at_the_same_time_one_releases_and_the_other_finds_nothing(
    pusher: Contributor,
) -> None:
    await pusher.learn("one", "two")

    async def pushed() -> PushReport:
        async with pusher.opened() as (_, coordinator):
            return await coordinator.push_to_central()

    reports = await asyncio.gather(*(pushed() for _ in range(3)))
    outcomes = sorted(report.prepared.outcome for report in reports)
    assert outcomes == [Preparation.NOTHING_NEW, Preparation.NOTHING_NEW, Preparation.RELEASED]
    async with pusher.opened() as (store, _):
        assert len(await store.privacy_ledger.entries()) == 1
        assert len(await store.releases.sent()) == 1
