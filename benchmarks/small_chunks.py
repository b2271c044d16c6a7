"""Reading an agent's log from few large chunks and from many small ones, in both forms the store knows.

What belongs here: the figures behind the decision not to merge small chunks. What does not: how the store
reads. Run as ``python -m benchmarks.small_chunks``; it prints times as multiples of reading large chunks.
"""

import asyncio
import tempfile
import time
from contextlib import closing
from pathlib import Path
from statistics import median

import numpy as np
import psycopg2

from qe_core.store import Store, chunk_order, migrate
from qe_core.store.server import EmbeddedServer
from qe_core.store.statements import parse_statements

ROWS = 1_000_000
ROUNDS = 3
LARGE, SMALL = "large", "small"
SPLIT = parse_statements(
    Path(__file__).with_name("sql").joinpath("small_chunks.sql").read_text(encoding="utf-8"),
    "small_chunks.sql",
)["split_chunks"]


async def fill(store: Store, url: str) -> None:
    """Store the same experiences for two agents, one in large chunks, one in chunks of five."""
    index, rng = np.arange(ROWS), np.random.default_rng(0)
    await store.experiences.append(
        {
            "occurred_at": np.datetime64("2026-01-01T00:00:00", "us") + index * np.timedelta64(1, "s"),
            "agent": LARGE,
            "episode": np.char.add("episode-", (index // 10).astype(str)),
            "step": index % 10,
            "state": rng.integers(0, 5_000, ROWS),
            "action": rng.integers(0, 8, ROWS),
            "reward": rng.normal(0.0, 20.0, ROWS).clip(-100.0, 100.0),
            "next_state": rng.integers(0, 5_000, ROWS),
            "terminated": index % 10 == 9,
            "truncated": False,
            "propensity": 0.5,
            "fingerprint": "contract",
            "source": "simulated",
        }
    )
    with closing(psycopg2.connect(url)) as session, session, session.cursor() as cursor:
        cursor.execute(SPLIT, {"small": SMALL, "large": LARGE})


async def measure(store: Store) -> dict[str, list[float]]:
    """Return the seconds of each round; every reading must give the same arrays."""
    expected = await store.experiences.load_transitions(LARGE, "contract")
    few = chunk_order.FEW_ROWS
    seconds: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for what, agent, limit in (
            ("chunks of 65,536", LARGE, few),
            ("chunks of 5, as arrays", SMALL, 0),
            ("chunks of 5, row by row", SMALL, few),
        ):
            chunk_order.FEW_ROWS = limit
            began = time.perf_counter()
            found = await store.experiences.load_transitions(agent, "contract")
            seconds.setdefault(what, []).append(time.perf_counter() - began)
            for name in ("state", "action", "reward", "next_state", "terminated"):
                if not np.array_equal(getattr(found, name), getattr(expected, name)):
                    raise SystemExit(f"{what}: column {name} differs")
    return seconds


async def filled_and_measured(url: str) -> dict[str, list[float]]:
    """Return the seconds of each round on a fresh server."""
    await migrate(url)
    async with Store.connect(url) as store:
        await fill(store, url)
        return await measure(store)


def main() -> None:
    """Measure in a server of its own and print the ratios."""
    with tempfile.TemporaryDirectory(prefix="qe-chunks-") as directory:
        Path(directory).chmod(0o711)
        with EmbeddedServer(Path(directory) / "postgres") as server:
            seconds = asyncio.run(filled_and_measured(server.url()))
    base = median(seconds["chunks of 65,536"])
    for what, found in seconds.items():
        print(f"{what:26} {median(found) / base:6.1f} times")  # noqa: T201 - what it is for


if __name__ == "__main__":
    main()
