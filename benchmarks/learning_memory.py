"""Training on ten million experiences of one agent: how much memory, and whether reading is the limit.

What belongs here: training from the store, from a generated stream, and reading alone, each in a process
of its own that measures its own memory. What does not: the speed of the loops (`learning_replay`).
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.harness import (
    Benchmark,
    Contestant,
    Measurement,
    Of,
    ResultsDifferError,
    Row,
    Running,
    at_least,
    at_most,
    require_equal,
)
from benchmarks.learning_replay import RATE, TABLE_COLUMNS
from benchmarks.learning_world import DISCOUNT, World
from benchmarks.place import Place
from benchmarks.processes import Gate, run_together
from benchmarks.statements import settle
from qe_core.fleet import AgentContract, registry
from qe_core.learning.empirical_mdp import EmpiricalMdp, q_table_from_mdp, solve_empirical_mdp
from qe_core.learning.experience import Transitions
from qe_core.learning.q_table import QTable
from qe_core.learning.replay.training import SequentialTraining
from qe_core.learning.transition_counter import TransitionCounter
from qe_core.store import Store

ROWS = 10_000_000
MEMORY_GIB = 2.0
READING_SHARE = 0.5
SECONDS_AT_MOST = 600.0
_SINCE = datetime(2026, 1, 1, tzinfo=UTC)


def largest_contract() -> AgentContract:
    """Return the agent with the largest table."""
    return max(registry(), key=lambda contract: contract.state_count * contract.action_count)


def own_peak_gib() -> float:
    """Return the most memory this process ever held, GiB; that of its parent does not count."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 2**20
    raise ResultsDifferError("this system does not tell a process's peak memory")


def digest_of(tables: tuple[QTable, ...]) -> str:
    """Return a digest of every bit of these tables."""
    digest = hashlib.sha256()
    for table in tables:
        for name in TABLE_COLUMNS:
            digest.update(getattr(table, name).tobytes())
    return digest.hexdigest()


async def stored(url: str, agent: str, fingerprint: str) -> AsyncIterator[Transitions]:
    """Yield an agent's transitions from the store."""
    async with Store.connect(url, pool_size=1) as store:
        async for batch in store.experiences.transition_batches(agent, fingerprint):
            yield batch


async def generated(world: World, row_count: int) -> AsyncIterator[Transitions]:
    """Yield the same transitions without a store."""
    for batch in world.batches(row_count):
        yield batch


async def train(
    gate: Gate, world: World, source: tuple[str, str, str] | int
) -> tuple[dict[str, float], tuple[str, int]]:
    """Return figures, and a digest of both tables with the visits they hold, of training on a stream.

    Every transition is learned in order by Q-learning and counted; at the end the counts are solved exactly.

    Args:
        gate: awaited before the clock starts.
        world: gives the table's size.
        source: URL, agent and fingerprint; or how many transitions to generate.
    """
    training = SequentialTraining(QTable.zeros(world.state_count, world.action_count), DISCOUNT, RATE)
    counter = TransitionCounter(world.state_count, world.action_count)
    for warm_up in world.batches(1):  # loads the machine code, which belongs to no row
        TransitionCounter(world.state_count, world.action_count).add(warm_up)
        SequentialTraining(QTable.zeros(world.state_count, world.action_count), DISCOUNT, RATE).add(warm_up)
    await gate()
    began = time.perf_counter()
    computing = 0.0
    batches = generated(world, source) if isinstance(source, int) else stored(*source)
    async for batch in batches:
        started = time.perf_counter()
        training.add(batch)
        counter.add(batch)
        computing += time.perf_counter() - started
    started = time.perf_counter()
    mdp = EmpiricalMdp.from_counter(counter)
    exact = q_table_from_mdp(mdp, solve_empirical_mdp(mdp, DISCOUNT), DISCOUNT)
    learned = training.trained(np.empty(0)).table
    ended = time.perf_counter()
    computing += ended - started
    figures = {
        "seconds": ended - began,
        "computing_seconds": computing,
        "reading_share": 1.0 - computing / (ended - began),
        "peak_gib": own_peak_gib(),
    }
    return figures, (digest_of((exact, learned)), int(exact.visits.sum()))


async def read(gate: Gate, url: str, agent: str, fingerprint: str) -> tuple[dict[str, float], int]:
    """Return figures of reading alone, and how many transitions came."""
    await gate()
    began, rows = time.perf_counter(), 0
    async for batch in stored(url, agent, fingerprint):
        rows += len(batch)
    return {"seconds": time.perf_counter() - began, "peak_gib": own_peak_gib()}, rows


def as_experiences(contract: AgentContract, batch: Transitions, number: int, first: int) -> pa.Table:
    """Return a batch as experiences of one episode, a millisecond apart, after all batches before it."""
    count = len(batch)
    since = int((_SINCE + timedelta(milliseconds=first)).timestamp() * 1_000_000)
    return pa.table(
        {
            "occurred_at": pa.array(since + 1_000 * np.arange(count), pa.timestamp("us", tz="UTC")),
            "agent": pa.repeat(contract.name, count),
            "episode": pa.repeat(f"episode-{number:06}", count),
            "step": np.arange(count, dtype=np.int32),
            "state": batch.state,
            "action": batch.action,
            "reward": batch.reward,
            "next_state": batch.next_state,
            "terminated": batch.terminated,
            "truncated": batch.truncated,
            "propensity": np.full(count, 0.25),
            "exploration_rate": np.full(count, 0.1),
            "success": pa.array(batch.reward > 0, mask=~batch.terminated),
            "policy_version": np.ones(count, dtype=np.int64),
            "fingerprint": pa.repeat(contract.fingerprint, count),
            "source": pa.repeat("agent", count),
        }
    )


async def fill(url: str, contract: AgentContract, world: World, row_count: int) -> None:
    """Append the world's transitions to the log."""
    first = 0
    async with Store.connect(url, pool_size=1) as store:
        for number, batch in enumerate(world.batches(row_count)):
            await store.experiences.append(as_experiences(contract, batch, number, first))
            first += len(batch)


@contextmanager
def prepare(place: Place) -> Iterator[Running]:
    """Yield training from the store, from a generated stream, and reading alone."""
    rows = place.size(full=ROWS, quick=300_000)
    contract = largest_contract()
    world = World(contract.state_count, contract.action_count)
    with place.database() as url:
        asyncio.run(fill(url, contract, world, rows))
        settle(url)
        source = (url, contract.name, contract.fingerprint)

        def in_own_process(worker: Any, *arguments: Any) -> Measurement:
            """Return what a worker measured of itself."""
            (answer,) = run_together(worker, [arguments], SECONDS_AT_MOST)
            return Measurement(*answer)

        def check(found: Mapping[str, Any]) -> None:
            """Compare both tables bit for bit, and count every row."""
            require_equal("digest and visits of both tables", found["ours"], found["generated"])
            require_equal("transitions that were read", found["reading"], rows)
            for name in ("ours", "scattered"):
                require_equal(f"visits in the table of {name}", found[name][1], rows)

        yield Running(
            {
                "ours": lambda: in_own_process(train, world, source),
                "generated": lambda: in_own_process(train, world, rows),
                "reading": lambda: in_own_process(read, *source),
                "scattered": lambda: in_own_process(train, replace(world, is_scattered=True), rows),
            },
            check,
        )


BENCHMARKS = (
    Benchmark(
        name="training",
        contestants=(
            Contestant(
                "ours",
                f"{ROWS:,} experiences from PostgreSQL in batches, replayed in order, counted, solved",
            ),
            Contestant("generated", "the same transitions generated in the process, trained on alike"),
            Contestant("reading", "the same experiences read in the same batches, nothing done with them"),
            Contestant(
                "scattered", "as many generated transitions of which hardly two are alike, trained on"
            ),
        ),
        rows=(
            Row(
                "training-memory",
                f"peak memory of a process training on {ROWS:,} experiences of one agent",
                Of("ours", "peak_gib"),
                bound=at_most(MEMORY_GIB),
                unit="GiB",
            ),
            Row(
                "training-memory-scattered",
                f"the same where hardly two of {ROWS:,} transitions are alike, the worst case",
                Of("scattered", "peak_gib"),
                bound=at_most(MEMORY_GIB),
                unit="GiB",
            ),
            Row(
                "training-reading",
                f"training on {ROWS:,} experiences: reading them alone ÷ training, seconds",
                Of("reading", "seconds"),
                Of("ours", "seconds"),
                at_least(READING_SHARE),
            ),
            Row(
                "training-share",
                "share of the training's time spent waiting for rows",
                Of("ours", "reading_share"),
                unit="of 1",
            ),
        ),
        prepare=prepare,
    ),
)
