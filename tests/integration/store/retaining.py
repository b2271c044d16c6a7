"""Retention in a process of its own, until done or killed.

Run as ``python retaining.py URL``; prints ``begin`` when it is about to start and ``done`` at the end. Keeps
30 days and 50 experiences of each agent.
"""

import asyncio
import sys

from qe_core.store import Store

KEEP_DAYS, KEEP_NEWEST = 30, 50


async def main(url: str) -> None:
    """Run it once."""
    async with Store.connect(url) as store:
        sys.stdout.write("begin\n")
        sys.stdout.flush()
        await store.retention.run(KEEP_DAYS, KEEP_NEWEST)
        sys.stdout.write("done\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
