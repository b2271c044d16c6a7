"""Which database this project uses.

What belongs here: the choice between ``QE_DATABASE_URL`` and the embedded server, and where the latter keeps
its data. What does not: running it (`embedded`).
"""

import os
from hashlib import blake2b
from pathlib import Path

from qe_core.config import configured_database_url, project_home
from qe_core.store.server.account import can_enter
from qe_core.store.server.embedded import PRODUCT_DATABASE, SHARED_DIR, EmbeddedServer
from qe_core.store.urls import checked_url, with_database

DAGSTER_DATABASE = "qe_dagster"
"""The database beside the product's in which Dagster keeps runs, events and schedules."""


def project_server(home: Path | None = None, shared_dir: Path = SHARED_DIR) -> EmbeddedServer:
    """Return this project's embedded server, started or not.

    Its data is in ``postgres`` below the project's home. Run by root below a private directory, which the
    server's own account cannot enter, it is below ``shared_dir`` instead, under a name made from the home's
    path.

    Args:
        home: the project's home; None for the configured one.
        shared_dir: a directory everybody may enter, created when needed.
    """
    place = (home or project_home()) / "postgres"
    if os.geteuid() != 0 or can_enter(place):
        return EmbeddedServer(place, shared_dir=shared_dir)
    key = blake2b(os.fsencode(place), digest_size=8).hexdigest()
    return EmbeddedServer(shared_dir / key, shared_dir=shared_dir)


def database_url(database: str | None = None) -> str:
    """Return the URL of the product's database, starting the embedded server if that is the one in use.

    Args:
        database: another database on the same server, such as ``qe_dagster``.

    Raises:
        ConfigError: ``QE_DATABASE_URL`` is not a PostgreSQL URL.
        DatabaseUnavailableError: the embedded server cannot be started.
    """
    configured = configured_database_url()
    if configured is None:
        server = project_server()
        server.start()
        return server.url(database or PRODUCT_DATABASE)
    return with_database(configured, database) if database else checked_url(configured)
