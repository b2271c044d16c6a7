"""`qe pilot` for real: played live, watched by the graph on its own instance; a second run adds nothing."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psycopg2
import pytest

from qe_core.config import Settings
from qe_core.fleet.test_generation import TEST_GENERATOR
from qe_core.runtime.episodes import Episode, Outcome
from qe_core.runtime.journal import FileJournal
from qe_core.runtime.learner import Learner
from qe_core.runtime.pilot.plan import forget
from qe_core.runtime.pilot.tasks import synthetic_tasks
from qe_core.store import Store
from qe_core.store.server.project import DAGSTER_DATABASE, project_server

Run = Callable[..., subprocess.CompletedProcess[str]]


def asked(home: Path, database: str, statement: str) -> list[tuple[object, ...]]:
    """What the pilot's own server answers."""
    with project_server(home) as server:
        session = psycopg2.connect(server.url(database))
        with session.cursor() as cursor:
            cursor.execute(statement)
            found = cursor.fetchall()
        session.close()
    return found


async def leave_noted(home: Path, session: str) -> None:
    """What a process leaves that is killed when its first outcome is known and not yet stored."""
    task, rng = synthetic_tasks(6, 0, 0)[0], np.random.default_rng(1)
    with project_server(home) as server:
        async with Store.connect(server.url()) as store, store.live() as live:
            learner = await Learner.open(live, TEST_GENERATOR, Settings(), rng)
            token = learner.token(await learner.decide(task.context, Episode(session)))
    with FileJournal(home / "notes") as notes:
        notes.decided(token)
        notes.happened(token, Outcome(points=5.0, next_context=task.first_state))


@pytest.mark.timeout(600)
async def test_a_pilot_is_played_watched_and_judged_and_goes_on_where_it_stopped(
    qe: Callable[..., object], store: Store, server_directory: Path
) -> None:
    home = server_directory / "home of pilot"
    small = ("pilot", "--tasks", "6", "--episodes")
    try:
        first = await qe(*small, "1", QE_HOME=str(home))
        assert first.returncode == 0, first.stderr
        for words in ("exact optimum", "learned", "best fixed action", "random", "of the decisions"):
            assert words in first.stdout
        assert "verdict: insufficient data after 1 window: 1 of 10 windows" in first.stdout
        assert "6 synthetic tasks" in first.stdout
        assert "the graph looked 1 times" in first.stdout
        own = home / "pilot" / "synthetic"
        runs = "SELECT pipeline_name, status, count(*) FROM runs GROUP BY 1, 2"
        assert asked(own, DAGSTER_DATABASE, runs) == [("learn", "SUCCESS", 2)]
        assert asked(own, "qe", "SELECT count(DISTINCT episode) FROM learning_experiences") == [(6,)]

        await leave_noted(own, "pilot-001-synthetic-000")
        more = await qe(*small, "2", QE_HOME=str(home))
        assert "7 tasks had been done before; 5 more were done now" in more.stderr
        assert more.returncode == 0, more.stderr
        assert "5 synthetic tasks" in more.stdout

        again = await qe(*small, "2", QE_HOME=str(home))
        assert "12 tasks had been done before; nothing was played now" in again.stderr
        assert again.stdout == "".join(
            line for line in more.stdout.splitlines(keepends=True) if not line.startswith("5 synthetic")
        )
        other = await qe("pilot", "--tasks", "7", "--episodes", "2", QE_HOME=str(home))
        assert other.returncode == 1
        assert "begin anew with --fresh" in other.stderr
    finally:
        forget(home / "pilot" / "synthetic")
    assert await store.experiences.counts() == []
    assert not (home / "pilot" / "synthetic").exists()


@pytest.mark.timeout(600)
async def test_the_recorded_pilot_is_judged_on_packages_it_never_saw(
    qe: Callable[..., object], server_directory: Path
) -> None:
    home = server_directory / "home of recorded pilot"
    try:
        done = await qe(
            "pilot", "--recorded", "--tasks", "4", "--episodes", "1", "--fresh", QE_HOME=str(home)
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("test-generator on held-out packages") == 4
        assert "rule: best fixed order" in done.stdout
        assert "4 recorded tasks" in done.stdout
    finally:
        forget(home / "pilot" / "recorded")
