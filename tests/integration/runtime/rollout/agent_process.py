"""An agent in a process of its own that plays episodes until it is killed.

Run as ``python -m tests.integration.runtime.rollout.agent_process URL SEED LINGER``. Prints the name of each
episode once its end is durable; gathers units of tests for LINGER seconds before it sends them.
"""

import asyncio
import sys
from itertools import count

import numpy as np

import qe_core.store.live.units as unit_batches
from qe_core.runtime.learner import Learner
from qe_core.store import Store
from tests.integration.runtime.rollout.playing import AGENT, QUICK, play_one, settings_with


async def main(url: str, seed: int, linger_seconds: float) -> None:
    """Play, and say so, without end."""
    unit_batches.LINGER_SECONDS = linger_seconds
    async with Store.connect(url) as store, store.live(reading=QUICK) as live:
        learner = await Learner.open(live, AGENT, settings_with(), np.random.default_rng(seed))
        for number in count():
            first = await play_one(learner, seed * 1_000_003 + number)
            sys.stdout.write(first.episode + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
