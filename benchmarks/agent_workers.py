"""Agents at work: each decides, works, records what came of it, and waits until that is durable.

What belongs here: one process of concurrent agents, for `processes.run_together`. What does not: the figures
(`agents`).
"""

import asyncio
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.latencies import LatencyHistogram
from benchmarks.processes import Gate
from qe_core.config import Settings
from qe_core.fleet import registry
from qe_core.runtime.episodes import Outcome
from qe_core.runtime.learner import Learner
from qe_core.store import Store

STEPS = 10
_CONTEXTS = 300
"""Different contexts each kind of agent meets; what happens with ever new ones is measured in `lookups`."""
_SAMPLE_SECONDS = 1.0
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class AgentsJob:
    """How the agents of one process work.

    Attributes:
        url: of the database.
        agents: how many at once; they take turns at being one of the fleet.
        seconds: how long.
        work_seconds: mean time between a decision and its outcome, exponentially distributed; 0 for none.
        seed: of everything random.
    """

    url: str
    agents: int
    seconds: float
    work_seconds: float
    seed: int


@dataclass(frozen=True, slots=True)
class Worked:
    """What the agents of one process did.

    Attributes:
        decide: latencies of decisions, from the context to the answer.
        record: latencies of records, until they were durable.
        acknowledged: records whose commit was acknowledged.
        seconds: from the common start to the last acknowledgement.
        memory_bytes: resident memory, one sample a second.
    """

    decide: LatencyHistogram
    record: LatencyHistogram
    acknowledged: int
    seconds: float
    memory_bytes: list[int]


@dataclass(slots=True)
class _Tally:
    decide: LatencyHistogram = field(default_factory=LatencyHistogram)
    record: LatencyHistogram = field(default_factory=LatencyHistogram)
    acknowledged: int = 0


async def work(gate: Gate, job: AgentsJob) -> Worked:
    """Let the agents work until the time is over; every record counted was acknowledged."""
    rng = np.random.default_rng(job.seed)
    tally, memory = _Tally(), list[int]()
    async with Store.connect(job.url, pool_size=2) as store, store.live() as live:
        learners = [
            await Learner.open(live, contract.name, Settings(), generator)
            for contract, generator in zip(registry(), rng.spawn(len(registry())), strict=True)
        ]
        contexts = [_drawn_contexts(learner, rng) for learner in learners]
        await gate()
        began = time.perf_counter()

        def is_over() -> bool:
            """Whether the time is over."""
            return time.perf_counter() - began >= job.seconds

        async def sample() -> None:
            """Note how much memory the process holds."""
            while not is_over():
                memory.append(resident_bytes())
                await asyncio.sleep(_SAMPLE_SECONDS)

        async def agent(number: int, random: np.random.Generator) -> None:
            """Play one episode after another."""
            kind = number % len(learners)
            while not is_over():
                await _play_episode(learners[kind], contexts[kind], random, job.work_seconds, tally)

        await asyncio.gather(
            sample(), *(agent(number, random) for number, random in enumerate(rng.spawn(job.agents)))
        )
        lasted = time.perf_counter() - began
    return Worked(tally.decide, tally.record, tally.acknowledged, lasted, memory)


async def _play_episode(
    learner: Learner,
    contexts: list[dict[str, object]],
    random: np.random.Generator,
    work_seconds: float,
    tally: _Tally,
) -> None:
    episode = learner.begin_episode()
    places = random.integers(0, len(contexts), STEPS + 1).tolist()
    points = random.uniform(-100.0, 100.0, STEPS).tolist()
    for step in range(STEPS):
        asked = time.perf_counter()
        decision = await learner.decide(contexts[places[step]], episode)
        tally.decide.add(time.perf_counter() - asked)
        await asyncio.sleep(random.exponential(work_seconds) if work_seconds else 0)
        is_last = step == STEPS - 1
        outcome = Outcome(
            points=points[step],
            next_context=None if is_last else contexts[places[step + 1]],
            terminated=is_last,
        )
        sent = time.perf_counter()
        await learner.record(decision, outcome)
        tally.record.add(time.perf_counter() - sent)
        tally.acknowledged += 1


def _drawn_contexts(learner: Learner, rng: np.random.Generator) -> list[dict[str, object]]:
    """Return measured contexts of the learner's agent, as an agent would hand them over."""
    contract = learner.contract
    states = rng.choice(contract.state_count, min(_CONTEXTS, contract.state_count), replace=False)
    return [dict(contract.state_model.decode(int(state))) for state in states]


def resident_bytes() -> int:
    """Return the resident memory of this process."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE_BYTES
