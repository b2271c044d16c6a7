"""A fleet that has learned something: random tables of one agent, its category and the fleet.

What belongs here: filling the three levels and knowing what a lookup must answer. What does not: updates
(`workload`) and clocks.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qe_core.fleet import AgentContract, Approach, FleetContext, shared_fingerprint
from qe_core.hierarchy.lookup import LevelRows, blended_lookup
from qe_core.learning.q_table import QTable
from qe_core.store import Level, Store

VISITED_SHARE = 0.6
_WEIGHT_UNIT = 2.0**-20


@dataclass(frozen=True, slots=True)
class Population:
    """Tables of the three levels as they were stored.

    Attributes:
        contract: the agent's.
        individual: its own table and weights.
        category: its category's.
        fleet: the fleet's.
    """

    contract: AgentContract
    individual: tuple[QTable, npt.NDArray[np.float64]]
    category: tuple[QTable, npt.NDArray[np.float64]]
    fleet: tuple[QTable, npt.NDArray[np.float64]]

    def best_actions(self, states: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return what a lookup must find: the greedy action of each state over the blended levels."""
        contract = self.contract
        return blended_lookup(
            LevelRows.of(*self.individual, states),
            LevelRows.of(*self.category, states // contract.category_divisor),
            LevelRows.of(*self.fleet, states // contract.fleet_divisor),
            contract.approach_indices,
        ).greedy()


async def populate(url: str, contract: AgentContract, seed: int = 3) -> Population:
    """Fill and publish the three tables that a lookup of this agent reads."""
    rng = np.random.default_rng(seed)
    approaches = tuple(approach.value for approach in Approach)
    category = contract.category
    own = (contract.fingerprint, contract.state_count, contract.action_names)
    levels: tuple[tuple[Level, str, tuple[str, int, tuple[str, ...]]], ...] = (
        ("individual", contract.name, own),
        ("category", category.value, (*_space_of(category.context), approaches)),
        ("fleet", "fleet", (*_space_of(FleetContext), approaches)),
    )
    tables = []
    async with Store.connect(url, pool_size=1) as store:
        for level, name, (fingerprint, state_count, columns) in levels:
            handle = await store.q_tables.ensure(level, name, fingerprint, state_count, columns)
            table, weights = _random_table(state_count, len(columns), rng)
            await store.q_tables.publish(handle, table, weights, handle.version, {"benchmark": seed})
            tables.append((table, weights))
    return Population(contract, *tables)


def _space_of(context: type[FleetContext]) -> tuple[str, int]:
    return shared_fingerprint(context), context.space_size()


def _random_table(
    states: int, columns: int, rng: np.random.Generator
) -> tuple[QTable, npt.NDArray[np.float64]]:
    shape = (states, columns)
    visits = np.where(rng.random(shape) < VISITED_SHARE, rng.integers(1, 200, shape), 0)
    q = np.where(visits > 0, rng.normal(0, 30, shape), 0.0)
    spread = np.where(visits > 0, rng.random(shape) * visits, 0.0)
    weights = np.round(visits * 0.8 / _WEIGHT_UNIT) * _WEIGHT_UNIT
    return QTable(q, visits.astype(np.int64), q.copy(), spread), weights
