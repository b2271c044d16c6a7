"""Resources: what assets, checks and sensors reach the outside world through.

What belongs here: thin adapters to the product's database and settings. What does not: anything that
computes, and SQL.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cached_property

import dagster as dg

from qe_core.config import Settings, load_settings
from qe_core.store import Store
from qe_core.store.server import database_url


class FleetDatabase(dg.ConfigurableResource[None]):
    """The product's database.

    A pool of connections must not outlive its event loop, so every use opens one and closes it.

    Attributes:
        url: its PostgreSQL URL; empty for ``QE_DATABASE_URL`` or this project's embedded server.
    """

    url: str = ""

    @cached_property
    def resolved_url(self) -> str:
        """The URL in use; starts the embedded server where that is what it names."""
        return self.url or database_url()

    @asynccontextmanager
    async def store(self) -> AsyncIterator[Store]:
        """Yield an open store."""
        async with Store.connect(self.resolved_url) as store:
            yield store


class FleetSettings(dg.ConfigurableResource[None]):
    """The product's settings, read when a run starts: editing ``learning.json`` needs no restart."""

    @property
    def values(self) -> Settings:
        """The effective settings."""
        return load_settings().values
