"""A writer in a process of its own: flushes updates and their experiences until told to stop or killed.

Run as ``python writer.py URL NAME FLUSHES``; prints one line per acknowledged flush and the deadlocks met at
the end. Each flush holds four experiences of random, skewed pairs and the updates they cause, so that visits
and experiences must always agree.
"""

import asyncio
import sys
from datetime import UTC, datetime, timedelta

import numpy as np

from qe_core.learning.affine_updates import AffineUpdates
from qe_core.store import Store, TableHandle

FINGERPRINT = "contract-1"
PER_FLUSH = 4


async def flush(store: Store, handle: TableHandle, name: str, number: int) -> int:
    """Commit flush ``number`` of writer ``name``; the same arguments always make the same flush."""
    rng = np.random.default_rng([number, *name.encode()])
    state = np.minimum(rng.zipf(1.5, PER_FLUSH) - 1, handle.state_count - 1)
    action = rng.integers(0, handle.action_count, PER_FLUSH)
    reward = rng.integers(-100, 101, PER_FLUSH).astype(float)
    rows = {
        "occurred_at": [datetime(2026, 5, 1, tzinfo=UTC) + timedelta(seconds=number)] * PER_FLUSH,
        "agent": handle.name,
        "episode": f"{name}-{number}",
        "step": np.arange(PER_FLUSH),
        "state": state,
        "action": action,
        "reward": reward,
        "next_state": 0,
        "terminated": False,
        "truncated": False,
        "propensity": 0.5,
        "fingerprint": handle.fingerprint,
        "source": "agent",
    }
    updates = AffineUpdates.from_targets(state, action, reward, np.full(PER_FLUSH, 0.1))
    return await store.q_tables.apply_updates(handle, updates, rows)


async def main(url: str, name: str, flushes: int) -> None:
    """Write, from four tasks at once."""
    async with Store.connect(url) as store:
        handle = await store.q_tables.ensure("individual", "tester", FINGERPRINT, 40, ["a", "b", "c"])

        async def work(first: int) -> None:
            for number in range(first, flushes, 4):
                await flush(store, handle, name, number)
                sys.stdout.write(f"ack {number}\n")
                sys.stdout.flush()

        await asyncio.gather(*(work(first) for first in range(4)))
        sys.stdout.write(f"deadlocks {store.counters.deadlocks}\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
