"""The short form of the interleavings, for every run of the tests; the long one is a command of its own.

Random stories without kills, since each costs a process; and by name the kills that leave most half done.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from qe_core.runtime.team.reports import Preparation
from qe_core.store.server import EmbeddedServer
from tests.conftest import TEMPLATE, execute
from tests.integration.runtime.team.nursery import AGENTS, Contributor, founded, sharing
from tests.team_interleavings.dying import Act, acted, killed
from tests.team_interleavings.machine import NOWHERE, machine

SHORT = settings(
    max_examples=2,
    stateful_step_count=8,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def test_whatever_happens_everybody_ends_with_the_same_knowledge_and_nothing_counts_twice(
    postgres_server: EmbeddedServer,
) -> None:
    run_state_machine_as_test(machine(postgres_server, is_killing=False), settings=SHORT)


@pytest.fixture
async def team(postgres_server: EmbeddedServer) -> AsyncIterator[tuple[str, list[Contributor]]]:
    """A server and three contributors; two have shared, the third has tasks to share."""
    names = [f"killed_{number}" for number in range(4)]
    for name in names:
        execute(postgres_server.url("postgres"), "CREATE DATABASE {} TEMPLATE {}", name, TEMPLATE)
    central, *locals_ = map(postgres_server.url, names)
    urls = await founded(central, 3)
    contributors = [
        Contributor(name, local, url, sharing())
        for name, local, url in zip("abc", locals_, urls, strict=True)
    ]
    for contributor in contributors:
        await contributor.learn(*(f"{contributor.name}-{number}" for number in range(8)))
    for contributor in contributors[:2]:
        await acted(Act.PUSH, contributor, central)
    yield central, contributors
    for name in names:
        execute(postgres_server.url("postgres"), "DROP DATABASE {} WITH (FORCE)", name)


async def test_a_push_killed_anywhere_is_completed_by_the_next_and_counts_once(
    team: tuple[str, list[Contributor]],
) -> None:
    central, (*_, last) = team
    after_commit, after_submit = 2, 4
    assert await asyncio.to_thread(killed, Act.PUSH, after_commit, last, central)
    async with last.opened() as (store, coordinator):
        (pending,) = await store.releases.pending()
    assert await asyncio.to_thread(killed, Act.PUSH, after_submit, last, central)
    async with last.opened() as (store, coordinator):
        report = await coordinator.push_to_central()
        assert report.known == (pending.header.release_id,)
        assert (report.sent, report.pending) == ((), 0)
        assert report.prepared.outcome is Preparation.NOTHING_NEW
        assert len(await store.privacy_ledger.entries()) == 1


async def test_a_pull_killed_before_it_was_merged_is_completed_by_the_next_with_the_server_away(
    team: tuple[str, list[Contributor]],
) -> None:
    central, (*_, last) = team
    await acted(Act.PUSH, last, central)
    await acted(Act.BUILD, last, central)
    after_save = 1
    assert await asyncio.to_thread(killed, Act.PULL, after_save, last, central)
    async with replace(last, team_url=NOWHERE).opened() as (_, coordinator):
        before = [table for table in (await coordinator.status()).tables if table.version]
        # The agent nobody used may be known as well, by noise alone: these tests ask for no sureness.
        assert AGENTS[0] in {table.agent for table in before}
        assert not any(table.is_merged for table in before)
        report = await coordinator.sync_from_central()
        assert {one.agent for one in report.rebuilt} == {table.agent for table in before}
        assert all(table.is_merged for table in (await coordinator.status()).tables)
