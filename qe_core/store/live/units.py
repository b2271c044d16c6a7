"""Units of A/B tests on their way to the database: gathered, sent together, tried again.

What belongs here: the queue and its worker. What does not: who is assigned what (`qe_core.runtime.rollout`)
and what a unit's row means (`qe_core.store.ab_tests`).

Nobody waits for it. What a killed process takes with it is a second's worth of units; the sample-ratio check
counts what arrived, and the experiences themselves are in the log.
"""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass, fields

import numpy as np

from qe_core.errors import DatabaseUnavailableError, StoreError
from qe_core.store.ab_tests import ABTestStore, UnitRow
from qe_core.store.connection import backoff_seconds

LOGGER = logging.getLogger(__name__)

UNITS_REMEMBERED = 100_000
"""Units that may wait; beyond that the oldest is dropped, and counted."""

LINGER_SECONDS = 0.25
"""How long units are gathered before they are sent."""

BATCH_LIMIT = 5_000
"""Units in one statement."""


@dataclass(slots=True)
class UnitCounters:
    """What has become of units.

    Attributes:
        stored: rows that told the database something new.
        repeated: rows it knew already.
        contradicting: rows that named another arm than the first of their unit did; the first one stands.
        dropped: rows lost because too many waited, or refused, or left when the process closed.
        failed_attempts: batches that were tried again.
    """

    stored: int = 0
    repeated: int = 0
    contradicting: int = 0
    dropped: int = 0
    failed_attempts: int = 0

    def snapshot(self) -> dict[str, int]:
        """Return the counts now, by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


class UnitBatcher:
    """Sends units in the background; lives inside one event loop.

    Args:
        tests: takes them.
        deadline_seconds: how long closing waits for the last of them.

    Attributes:
        counters: what has become of them.
    """

    def __init__(self, tests: ABTestStore, deadline_seconds: float) -> None:
        self.counters = UnitCounters()
        self._tests = tests
        self._deadline_seconds = deadline_seconds
        self._waiting: dict[tuple[int, str], UnitRow] = {}
        self._under_way: dict[tuple[int, str], UnitRow] = {}
        self._is_due = asyncio.Event()
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._jitter = np.random.default_rng()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to send; call it once, inside the event loop."""
        self._task = asyncio.create_task(self._run(), name="qe-live-units")

    async def close(self) -> None:
        """Send what waits, for as long as the deadline allows, and stop; what is left is counted."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._is_idle.wait(), self._deadline_seconds)
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        if self._waiting:
            self._drop(len(self._waiting), "the process closed before the database took them")

    def add(self, row: UnitRow) -> None:
        """Send a unit soon; rows of the same unit that wait together are sent as one."""
        key = row.experiment_id, row.unit
        earlier = self._waiting.pop(key, None)
        if earlier is not None and key not in self._under_way:
            row = earlier.joined(row)
        if len(self._waiting) >= UNITS_REMEMBERED:
            del self._waiting[next(iter(self._waiting))]
            self._drop(1, "too many wait")
        self._waiting[key] = row
        self._is_idle.clear()
        self._is_due.set()

    async def drain(self) -> None:
        """Return when everything added so far was sent."""
        await self._is_idle.wait()

    async def _run(self) -> None:
        failures = 0
        while True:
            await self._is_due.wait()
            await asyncio.sleep(LINGER_SECONDS if failures == 0 else backoff_seconds(failures, self._jitter))
            batch = self._under_way = dict(list(self._waiting.items())[:BATCH_LIMIT])
            try:
                # What failed may have been stored before its answer was lost.
                await self._send(list(batch.values()), is_retry=failures > 0)
                failures = 0
            except DatabaseUnavailableError as error:
                failures += 1
                self.counters.failed_attempts += 1
                if failures == 1:
                    LOGGER.warning("units of A/B tests wait: %s", error)
                continue
            except Exception as error:
                self._drop(len(batch), repr(error))
            finally:
                self._under_way = {}
            for key, row in batch.items():
                # What was added for the same unit meanwhile is newer and waits for its turn.
                if self._waiting.get(key) is row:
                    del self._waiting[key]
            if not self._waiting:
                self._is_due.clear()
                self._is_idle.set()

    async def _send(self, rows: list[UnitRow], *, is_retry: bool) -> None:
        """Store rows; where some are refused, all the others."""
        try:
            counted = await self._tests.record_units(rows, is_retry=is_retry)
        except DatabaseUnavailableError:
            raise
        except StoreError as error:
            if len(rows) == 1:
                self._drop(1, str(error))
                return
            for row in rows:
                await self._send([row], is_retry=is_retry)
            return
        self.counters.stored += counted.new + counted.completed
        self.counters.repeated += counted.repeated
        self.counters.contradicting += counted.contradicting

    def _drop(self, count: int, why: str) -> None:
        self.counters.dropped += count
        LOGGER.warning("%d units of A/B tests are lost: %s", count, why)
