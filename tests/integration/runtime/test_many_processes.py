"""Agents in several processes, and through a restart of the server."""

import asyncio
import subprocess
import sys
from pathlib import Path

import numpy as np

from qe_core.config import Settings
from qe_core.runtime.episodes import Outcome
from qe_core.runtime.learner import Learner
from qe_core.store import Store, migrate
from qe_core.store.live import LiveSettings, ReaderSettings
from qe_core.store.server import EmbeddedServer
from tests.conftest import THROWAWAY_SETTINGS
from tests.integration.runtime.agent_process import STATES
from tests.integration.waiting import PATIENCE_SECONDS, until

AGENT = "test-executor"
AGENT_PROCESS = Path(__file__).with_name("agent_process.py")
STEPS = 200


def test_after_things_settle_every_cache_equals_the_database(database_url: str) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, str(AGENT_PROCESS), database_url, AGENT, str(STEPS), str(seed)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in range(3)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "done\n"
        for process in processes:
            rows, difference = process.communicate("compare\n", timeout=120)[0].split()
            assert int(rows) == STATES
            assert float(difference) <= 1e-10  # of values up to 50 points
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert asyncio.run(visits_of(database_url)) == 3 * STEPS


async def visits_of(url: str) -> int:
    async with Store.connect(url) as store:
        (line,) = [line for line in await store.q_tables.list_tables() if line.name == AGENT]
        return line.updates


async def test_agents_work_through_a_restart_and_nobody_is_left_waiting(server_directory: Path) -> None:
    server = EmbeddedServer(server_directory / "restarted", settings=THROWAWAY_SETTINGS)
    url = server.start()
    try:
        await migrate(url)
        recording, reading = LiveSettings(deadline_seconds=60), ReaderSettings(deadline_seconds=60)
        async with Store.connect(url) as store, store.live(recording, reading) as live:
            learner = await Learner.open(live, AGENT, Settings(), np.random.default_rng(1))
            is_over = asyncio.Event()

            async def work(seed: int) -> int:
                """Decide and record in ever new states until told to stop; return how often."""
                rng = np.random.default_rng(seed)
                episode, steps = learner.begin_episode(), 0
                while not is_over.is_set():
                    state, following = rng.integers(0, learner.contract.state_count, 2).tolist()
                    decision = await learner.decide(state, episode)
                    await learner.record(decision, Outcome(points=1.0, next_context=following))
                    steps += 1
                return steps

            working = [asyncio.create_task(work(seed)) for seed in range(50)]
            await until(lambda: learner.counters.recorded > 200)
            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(server.start)
            before = learner.counters.recorded
            await until(lambda: learner.counters.recorded > before + 200)
            is_over.set()
            async with asyncio.timeout(PATIENCE_SECONDS):
                steps = await asyncio.gather(*working)
            assert sum(steps) == learner.counters.recorded
            assert live.reader.counters.reconnects >= 1
            assert not live.reader.is_away
        assert await visits_of(url) == sum(steps)
    finally:
        server.stop()
