"""The server killed in the middle of a rollback: the old state or the new one, whole."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import psycopg2
import pytest

from qe_core.errors import StoreError
from qe_core.store import Store, alerts, migrate, rollbacks, serving_changes, snapshots
from qe_core.store.errors import OutcomeUnknownError
from qe_core.store.policies import Mode
from qe_core.store.server import EmbeddedServer
from qe_core.store.statements import STATEMENTS
from tests.conftest import THROWAWAY_SETTINGS
from tests.integration.store.playing import AGENT, CONTRACT, frozen_bits, live_bits, play

DUMPED = (
    "q_tables",
    "q_values",
    "table_snapshots",
    "snapshot_rows",
    "policy_versions",
    "policy_aliases",
    "agent_modes",
    "policy_history",
    "ab_tests",
    "ab_stages",
    "rollback_events",
    "excluded_experiences",
    "alerts",
    "alert_deliveries",
)
"""All a rollback touches."""

STATEMENTS_INSIDE = (
    "lock_agent",
    "store_differing_rows",
    "end_test",
    "remove_alias",
    "restore_rows",
    "remove_rows_not_frozen",
    "restore_table",
    "insert_rollback",
    "see_alert",
    "queue_delivery",
    "announce_serving",
    "read_rollbacks",
)
"""Where the server is killed: before each of these, in the order in which a rollback sends them."""

_numbers = count()


class DeadlyStatements(Mapping[str, str]):
    """The store's statements; looking one of them up kills the server first."""

    def __init__(self, deadly: str, kill: Callable[[], None]) -> None:
        self.deadly, self.kill = deadly, kill
        self.has_struck = False

    def __getitem__(self, name: str) -> str:
        if name == self.deadly and not self.has_struck:
            self.has_struck = True
            self.kill()
        return STATEMENTS[name]

    def __iter__(self) -> Iterator[str]:
        return iter(STATEMENTS)

    def __len__(self) -> int:
        return len(STATEMENTS)


def state_of(url: str) -> dict[str, list[str]]:
    """Return every row of all a rollback touches, as text."""
    found: dict[str, list[str]] = {}
    with closing(psycopg2.connect(url)) as session, session.cursor() as cursor:
        for table in DUMPED:
            cursor.execute(f"SELECT one::text FROM {table} AS one ORDER BY 1")
            found[table] = [row for (row,) in cursor.fetchall()]
    return found


def kill(server: EmbeddedServer) -> None:
    """End the server at once; its children notice and end themselves."""
    postmaster = server.status().pid
    assert postmaster is not None
    os.kill(postmaster, signal.SIGKILL)


def kill_backends(server: EmbeddedServer, url: str) -> Callable[[], None]:
    """Return what kills the server with the sessions it has."""

    def strike() -> None:
        with closing(psycopg2.connect(url)) as session, session.cursor() as cursor:
            cursor.execute("SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
            children = [pid for (pid,) in cursor.fetchall()]
        kill(server)
        for child in children:
            # Some end by themselves as soon as the server is gone.
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

    return strike


async def prepare(url: str) -> int:
    """Have a served version harm in a test; return the version to go back to."""
    async with Store.connect(url) as store, store.live() as live:
        numbers = []
        for reward in (10.0, 20.0):
            await play(store, live, [reward] * 3)
            version = await store.policies.snapshot(CONTRACT, reason="test", by="me")
            numbers.append(version.number)
        good, bad = numbers
        await store.policies.promote(AGENT, good, by="me", why="good")
        await store.ab_tests.start(
            AGENT, key=f"{good} or {bad}", control=good, treatment=bad, by="me", why="try"
        )
        await play(store, live, [-100.0] * 4, states=9)
        return good


async def roll_back(url: str) -> None:
    async with Store.connect(url) as store:
        await store.policies.rollback(AGENT, trigger="test", evidence={"a": 1}, by="watch")


async def assert_it_is_rolled_back(url: str, good: int, before: dict[str, list[str]]) -> None:
    """Everything a rollback does has happened, once."""
    async with Store.connect(url) as store:
        [event] = await store.policies.rollbacks(AGENT)
        assert event.to_version == good
        assert await live_bits(store) == await frozen_bits(store, good)
        state = (await store.policies.serving([AGENT]))[AGENT]
        assert (state.mode, state.stable, state.candidate, state.test) == (Mode.SERVING, good, None, None)
        assert state.epoch == event.epoch_before + 1
        assert len(await store.alerts.list_alerts()) == 1
        assert len(await store.policies.history(AGENT)) == len(before["policy_history"]) + 1


@pytest.fixture(scope="module")
def mortal_server(server_directory: Path) -> Iterator[EmbeddedServer]:
    """A server of its own to be killed, again and again."""
    with EmbeddedServer(server_directory / "killed", settings=THROWAWAY_SETTINGS) as server:
        yield server


@pytest.fixture
async def mortal_url(mortal_server: EmbeddedServer) -> str:
    """A fresh, migrated database on it."""
    mortal_server.start()
    url = mortal_server.url(f"killed_{next(_numbers)}")
    await migrate(url)
    return url


@pytest.mark.parametrize("statement", STATEMENTS_INSIDE)
async def test_killed_before_a_statement_everything_is_as_it_was_and_the_next_rollback_succeeds(
    mortal_server: EmbeddedServer, mortal_url: str, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    good = await prepare(mortal_url)
    before = state_of(mortal_url)
    deadly = DeadlyStatements(statement, kill_backends(mortal_server, mortal_url))
    for module in (rollbacks, snapshots, serving_changes, alerts):
        monkeypatch.setattr(module, "STATEMENTS", deadly)
    with pytest.raises(OutcomeUnknownError, match="whole or not at all: look at"):
        await roll_back(mortal_url)
    assert deadly.has_struck
    await asyncio.to_thread(mortal_server.start)
    assert state_of(mortal_url) == before
    await roll_back(mortal_url)
    await assert_it_is_rolled_back(mortal_url, good, before)


async def test_killed_at_any_moment_a_rollback_has_happened_whole_or_not_at_all(
    mortal_server: EmbeddedServer, mortal_url: str
) -> None:
    good = await prepare(mortal_url)
    before = state_of(mortal_url)
    rng = np.random.default_rng(3)
    outcomes: dict[str, int] = {"old": 0, "new": 0}
    for _ in range(6):
        strike = kill_backends(mortal_server, mortal_url)

        async def strike_soon(strike: Callable[[], Any] = strike) -> None:
            await asyncio.sleep(float(rng.uniform(0.05, 0.25)))
            await asyncio.to_thread(strike)

        results = await asyncio.gather(roll_back(mortal_url), strike_soon(), return_exceptions=True)
        assert isinstance(results[0], StoreError | None)
        assert results[1] is None
        await asyncio.to_thread(mortal_server.start)
        after = state_of(mortal_url)
        if after == before:
            outcomes["old"] += 1
            continue
        outcomes["new"] += 1
        await assert_it_is_rolled_back(mortal_url, good, before)
        break
    assert results[0] is not None or outcomes["new"] == 1, "what was acknowledged is there"
