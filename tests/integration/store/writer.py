"""A writer in a process of its own: records batches until told to stop or killed.

Run as ``python writer.py URL NAME BATCHES``; prints one line per acknowledged batch. Each holds four
experiences of random, skewed pairs and the updates they cause, so visits and experiences must always agree.
"""

import asyncio
import sys

import numpy as np

from qe_core.store import Store, TableHandle
from qe_core.store.live import Acknowledgement, Live, UpdateBatch

FINGERPRINT = "contract-1"
PER_BATCH = 4


async def record(live: Live, handle: TableHandle, name: str, number: int) -> Acknowledgement:
    """Commit batch ``number`` of writer ``name``."""
    rng = np.random.default_rng([number, *name.encode()])
    reward = rng.integers(-100, 101, PER_BATCH).astype(float)
    batch = UpdateBatch(
        state=np.minimum(rng.zipf(1.5, PER_BATCH) - 1, handle.state_count - 1),
        action=rng.integers(0, handle.action_count, PER_BATCH),
        target=reward,
        learning_rate=np.full(PER_BATCH, 0.1),
        occurred_at=1_770_000_000_000_000 + number * PER_BATCH + np.arange(PER_BATCH),
        episode=[f"{name}-{number}"] * PER_BATCH,
        step=np.arange(PER_BATCH),
        reward=reward,
        next_state=np.zeros(PER_BATCH, dtype=np.int64),
        terminated=np.zeros(PER_BATCH, dtype=bool),
        truncated=np.zeros(PER_BATCH, dtype=bool),
        propensity=np.full(PER_BATCH, 0.5),
    )
    return await live.writer.record_many(handle, batch)


async def main(url: str, name: str, batches: int) -> None:
    """Write, from four tasks at once."""
    async with Store.connect(url) as store, store.live() as live:
        handle = await store.q_tables.ensure("individual", "tester", FINGERPRINT, 40, ["a", "b", "c"])

        async def work(first: int) -> None:
            for number in range(first, batches, 4):
                await record(live, handle, name, number)
                sys.stdout.write(f"ack {number}\n")
                sys.stdout.flush()

        await asyncio.gather(*(work(first) for first in range(4)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
