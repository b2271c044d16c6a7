"""Opening the store for a command.

What belongs here: finding the database, bringing an embedded one up to date, running a command's coroutine.
What does not: what commands do with the store.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from qe_core.store import Store
    from qe_core.store.identity import Identity

T = TypeVar("T")


def wait_for(work: Coroutine[Any, Any, T]) -> T:
    """Return what the coroutine returns; Ctrl-C cancels it cleanly first."""
    return asyncio.run(work)


@asynccontextmanager
async def opened_store(identity: "Identity | None" = None) -> AsyncIterator["Store"]:
    """Yield the project's store; the embedded server is started and brought up to date first.

    A server of the user's own is never migrated in passing: that is `qe db migrate`.

    Args:
        identity: whose the experiences are that the command stores; None where it stores none.

    Raises:
        StoreError: it cannot be opened; the message says what to do.
    """
    from qe_core.store import Store  # keeps `qe --help` quick
    from qe_core.store.identity import NOBODY

    async with Store.connect(await project_database(), identity=identity or NOBODY) as store:
        yield store


async def project_database() -> str:
    """Return the URL of the project's database; an embedded server is started and brought up to date first.

    Raises:
        StoreError: it cannot be started.
    """
    from qe_core.config import configured_database_url  # keeps `qe --help` quick
    from qe_core.store import migrate
    from qe_core.store.server import database_url

    url = database_url()
    if configured_database_url() is None:
        await migrate(url)
    return url
