"""Good policies and bad ones: the best there is in an agent's simulated world, and the same upside down.

What belongs here: putting them where agents look for them. What does not: playing (`player`), noticing.
"""

from dataclasses import dataclass

import numpy as np

from qe_core.environments.catalogue import world_of
from qe_core.fleet import AgentContract
from qe_core.learning.finite_mdp import solve_finite_mdp
from qe_core.learning.q_table import QTable, quantised_weights
from qe_core.store import Rebuild, Store
from qe_core.store.policies import Mode

VISITS = 200
"""Experiences each value is said to rest on: enough for the table to outweigh what others know."""

BY = "rollback drill"


@dataclass(frozen=True, slots=True)
class Poisoned:
    """What was done to one agent.

    Attributes:
        agent: its name.
        mode: learning where the live table was overwritten, serving where a bad version was promoted.
        good: the version that served, or that froze the live table, before.
        bad: the version promoted; None where the live table was overwritten.
    """

    agent: str
    mode: Mode
    good: int
    bad: int | None


def best_table(contract: AgentContract) -> QTable:
    """Return the exact values of the best policy in the agent's world 0."""
    world = world_of(contract, 0)
    q = solve_finite_mdp(world.mdp, world.discount_or_own(None)).q
    is_reached = np.broadcast_to(world.is_reachable[:, np.newaxis], q.shape)
    values = np.where(is_reached, q, 0.0)
    visits = np.where(is_reached, VISITS, 0).astype(np.int64)
    return QTable(values, visits, values, np.where(is_reached, 1.0, 0.0))


def upside_down(table: QTable, factor: float = 1.0) -> QTable:
    """Return the table with every value negated, and ``factor`` times as large: what was best is worst."""
    return QTable(-factor * table.q, table.visits, -factor * table.target_mean, table.target_m2)


async def put_live(store: Store, contract: AgentContract, table: QTable) -> None:
    """Make a table the agent's live one, whatever it holds and whoever writes to it meanwhile."""
    handle = await store.q_tables.ensure(
        "individual", contract.name, contract.fingerprint, contract.state_count, contract.action_names
    )

    async def instead() -> Rebuild:
        """Return the table as if it had been computed from what is there now."""
        present = await store.q_tables.load("individual", contract.name, contract.fingerprint)
        return Rebuild(table, quantised_weights(table), present.version, {"from": BY})

    await store.q_tables.publish_with_retry(handle, instead)


async def prepare(store: Store, contract: AgentContract, mode: Mode) -> int:
    """Give an agent the best policy, frozen, and promoted where it is to serve; return the version."""
    await put_live(store, contract, best_table(contract))
    version = await store.policies.snapshot(contract, reason="known to be good", by=BY)
    if mode is Mode.SERVING:
        await store.policies.promote(contract.name, version.number, by=BY, why="known to be good")
    return version.number


async def poison(store: Store, contract: AgentContract, mode: Mode, good: int) -> Poisoned:
    """Have an agent follow the worst policy: promote it, or overwrite the live table with it."""
    table, _ = (await store.policies.rows(good)).own.as_dense()
    if mode is Mode.LEARNING:
        await put_live(store, contract, upside_down(table))
        return Poisoned(contract.name, mode, good, None)
    live = (await store.q_tables.load("individual", contract.name, contract.fingerprint)).table
    await put_live(store, contract, upside_down(table))
    bad = await store.policies.snapshot(contract, reason="poisoned on purpose", by=BY)
    await put_live(store, contract, live)
    await store.policies.promote(contract.name, bad.number, by=BY, why="poisoned on purpose")
    return Poisoned(contract.name, mode, good, bad.number)
