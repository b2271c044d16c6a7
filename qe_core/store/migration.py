"""Bringing a database to this version's schema.

What belongs here: creating databases, running migrations once, reading the revision. What does not: the
changes themselves (`migrations`).
"""

import asyncio
import re
from contextlib import closing
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import psycopg2
import psycopg2.errors
import psycopg2.extensions

from qe_core.errors import DatabaseUnavailableError, MigrationError
from qe_core.store.server.project import DAGSTER_DATABASE
from qe_core.store.statements import STATEMENTS
from qe_core.store.urls import checked_url, database_name, shown, with_database

_MAINTENANCE_DATABASE = "postgres"
_CONNECT_SECONDS = 10
_MIGRATION_FILE = re.compile(r"^(\d{4})_\w+\.sql$")


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """What a migration did.

    Attributes:
        from_revision: the schema before, or None where there was none.
        to_revision: the schema now.
        created_databases: databases that did not exist before.
    """

    from_revision: str | None
    to_revision: str
    created_databases: tuple[str, ...] = ()

    @property
    def is_changed(self) -> bool:
        """Whether there was anything to do."""
        return self.from_revision != self.to_revision or bool(self.created_databases)


def latest_revision() -> str:
    """Return the revision this version of the product works with, for example ``0001``."""
    names = (entry.name for entry in files("qe_core.store.migrations").joinpath("versions").iterdir())
    return max(found[1] for name in names if (found := _MIGRATION_FILE.match(name)))


def check_revision(found: str | None, database: str) -> None:
    """Do nothing if a database has this version's schema.

    Args:
        found: the database's revision, None where it has no schema yet.
        database: its name, for the message.

    Raises:
        MigrationError: the schema is missing, older or newer; the message says what to do.
    """
    wanted = latest_revision()
    if found is None:
        raise MigrationError(f"database {database} has no tables of this product yet; run: qe db migrate")
    if found < wanted:
        raise MigrationError(
            f"database {database} has schema {found}, this version needs {wanted}; run: qe db migrate"
        )
    if found > wanted:
        raise MigrationError(
            f"database {database} has schema {found}, newer than this version's {wanted}; upgrade qe-fleet"
        )


async def migrate(database_url: str) -> MigrationReport:
    """Create the product's and Dagster's databases where possible and bring the schema up to date.

    Harmless to repeat and to run from several processes at once: all but one wait.

    Raises:
        ConfigError: the URL is not a PostgreSQL URL.
        DatabaseUnavailableError: nobody answers there or refuses the login.
        MigrationError: a database is missing and cannot be created, or the schema is newer than this version.
    """
    return await asyncio.to_thread(_migrate, checked_url(database_url))


def _migrate(url: str) -> MigrationReport:
    product = database_name(url)
    created = _create_missing(url, product)
    with closing(_connect(url)) as session:
        _fetch(session, "lock_migrations")
        try:
            before = _revision(session)
            if before is not None and before > latest_revision():
                check_revision(before, product)
            if before != latest_revision():
                _upgrade(url)
            return MigrationReport(before, latest_revision(), created)
        finally:
            _fetch(session, "unlock_migrations")


def _upgrade(url: str) -> None:
    # Imported here: nothing but a real migration needs them, and they take a third of a second.
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    config = Config()
    config.set_main_option("script_location", "qe_core.store:migrations")
    config.set_main_option("path_separator", "os")
    engine = create_engine(
        "postgresql+psycopg2://", creator=lambda: psycopg2.connect(url), poolclass=NullPool
    )
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
            connection.commit()
        except psycopg2.Error as error:
            raise MigrationError(
                f"the schema of {shown(url)} could not be changed, it is as before: {error}"
            ) from error


def _create_missing(url: str, product: str) -> tuple[str, ...]:
    try:
        maintenance = _connect(with_database(url, _MAINTENANCE_DATABASE))
    except (DatabaseUnavailableError, MigrationError):
        # No access to the maintenance database: whether the product's exists, connecting to it will tell.
        return ()
    with closing(maintenance) as session:
        known = {name for (name,) in _fetch(session, "list_databases")}
        missing = [name for name in (product, DAGSTER_DATABASE) if name not in known]
        return tuple(name for name in missing if _create(session, name, is_required=name == product))


def _create(session: psycopg2.extensions.connection, name: str, *, is_required: bool) -> bool:
    quoted = psycopg2.extensions.quote_ident(name, session)
    try:
        with session.cursor() as cursor:
            cursor.execute(STATEMENTS["create_database"].replace("new_database", quoted))
    except (psycopg2.errors.DuplicateDatabase, psycopg2.errors.UniqueViolation):
        return False
    except psycopg2.errors.InsufficientPrivilege:
        if not is_required:
            return False
        raise MigrationError(
            f"database {name} does not exist and this login may not create it; "
            f'ask the server\'s administrator to run: CREATE DATABASE "{name}"'
        ) from None
    return True


def _connect(url: str) -> psycopg2.extensions.connection:
    try:
        session = psycopg2.connect(url, connect_timeout=_CONNECT_SECONDS)
    except psycopg2.OperationalError as error:
        reason = str(error).strip().splitlines()[-1]
        if "does not exist" in reason and "database" in reason:
            raise MigrationError(
                f"{shown(url)}: {reason}; create it, or use a login that may create databases"
            ) from None
        raise DatabaseUnavailableError(
            f"{shown(url)}: {reason}; check address and password in QE_DATABASE_URL"
        ) from None
    session.autocommit = True
    return session


def _revision(session: psycopg2.extensions.connection) -> str | None:
    try:
        return str(_fetch(session, "schema_revision")[0][0])
    except psycopg2.errors.UndefinedTable:
        return None


def _fetch(session: psycopg2.extensions.connection, statement: str) -> list[tuple[Any, ...]]:
    with session.cursor() as cursor:
        cursor.execute(STATEMENTS[statement])
        return list(cursor.fetchall())
