"""What a server must be, and repeating what PostgreSQL broke off."""

from typing import cast

import asyncpg
import pytest

from qe_core.errors import ConfigError, DatabaseUnavailableError, MigrationError, StoreError
from qe_core.store.connection import TRANSIENT_ATTEMPTS, Database, check_server, explained
from qe_core.store.migration import check_revision, latest_revision

URL = "postgresql://me:secret@host/qe"


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Database:
    """A database that is never connected to and does not wait between attempts."""

    async def no_wait(_self: Database, _attempt: int) -> None:
        return None

    monkeypatch.setattr(Database, "back_off", no_wait)
    return Database(cast(asyncpg.Pool, None), URL)


@pytest.mark.parametrize(("number", "text"), [(140000, "14.0"), (160014, "16.14"), (180004, "18.4")])
def test_servers_from_14_on_are_accepted(number: int, text: str) -> None:
    check_server(number, text, is_read_only=False)


@pytest.mark.parametrize(("number", "text"), [(130099, "13.99"), (90624, "9.6.24")])
def test_older_servers_are_refused_by_version(number: int, text: str) -> None:
    with pytest.raises(
        DatabaseUnavailableError, match=f"is PostgreSQL {text}; version 14 or later is needed"
    ):
        check_server(number, text, is_read_only=False)


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (asyncpg.CannotConnectNowError("starting up"), DatabaseUnavailableError, "try again in a moment"),
        (TimeoutError(), DatabaseUnavailableError, "does not answer within 10 s"),
        (OSError("no route to host"), DatabaseUnavailableError, "cannot be reached: no route to host"),
        (asyncpg.ClientConfigurationError("odd"), ConfigError, "cannot be used: odd"),
        (asyncpg.InvalidCatalogNameError("no qe"), MigrationError, "qe db migrate"),
    ],
)
def test_a_refused_connection_is_explained_without_the_password(
    error: Exception, kind: type[Exception], message: str
) -> None:
    found = explained(error, URL)
    assert isinstance(found, kind)
    assert message in str(found)
    assert "secret" not in str(found)


def test_an_error_of_another_kind_is_passed_on() -> None:
    mistake = KeyError("bug")
    assert explained(mistake, URL) is mistake


async def test_a_deadlock_is_repeated_and_counted(database: Database) -> None:
    failures = iter([asyncpg.DeadlockDetectedError("a"), asyncpg.SerializationError("b")])

    async def operation() -> str:
        for failure in failures:
            raise failure
        return "done"

    assert await database.repeated(operation) == "done"
    assert (database.counter.snapshot().deadlocks, database.counter.snapshot().retries) == (2, 2)


async def test_endless_deadlocks_end_in_a_clear_error(database: Database) -> None:
    async def operation() -> None:
        raise asyncpg.DeadlockDetectedError("again")

    with pytest.raises(StoreError, match=f"broke this transaction off {TRANSIENT_ATTEMPTS} times"):
        await database.repeated(operation)


def test_schemas_that_do_not_fit_say_what_to_do() -> None:
    check_revision(latest_revision(), "qe")
    for found, message in (
        (None, "run: qe db migrate"),
        ("0000", "run: qe db migrate"),
        ("9999", "upgrade qe-fleet"),
    ):
        with pytest.raises(MigrationError, match=message):
            check_revision(found, "qe")
