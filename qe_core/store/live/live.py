"""What one process opens to learn together with others.

What belongs here: opening and closing the parts in the right order. What does not: the parts.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from qe_core.store.ab_tests import ABTestStore
from qe_core.store.connection import Database
from qe_core.store.identity import Identity
from qe_core.store.live.flush import warm_up
from qe_core.store.live.reader import Reader
from qe_core.store.live.reader_settings import ReaderSettings
from qe_core.store.live.recovery import OutcomeRecovery
from qe_core.store.live.serving import CHANNEL, ServingWatch
from qe_core.store.live.settings import LiveSettings
from qe_core.store.live.units import UnitBatcher
from qe_core.store.live.writer import UpdateWriter
from qe_core.store.policies import PolicyStore
from qe_core.store.q_tables import QTableStore


@dataclass(frozen=True, slots=True)
class Live:
    """The hot path of one process, inside one event loop.

    Attributes:
        writer: records experiences and the updates they cause.
        reader: looks up what the tables know, this process's own updates included.
        q_tables: registers tables.
        recovery: stores outcomes of decisions that another process may have recorded, or may still record.
        serving: follows what agents serve: modes, policy versions, tests.
        units: takes the units of A/B tests and sends them in the background.
        identity: whose the experiences are that it records.
    """

    writer: UpdateWriter
    reader: Reader
    q_tables: QTableStore
    recovery: OutcomeRecovery
    serving: ServingWatch
    units: UnitBatcher
    identity: Identity


@asynccontextmanager
async def open_live(
    database: Database,
    q_tables: QTableStore,
    policies: PolicyStore,
    ab_tests: ABTestStore,
    settings: LiveSettings,
    reading: ReaderSettings,
    identity: Identity,
) -> AsyncIterator[Live]:
    """Yield the hot path; on the way out what was recorded is committed first.

    Args:
        database: where the tables are.
        q_tables: the same store's.
        policies: the same store's.
        ab_tests: the same store's.
        settings: sizes and deadlines of recording.
        reading: sizes and deadlines of lookups.
        identity: whose the experiences are that this process records.
    """
    writer = UpdateWriter(database.connect_alone, settings, identity=identity)
    reader = Reader(database.connect_alone, writer, reading)
    # Loading compiled code takes a second: before the first agent waits for it, and beside the event loop.
    await asyncio.to_thread(warm_up)
    serving = ServingWatch(policies, reading)
    units = UnitBatcher(ab_tests, settings.deadline_seconds)
    reader.hear_also(CHANNEL, serving.heard)
    await reader.start()
    writer.start()
    serving.start()
    units.start()
    recovery = OutcomeRecovery(database.connect_alone, settings)
    try:
        yield Live(writer, reader, q_tables, recovery, serving, units, identity)
    finally:
        await serving.close()
        await writer.close()
        # After the last outcome is durable nobody adds a unit any more.
        await units.close()
        await reader.close()
