"""Nothing depends on a clock that runs on: neither on the server's nor on the writer's."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import uuid4

import pytest

from qe_core.store import Store, TableHandle
from qe_core.store.connection import Database, open_database
from qe_core.store.live.flush import Flush
from qe_core.store.live.packing import pack_singles
from qe_core.store.live.sender import Sender
from qe_core.store.live.settings import LiveSettings
from qe_core.store.live.writer import UpdateWriter
from tests.faults.place import ask
from tests.faults.test_bad_inputs import GOOD

SENDING_SECONDS = 30.0

_STEP_BACK = (
    "UPDATE flushes SET committed_at = committed_at + interval '7 hours'",
    "UPDATE experience_chunks SET arrived_at = arrived_at + interval '7 hours'",
    "UPDATE q_tables SET updated_at = updated_at + interval '7 hours'",
    "UPDATE q_values SET updated_at = updated_at + interval '7 hours'",
)
"""To what is stored, a server's clock that was stepped back is one it was ahead of."""


@pytest.fixture
async def handle(store: Store) -> TableHandle:
    """The table that is written to."""
    return await store.q_tables.ensure("individual", "tester", "contract-1", 7, ["plan", "act", "stop"])


def stepped_clock() -> Callable[[], datetime]:
    """Return a clock that goes back an hour every time it is read."""
    hours = count()
    return lambda: datetime.now(UTC) - timedelta(hours=next(hours))


def flush_of(handle: TableHandle, episode: str) -> Flush:
    """Return a flush of one update, ready to be sent again and again."""
    packed = pack_singles([GOOD._replace(episode=episode)], [8.0], [0.5])
    return Flush.compose(uuid4(), handle, [packed], "agent")


async def test_a_flush_is_recognised_though_the_servers_clock_went_back(
    database_url: str, handle: TableHandle
) -> None:
    async with open_database(database_url, pool_size=1) as database:
        sender = Sender(database.connect_alone, uuid4(), SENDING_SECONDS)
        flush = flush_of(handle, "first")
        first = await sender.send(flush)
        for statement in _STEP_BACK:
            ask(database_url, statement)
        again = await sender.send(flush)
        second = await sender.send(flush_of(handle, "second"))
        sender.close()
    assert (first.version, first.is_repeated) == (1, False)
    assert (again.version, again.is_repeated) == (1, True)
    assert (second.version, second.is_repeated) == (2, False)
    assert ask(database_url, "SELECT q, visits FROM q_values_long WHERE visits > 0") == [(6.0, 2)]
    [[is_older]] = ask(
        database_url,
        "SELECT later.arrived_at < earlier.arrived_at FROM experience_chunks AS later, "
        "experience_chunks AS earlier WHERE later.table_version = 2 AND earlier.table_version = 1",
    )
    assert is_older, "the later flush was stamped earlier"
    in_order = ask(database_url, "SELECT episode FROM learning_experiences ORDER BY experience_id")
    assert in_order == [("first",), ("second",)], "arrival is numbered, not dated"


async def test_records_are_taken_though_the_writers_clock_goes_back_all_the_time(
    database_url: str, handle: TableHandle
) -> None:
    async with open_database(database_url, pool_size=1) as database:
        acknowledged = await _record_twenty(database, handle, stepped_clock())
    assert acknowledged == list(range(1, 21))
    stored = ask(database_url, "SELECT episode, occurred_at FROM learning_experiences ORDER BY experience_id")
    assert [int(episode) for episode, _ in stored] == list(range(20))
    moments = [moment for _, moment in stored]
    assert moments == sorted(moments, reverse=True)
    assert ask(database_url, "SELECT sum(visits)::int FROM q_values_long") == [(20,)]


async def _record_twenty(database: Database, handle: TableHandle, clock: Callable[[], datetime]) -> list[int]:
    writer = UpdateWriter(database.connect_alone, LiveSettings(), clock)
    writer.start()
    try:
        versions = []
        for number in range(20):
            experience = GOOD._replace(episode=str(number), occurred_at=clock())
            async with asyncio.timeout(SENDING_SECONDS):
                acknowledged = await writer.record(handle, experience, 8.0, 0.5)
            versions.append(acknowledged.version)
        return versions
    finally:
        await writer.close()
