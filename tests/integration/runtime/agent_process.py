"""An agent in a process of its own: decides and records, then shows that its cache equals the database.

Run as ``python agent_process.py URL AGENT STEPS SEED``. Prints ``done`` when all is recorded; after a line of
input it waits until its cache has settled and prints the largest difference between it and the database.
"""

import asyncio
import sys

import numpy as np

from qe_core.config import Settings
from qe_core.runtime.episodes import Outcome
from qe_core.runtime.learner import Learner
from qe_core.store import Store
from qe_core.store.live import Live, ReaderSettings
from qe_core.store.live.cache import CachedTable

STATES = 12
TASKS = 4
QUICK = ReaderSettings(check_seconds=0.1, grace_seconds=0.2, refresh_pause_seconds=0.001)


async def work(learner: Learner, steps: int, rng: np.random.Generator) -> None:
    """Work on one task on the few states there are."""
    episode = learner.begin_episode()
    for _ in range(steps):
        decision = await learner.decide(int(rng.integers(STATES)), episode)
        outcome = Outcome(points=float(rng.uniform(-50, 50)), next_context=int(rng.integers(STATES)))
        await learner.record(decision, outcome)


async def difference(store: Store, live: Live, table: CachedTable) -> float:
    """Return the largest difference between cached rows and the database, once the cache has settled."""
    handle = table.handle
    while True:
        stored = await store.q_tables.load(handle.level, handle.name, handle.fingerprint)
        is_settled = table.through == stored.version and live.reader.stale_count == 0
        if is_settled and all(table.is_fresh(state) for state in table.entries):
            break
        await asyncio.sleep(0.05)
    largest = 0.0
    for state in table.entries:
        row = table.row(state)
        if row is None or row.visits != tuple(stored.table.visits[state].tolist()):
            return float("inf")
        for name in ("q", "target_mean"):
            gaps = np.abs(np.array(getattr(row, name)) - getattr(stored.table, name)[state])
            largest = max(largest, float(gaps.max()))
    return largest


async def main(url: str, agent: str, steps: int, seed: int) -> None:
    """Work, tell, wait, compare."""
    async with Store.connect(url) as store, store.live(reading=QUICK) as live:
        learner = await Learner.open(live, agent, Settings(), np.random.default_rng(seed))
        await asyncio.gather(
            *(work(learner, steps // TASKS, np.random.default_rng([seed, task])) for task in range(TASKS))
        )
        sys.stdout.write("done\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        table = next(of for of in live.reader.tables if of.handle.name == agent)
        sys.stdout.write(f"{len(table.entries)} {await difference(store, live, table)}\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
