"""Experiences of tests on their way through the write path, as an agent would record them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np

from qe_core.store import Store, TableHandle
from qe_core.store.live import Acknowledgement, UpdateBatch


def as_batch(columns: Mapping[str, Any], target: Any = None, learning_rate: float = 0.1) -> UpdateBatch:
    """Return the experiences of one agent, as `ExperienceLog.append` takes them, with updates.

    Args:
        columns: the log's columns; single values hold for every row.
        target: TD targets; the rewards where left out.
        learning_rate: of every update.
    """
    count = len(columns["state"])

    def column(name: str) -> Any:
        value = columns[name]
        return np.full(count, value) if np.ndim(value) == 0 else value

    success = columns.get("success")
    return UpdateBatch(
        state=column("state"),
        action=column("action"),
        target=column("reward") if target is None else target,
        learning_rate=np.full(count, learning_rate),
        occurred_at=[_microseconds(moment) for moment in columns["occurred_at"]],
        episode=[str(name) for name in column("episode")],
        **{
            name: column(name)
            for name in ("step", "reward", "next_state", "terminated", "truncated", "propensity")
        },
        success=None if success is None else [-1 if known is None else int(known) for known in success],
    )


async def record(store: Store, handle: TableHandle, batch: UpdateBatch) -> Acknowledgement:
    """Commit one batch through a write path of its own."""
    async with store.live() as live:
        return await live.writer.record_many(handle, batch)


def _microseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000_000)
