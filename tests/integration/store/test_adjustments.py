"""Adjustments against PostgreSQL: the newest holds, and every change is on record."""

import asyncio

from qe_core.learning.divergence_response import NEUTRAL, Adjustment
from qe_core.store import Store

HALF = Adjustment(0.5, 0.1)


async def test_nothing_holds_before_the_first_adjustment(store: Store) -> None:
    assert await store.adjustments.present("quality-gate") == NEUTRAL
    assert await store.adjustments.history() == []


async def test_a_change_is_recorded_with_who_when_why_before_and_after(store: Store) -> None:
    record = await store.adjustments.adjust("quality-gate", HALF, "monitor", "diverging", "returns fell")
    assert record is not None
    assert (record.before, record.after) == (NEUTRAL, HALF)
    assert (record.agent, record.adjusted_by, record.verdict, record.reason) == (
        "quality-gate", "monitor", "diverging", "returns fell",
    )  # fmt: skip
    assert await store.adjustments.present("quality-gate") == HALF
    assert await store.adjustments.present("test-executor") == NEUTRAL
    assert await store.adjustments.history("quality-gate") == [record]


async def test_asking_for_what_holds_records_nothing(store: Store) -> None:
    assert await store.adjustments.adjust("quality-gate", NEUTRAL, "monitor", "learning", "fine") is None
    await store.adjustments.adjust("quality-gate", HALF, "monitor", "diverging", "returns fell")
    assert await store.adjustments.adjust("quality-gate", HALF, "monitor", "diverging", "again") is None
    back = await store.adjustments.adjust("quality-gate", NEUTRAL, "monitor", "learning", "it recovered")
    assert back is not None
    assert (back.before, back.after) == (HALF, NEUTRAL)
    assert len(await store.adjustments.history("quality-gate")) == 2


async def test_tasks_that_ask_for_the_same_at_once_record_one_change(store: Store) -> None:
    records = await asyncio.gather(
        *(store.adjustments.adjust("quality-gate", HALF, "monitor", "diverging", "fell") for _ in range(10))
    )
    assert sum(record is not None for record in records) == 1
