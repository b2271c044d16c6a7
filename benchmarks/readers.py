"""Workers that look up what to do: one after another, and a thousand at once.

What belongs here: one process of each, for `processes.run_together`. What does not: the comparison
(`lookups`) and the tables (`population`).
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import cycle
from typing import Self

import asyncpg
import numpy as np
import numpy.typing as npt

from benchmarks.processes import Gate
from benchmarks.statements import PEER_STATEMENTS
from benchmarks.workload import drawn_pairs
from qe_core.config import Settings
from qe_core.fleet import AgentContract, registry
from qe_core.runtime.choosing import Beliefs
from qe_core.runtime.parameters import confidence_settings, lookup_settings
from qe_core.runtime.tables import AgentTables
from qe_core.store import Store
from qe_core.store.live import Live, ReaderSettings

SMALLEST_CACHE = ReaderSettings(cache_limit=1_000)
"""The least the product allows: few of the fleet's tens of thousands of rows."""

_DRAWN = 50_000
"""States drawn beforehand for each agent, asked for in turn."""

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Answered:
    """What one process was answered.

    Attributes:
        latencies: seconds of each call that counts, float64[N].
        answers: for each agent, states asked for and actions found, in order.
        seconds: from when calls count to the last answer.
        hit_share: of the rows that were looked up, those in the cache.
    """

    latencies: npt.NDArray[np.float64]
    answers: Mapping[str, tuple[Integers, Integers]]
    seconds: float
    hit_share: float = 0.0


class Lookup:
    """Finds the best action of one agent as the product does: rows of three levels, blended.

    Args:
        live: the process's hot path.
        contract: the agent's.
        tables: the agent's.
    """

    def __init__(self, live: Live, contract: AgentContract, tables: AgentTables) -> None:
        self.contract = contract
        self._live = live
        self._tables = tables
        self._divisors = contract.category_divisor, contract.fleet_divisor
        settings = Settings()
        self._beliefs = Beliefs(
            contract, settings.hierarchy.lookup, lookup_settings(settings), confidence_settings(settings)
        )

    @classmethod
    async def open(cls, live: Live, agent: str) -> Self:
        """Return the lookup of a registered agent."""
        contract = registry().get(agent)
        return cls(live, contract, await AgentTables.take(live, contract))

    async def best_action(self, state: int) -> int:
        """Return the first of the best actions of a state."""
        tables = self._tables
        own, category, fleet = await self._live.reader.rows(
            [
                (tables.own, state),
                (tables.category, state // self._divisors[0]),
                (tables.fleet, state // self._divisors[1]),
            ]
        )
        return self._beliefs.view(state, own, category, fleet).best[0]


async def look_up_in_turn(gate: Gate, url: str, agent: str, count: int, seed: int) -> Answered:
    """Look up one state after another, in random order and none twice, so that none is in the cache."""
    rng = np.random.default_rng(seed)
    async with Store.connect(url, pool_size=1) as store, store.live(reading=SMALLEST_CACHE) as live:
        lookup = await Lookup.open(live, agent)
        states = rng.permutation(lookup.contract.state_count)[: count + 1]
        actions, latencies = np.empty(count, np.int64), np.empty(count)
        await lookup.best_action(int(states[-1]))
        await gate()
        began = time.perf_counter()
        for number, state in enumerate(states[:-1].tolist()):
            asked = time.perf_counter()
            actions[number] = await lookup.best_action(state)
            latencies[number] = time.perf_counter() - asked
        lasted = time.perf_counter() - began
        return Answered(latencies, {agent: (states[:-1], actions)}, lasted, _hit_share(live))


async def select_one_in_turn(gate: Gate, url: str, count: int) -> Answered:
    """Ask the server the least it can be asked, prepared, on a connection of its own."""
    connection = await asyncpg.connect(url)
    statement = await connection.prepare(PEER_STATEMENTS["select_one"])
    answers, latencies = np.empty(count, np.int64), np.empty(count)
    await statement.fetchval()
    await gate()
    began = time.perf_counter()
    for number in range(count):
        asked = time.perf_counter()
        answers[number] = await statement.fetchval()
        latencies[number] = time.perf_counter() - asked
    lasted = time.perf_counter() - began
    await connection.close()
    return Answered(latencies, {"select 1": (np.zeros(count, np.int64), answers)}, lasted)


@dataclass(frozen=True, slots=True)
class LookupJob:
    """How the clients of one process look up.

    Attributes:
        url: of the database.
        agents: clients take turns at being one of them.
        clients: how many.
        lead_in_seconds: how long they run before latencies count: a process fills its cache once.
        seconds: how long after that.
        skew: exponent of Zipf's law over an agent's pairs; None for states all alike.
        is_cached: with the default cache, empty at the start; else with the smallest.
        seed: of the states.
    """

    url: str
    agents: tuple[str, ...]
    clients: int
    lead_in_seconds: float
    seconds: float
    skew: float | None
    is_cached: bool
    seed: int


async def look_up_at_once(gate: Gate, job: LookupJob) -> Answered:
    """Let many clients look up random states, each the next one as soon as it has its answer."""
    rng = np.random.default_rng(job.seed)
    reading = ReaderSettings() if job.is_cached else SMALLEST_CACHE
    latencies: list[float] = []
    found: dict[str, tuple[list[int], list[int]]] = {agent: ([], []) for agent in job.agents}
    async with Store.connect(job.url, pool_size=1) as store, store.live(reading=reading) as live:
        lookups = [await Lookup.open(live, agent) for agent in job.agents]
        drawn = [cycle(drawn_pairs(lookup.contract, _DRAWN, job.skew, rng)[0].tolist()) for lookup in lookups]
        for lookup in lookups:
            await lookup.best_action(0)
        await gate()
        began = time.perf_counter() + job.lead_in_seconds

        async def client(number: int) -> None:
            """Ask until the time is over."""
            lookup, states = lookups[number % len(lookups)], drawn[number % len(lookups)]
            asked_states, actions = found[lookup.contract.name]
            while time.perf_counter() - began < job.seconds:
                state = next(states)
                asked = time.perf_counter()
                action = await lookup.best_action(state)
                answered = time.perf_counter()
                if answered >= began:
                    latencies.append(answered - asked)
                asked_states.append(state)
                actions.append(action)
                await asyncio.sleep(0)  # an answer from the cache gives nobody else a turn

        await asyncio.gather(*(client(number) for number in range(job.clients)))
        lasted = time.perf_counter() - began
        answers = {
            agent: (np.array(states, np.int64), np.array(actions, np.int64))
            for agent, (states, actions) in found.items()
        }
        return Answered(np.array(latencies), answers, lasted, _hit_share(live))


def _hit_share(live: Live) -> float:
    counters = live.reader.counters
    return counters.hits / max(1, counters.hits + counters.misses)
