"""Workers that look up what to do: one after another, and a thousand at once.

What belongs here: one process of each, for `processes.run_together`. What does not: the comparison
(`lookups`) and the tables (`population`).
"""

import asyncio
import time
from dataclasses import dataclass

import asyncpg
import numpy as np
import numpy.typing as npt

from benchmarks.processes import Gate
from benchmarks.statements import PEER_STATEMENTS
from qe_core.fleet import AgentContract, Approach, registry
from qe_core.hierarchy.lookup import LevelRows, blended_lookup
from qe_core.store import Store


@dataclass(frozen=True, slots=True)
class Answered:
    """What one process was answered.

    Attributes:
        latencies: seconds of each call, float64[N].
        states: what was asked, int64[N].
        actions: what came back, int64[N].
        seconds: from the common start to the last answer.
    """

    latencies: npt.NDArray[np.float64]
    states: npt.NDArray[np.int64]
    actions: npt.NDArray[np.int64]
    seconds: float


async def look_up_in_turn(gate: Gate, url: str, agent: str, count: int, seed: int) -> Answered:
    """Look up one random state after another."""
    contract = registry().get(agent)
    states = np.random.default_rng(seed).integers(0, contract.state_count, count)
    actions, latencies = np.empty(count, np.int64), np.empty(count)
    async with Store.connect(url, pool_size=1) as store:
        await best_action(store, contract, int(states[0]))
        await gate()
        began = time.perf_counter()
        for number, state in enumerate(states.tolist()):
            asked = time.perf_counter()
            actions[number] = await best_action(store, contract, state)
            latencies[number] = time.perf_counter() - asked
        return Answered(latencies, states, actions, time.perf_counter() - began)


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
    return Answered(latencies, np.zeros(count, np.int64), answers, lasted)


async def look_up_at_once(
    gate: Gate, url: str, agent: str, clients: int, seconds: float, seed: int
) -> Answered:
    """Let many clients look up, each the next state as soon as it has its answer."""
    contract = registry().get(agent)
    drawn = np.random.default_rng(seed).integers(0, contract.state_count, 1_000_000).tolist()
    latencies: list[float] = []
    asked_states: list[int] = []
    found: list[int] = []
    async with Store.connect(url, pool_size=1) as store:
        await best_action(store, contract, drawn[0])
        await gate()
        began = time.perf_counter()

        async def client() -> None:
            """Ask until the time is over."""
            while (asked := time.perf_counter()) - began < seconds:
                state = drawn[len(found) % len(drawn)]
                action = await best_action(store, contract, state)
                latencies.append(time.perf_counter() - asked)
                asked_states.append(state)
                found.append(action)

        await asyncio.gather(*(client() for _ in range(clients)))
        lasted = time.perf_counter() - began
    return Answered(np.array(latencies), np.array(asked_states), np.array(found), lasted)


async def best_action(store: Store, contract: AgentContract, state: int) -> int:
    """Return the best action of a state over all three levels, asked of the server."""
    states = np.array([state])
    rows = await store.q_tables.lookup(
        contract.name,
        contract.category.value,
        states,
        states // contract.category_divisor,
        states // contract.fleet_divisor,
        contract.action_count,
        len(Approach),
    )
    own, category, fleet = (
        LevelRows(level.q, level.visits, level.weights)
        for level in (rows.individual, rows.category, rows.fleet)
    )
    return int(blended_lookup(own, category, fleet, contract.approach_indices).greedy()[0])
