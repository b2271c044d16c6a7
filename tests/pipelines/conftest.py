"""A filled database, a learned one, and a real Dagster instance on PostgreSQL.

Each test gets databases of its own, copied from a template that is filled, or learned, once for each process.
"""

import asyncio
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import psycopg2
import pytest
from psycopg2 import sql

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # deprecations among dbt's own dependencies, at import
    import dagster_dbt  # noqa: F401

from qe_core.fleet import AgentContract, registry
from qe_core.store import Store
from qe_core.store.server import EmbeddedServer

EPISODES = 60
STEPS = 4
_numbers = count()


def experience_columns(
    contract: AgentContract, episodes: int, seed: int, first_episode: int = 0, steps: int = STEPS
) -> dict[str, Any]:
    """Return random experiences of one agent that its contract and the log accept, an hour old at most."""
    generator = np.random.default_rng([seed, *contract.name.encode()])
    states = generator.integers(0, contract.state_count, (episodes, steps + 1))
    total = episodes * steps
    is_last = np.arange(total) % steps == steps - 1
    start = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1) + timedelta(seconds=first_episode)
    return {
        "occurred_at": [start + timedelta(milliseconds=100 * row) for row in range(total)],
        "agent": contract.name,
        "episode": [f"e{first_episode + row // steps}" for row in range(total)],
        "step": np.arange(total) % steps,
        "state": states[:, :-1].ravel(),
        "action": generator.integers(0, contract.action_count, total),
        "reward": generator.normal(5.0, 10.0, total).clip(-100.0, 100.0),
        "next_state": states[:, 1:].ravel(),
        "terminated": is_last,
        "truncated": False,
        "propensity": 1.0 / contract.action_count,
        "exploration_rate": 0.1,
        "success": [True if last else None for last in is_last],
        "fingerprint": contract.fingerprint,
        "source": "simulated",
    }


async def append_experiences(url: str, episodes: int, seed: int = 0, first_episode: int = 0) -> None:
    """Append random experiences of every registered agent."""
    async with Store.connect(url) as store:
        for contract in registry():
            await store.experiences.append(experience_columns(contract, episodes, seed, first_episode))


def run_sql(url: str, statement: str, *names: str) -> list[tuple[Any, ...]]:
    """Return what one statement answers, outside a transaction; ``names`` are quoted identifiers."""
    with closing(psycopg2.connect(url)) as session:
        session.autocommit = True
        with session.cursor() as cursor:
            cursor.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
            return cursor.fetchall() if cursor.description else []


def dump(url: str, *, without: Mapping[str, str] | None = None) -> dict[str, list[str]]:
    """Return every row of every product table as text, sorted; floats in the digits that identify their bits.

    Args:
        url: the database.
        without: by table, an SQL expression over the row ``line`` to show instead of the whole row.
    """
    tables = run_sql(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    shown = without or {}
    return {
        name: [
            row[0]
            for row in run_sql(
                url, f"SELECT ({shown.get(name, 'line')})::text FROM {{}} AS line ORDER BY 1", name
            )
        ]
        for (name,) in tables
    }


@pytest.fixture(scope="session")
def project_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project home for this test process, in which the dbt manifest is prepared once."""
    return tmp_path_factory.mktemp("project")


@pytest.fixture(scope="session")
def definitions(project_home: Path) -> dg.Definitions:
    """The project's definitions; loading them prepares the dbt manifest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QE_HOME", str(project_home))
        from qe_pipelines.definitions import definitions

        return definitions


def copied(server: EmbeddedServer, template: str, name: str) -> str:
    """Return the URL of a new copy of a database nobody is connected to."""
    run_sql(server.url("postgres"), "CREATE DATABASE {} TEMPLATE {}", name, template)
    return server.url(name)


@pytest.fixture(scope="session")
def filled_template(postgres_server: EmbeddedServer) -> str:
    """The name of a database whose log holds experiences of every agent, and nothing learned from them."""
    asyncio.run(append_experiences(copied(postgres_server, "qe_template", "filled"), EPISODES))
    return "filled"


@dataclass(frozen=True, slots=True)
class Learned:
    """What one run of the whole graph on the real instance left.

    Attributes:
        template: the name of the database it filled.
        messages: what it told while it ran.
        run_id: of the run.
    """

    template: str
    messages: tuple[Mapping[str, Any], ...]
    run_id: str


@pytest.fixture(scope="session")
def learned(
    postgres_server: EmbeddedServer,
    filled_template: str,
    project_home: Path,
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
) -> Learned:
    """The whole graph, materialised once for this test process."""
    url = copied(postgres_server, filled_template, "learned")
    messages: list[Mapping[str, Any]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QE_HOME", str(project_home))
        patch.setenv("QE_DATABASE_URL", url)
        from qe_pipelines.materialize import materialize

        assert materialize(instance, messages.append), messages
    run_id = instance.get_run_ids(limit=1)[0]
    return Learned("learned", tuple(messages), run_id)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, project_home: Path) -> Callable[[str], str]:
    """Make a database the project's own for this test; returns its URL."""

    def use(url: str) -> str:
        monkeypatch.setenv("QE_HOME", str(project_home))
        monkeypatch.setenv("QE_DATABASE_URL", url)
        return url

    return use


def _copy(server: EmbeddedServer, template: str) -> Iterator[str]:
    name = f"pipelines_{next(_numbers)}"
    yield copied(server, template, name)
    run_sql(server.url("postgres"), "DROP DATABASE {} WITH (FORCE)", name)


@pytest.fixture
def filled_url(
    postgres_server: EmbeddedServer, filled_template: str, environment: Callable[[str], str]
) -> Iterator[str]:
    """The project's database: experiences, nothing learned."""
    for url in _copy(postgres_server, filled_template):
        yield environment(url)


@pytest.fixture
def learned_url(
    postgres_server: EmbeddedServer, learned: Learned, environment: Callable[[str], str]
) -> Iterator[str]:
    """The project's database: experiences, tables, statistics, views."""
    for url in _copy(postgres_server, learned.template):
        yield environment(url)


@pytest.fixture(scope="session")
def dagster_home(postgres_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Dagster home whose storage is in the test server."""
    from qe_pipelines.home import prepare_dagster_home

    return prepare_dagster_home(tmp_path_factory.mktemp("dagster"), postgres_server.url("qe_template"))


@pytest.fixture(scope="session")
def instance(dagster_home: Path) -> Iterator[dg.DagsterInstance]:
    """The real instance, on PostgreSQL."""
    with dg.DagsterInstance.from_config(str(dagster_home)) as found:
        yield found


@pytest.fixture
def quick_instance() -> Iterator[dg.DagsterInstance]:
    """An instance of its own in memory, for tests that look at the product's database alone."""
    with dg.DagsterInstance.ephemeral() as found:
        yield found


@pytest.fixture
def subprocess_environment(
    project_home: Path, dagster_home: Path, environment: Callable[[str], str]
) -> Callable[[str], dict[str, str]]:
    """The environment of a program of the project on a database."""

    def make(url: str) -> dict[str, str]:
        own = {"QE_HOME": str(project_home), "QE_DATABASE_URL": url, "DAGSTER_HOME": str(dagster_home)}
        return {**os.environ, **own}

    return make


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Forgive Dagster and dbt their own deprecation warnings here; everybody else's stay errors.

    Whole graphs and servers are started here, and on a busy machine that takes its time.
    """
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(900))
            item.add_marker(pytest.mark.filterwarnings("ignore::DeprecationWarning:dagster.*"))
            item.add_marker(pytest.mark.filterwarnings("ignore::DeprecationWarning:dbt.*"))
            item.add_marker(pytest.mark.filterwarnings("ignore:.*backfill_policy.*"))
