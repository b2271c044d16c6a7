"""Workers that update values: ours through the hot path, and the naive versioned loop.

What belongs here: one process of each, for `processes.run_together`, and what it reports. What does not: the
comparison (`updates`) and the data (`workload`).
"""

import asyncio
import time
from dataclasses import dataclass

import asyncpg
import numpy as np

from benchmarks.processes import Gate
from benchmarks.statements import PEER_STATEMENTS
from benchmarks.workload import (
    LEARNING_RATE,
    drawn_batch,
    drawn_pairs,
    named,
    targets_of,
    without_experiences,
)
from qe_core.fleet import registry
from qe_core.store import Store, TableHandle

_POOL = 8
"""Batches each producer draws beforehand and then sends again and again, under ever new episodes."""


@dataclass(frozen=True, slots=True)
class Written:
    """What one process wrote.

    Attributes:
        acknowledged: updates whose commit was acknowledged.
        seconds: from the common start until its last acknowledgement.
        refused: attempts that had to be repeated because somebody else was quicker.
    """

    acknowledged: int
    seconds: float
    refused: int = 0


@dataclass(frozen=True, slots=True)
class WritingJob:
    """How one process of ours writes.

    Attributes:
        url: of the database.
        agents: whose tables, one producer after another takes the next.
        producers: concurrent callers, each awaiting the acknowledgement of its batch before the next.
        batch: updates in one call.
        skew: see `workload.drawn_pairs`.
        with_experiences: whether the transitions behind the updates are recorded too.
        seconds: how long.
        seed: of this process and round; also names its episodes.
    """

    url: str
    agents: tuple[str, ...]
    producers: int
    batch: int
    skew: float | None
    with_experiences: bool
    seconds: float
    seed: int


async def write_ours(gate: Gate, job: WritingJob) -> Written:
    """Update through the hot path until the time is over; every update counted was acknowledged."""
    fleet = registry()
    rng = np.random.default_rng(job.seed)
    async with Store.connect(job.url, pool_size=1) as store, store.live() as live:
        handles = [await individual_table(store, agent) for agent in job.agents]
        pools = [
            [
                drawn_batch(fleet.get(job.agents[number % len(handles)]), job.batch, job.skew, rng)
                for _ in range(_POOL)
            ]
            for number in range(job.producers)
        ]
        await gate()
        began = time.perf_counter()

        async def produce(number: int) -> int:
            """Send batch after batch and return how many updates were acknowledged."""
            handle, sent = handles[number % len(handles)], 0
            while time.perf_counter() - began < job.seconds:
                batch = pools[number][sent % _POOL]
                if job.with_experiences:
                    batch = named(batch, f"{job.seed}-{number}-{sent}")
                else:
                    batch = without_experiences(batch)
                await live.writer.record_many(handle, batch)
                sent += 1
            return sent * job.batch

        acknowledged = await asyncio.gather(*(produce(number) for number in range(job.producers)))
        return Written(sum(acknowledged), time.perf_counter() - began)


async def individual_table(store: Store, agent: str) -> TableHandle:
    """Return the handle of an agent's own table, registered if need be."""
    contract = registry().get(agent)
    return await store.q_tables.ensure(
        "individual", agent, contract.fingerprint, contract.state_count, contract.action_names
    )


async def write_naively(
    gate: Gate, url: str, agent: str, clients: int, skew: float | None, seconds: float, seed: int
) -> Written:
    """Update one pair after another: read the version, compute, write if it is unchanged, else again."""
    contract = registry().get(agent)
    rng = np.random.default_rng(seed)
    connections = [await asyncpg.connect(url) for _ in range(clients)]
    states, actions = drawn_pairs(contract, 100_000, skew, rng)
    targets = targets_of(states, actions).tolist()
    pairs = list(zip(states.tolist(), actions.tolist(), targets, strict=True))
    statements = [
        (
            await connection.prepare(PEER_STATEMENTS["read_pair"]),
            await connection.prepare(PEER_STATEMENTS["write_pair"]),
        )
        for connection in connections
    ]
    await gate()
    began = time.perf_counter()

    async def update(number: int) -> tuple[int, int]:
        """Return how many updates were acknowledged and how many attempts were refused."""
        read, write = statements[number]
        done = refused = 0
        while time.perf_counter() - began < seconds:
            state, action, target = pairs[(number + done * clients) % len(pairs)]
            while True:
                q, visits, version = await read.fetchrow(state, action)
                q += LEARNING_RATE * (target - q)
                await write.fetch(state, action, q, visits + 1, version)
                if write.get_statusmsg() == "UPDATE 1":
                    break
                refused += 1
            done += 1
        return done, refused

    counts = await asyncio.gather(*(update(number) for number in range(clients)))
    lasted = time.perf_counter() - began
    for connection in connections:
        await connection.close()
    return Written(sum(done for done, _ in counts), lasted, sum(refused for _, refused in counts))
