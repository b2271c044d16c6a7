"""A founded team with contributors that have databases of their own."""

from collections.abc import Awaitable, Callable, Iterator
from itertools import count

import pytest

from qe_core.config import Settings
from qe_core.store.server import EmbeddedServer
from tests.conftest import TEMPLATE, execute
from tests.integration.runtime.team.nursery import Contributor, founded, sharing

_numbers = count()


@pytest.fixture
def new_database(postgres_server: EmbeddedServer) -> Iterator[Callable[[], str]]:
    """Makes fresh, migrated databases, dropped afterwards."""
    made: list[str] = []

    def make() -> str:
        made.append(f"team_{next(_numbers)}")
        execute(postgres_server.url("postgres"), "CREATE DATABASE {} TEMPLATE {}", made[-1], TEMPLATE)
        return postgres_server.url(made[-1])

    yield make
    for name in made:
        execute(postgres_server.url("postgres"), "DROP DATABASE {} WITH (FORCE)", name)


@pytest.fixture
def team(new_database: Callable[[], str]) -> Callable[..., Awaitable[list[Contributor]]]:
    """Founds a team and returns its contributors."""

    async def make(size: int = 3, settings: Settings | None = None) -> list[Contributor]:
        urls = await founded(new_database(), size)
        rules = sharing() if settings is None else settings
        return [
            Contributor(f"member-{number}", new_database(), url, rules) for number, url in enumerate(urls)
        ]

    return make
