"""A fleet that has learned something: random tables of its agents, their categories and the fleet.

What belongs here: filling the three levels and knowing what a lookup must answer. What does not: updates
(`workload`) and clocks.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qe_core.config import Settings
from qe_core.fleet import Approach, FleetContext, registry, shared_fingerprint
from qe_core.hierarchy.lookup import LevelRows, blended_lookup
from qe_core.learning.q_table import QTable, quantised_weights
from qe_core.runtime.parameters import confidence_settings
from qe_core.store import Level, Store

VISITED_SHARE = 0.6

Weights = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Population:
    """Tables of the three levels as they were stored.

    Attributes:
        tables: contents and weights, by level and name.
    """

    tables: Mapping[tuple[Level, str], tuple[QTable, Weights]]

    def best_actions(self, agent: str, states: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return what a lookup must find: the greedy action of each state over the blended levels."""
        contract = registry().get(agent)
        return blended_lookup(
            LevelRows.of(*self.tables["individual", agent], states),
            LevelRows.of(
                *self.tables["category", contract.category.value], states // contract.category_divisor
            ),
            LevelRows.of(*self.tables["fleet", "fleet"], states // contract.fleet_divisor),
            contract.approach_indices,
        ).greedy()


async def populate(url: str, agents: tuple[str, ...], seed: int = 3) -> Population:
    """Fill and publish the tables that lookups of these agents read."""
    rng = np.random.default_rng(seed)
    approaches = tuple(approach.value for approach in Approach)
    contracts = [registry().get(agent) for agent in agents]
    shapes: dict[tuple[Level, str], tuple[str, int, tuple[str, ...]]] = {
        ("individual", of.name): (of.fingerprint, of.state_count, of.action_names) for of in contracts
    }
    for category in dict.fromkeys(of.category for of in contracts):
        shapes["category", category.value] = (*_space_of(category.context), approaches)
    shapes["fleet", "fleet"] = (*_space_of(FleetContext), approaches)
    tables = {}
    async with Store.connect(url, pool_size=1) as store:
        for (level, name), (fingerprint, state_count, columns) in shapes.items():
            handle = await store.q_tables.ensure(level, name, fingerprint, state_count, columns)
            table = _random_table(state_count, len(columns), rng)
            weights = quantised_weights(table, confidence_settings(Settings()))
            await store.q_tables.publish(handle, table, weights, handle.version, {"benchmark": seed})
            tables[level, name] = table, weights
    return Population(tables)


def _space_of(context: type[FleetContext]) -> tuple[str, int]:
    return shared_fingerprint(context), context.space_size()


def _random_table(states: int, columns: int, rng: np.random.Generator) -> QTable:
    shape = (states, columns)
    visits = np.where(rng.random(shape) < VISITED_SHARE, rng.integers(1, 200, shape), 0)
    q = np.where(visits > 0, rng.normal(0, 30, shape), 0.0)
    deviations = np.where(visits > 0, 400.0 * rng.random(shape) * visits, 0.0)
    return QTable(q, visits.astype(np.int64), q.copy(), deviations)
