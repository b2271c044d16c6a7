"""What one process opens to learn together with others.

What belongs here: opening and closing the parts in the right order. What does not: the parts.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from qe_core.store.connection import Database
from qe_core.store.live.settings import LiveSettings
from qe_core.store.live.writer import UpdateWriter


@dataclass(frozen=True, slots=True)
class Live:
    """The hot path of one process, inside one event loop.

    Attributes:
        writer: records experiences and the updates they cause.
    """

    writer: UpdateWriter


@asynccontextmanager
async def open_live(database: Database, settings: LiveSettings) -> AsyncIterator[Live]:
    """Yield the hot path; on the way out what was recorded is committed first.

    Args:
        database: where the tables are.
        settings: sizes and deadlines.
    """
    writer = UpdateWriter(database.connect_alone, settings)
    writer.start()
    try:
        yield Live(writer)
    finally:
        await writer.close()
