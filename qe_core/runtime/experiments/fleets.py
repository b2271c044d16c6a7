"""Whole fleets that learn in simulated worlds: what experiments about sharing start from.

What belongs here: every agent of a fleet learning alone in its world, and the shared tables without one of
them. What does not: what is compared (`hierarchy`, `transfer`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from qe_core.config import Settings
from qe_core.environments.catalogue import declarations, world_of
from qe_core.environments.world import World
from qe_core.fleet.contract import AgentContract
from qe_core.fleet.vocabulary import Category, FleetContext
from qe_core.hierarchy.aggregate import Aggregate, AggregationPart, aggregate
from qe_core.hierarchy.lookup import LevelRows
from qe_core.learning.empirical_mdp import q_table_from_transitions
from qe_core.learning.experience import Transitions
from qe_core.learning.q_table import QTable, quantised_weights
from qe_core.runtime.parameters import caution, confidence_settings
from qe_core.runtime.training import TrainingPlan, simulated_play

AGES = (10, 30, 100, 300, 1000)
"""Episodes after which agents that learn alone are looked at."""

SOURCE_EPISODES = AGES[-1]
"""How long the others have learned before a newcomer starts."""


@dataclass(frozen=True)
class LearnedAgent:
    """An agent that learned alone.

    Attributes:
        world: where.
        tables: what it knows after each number of episodes, as the graph would materialise it.
    """

    world: World
    tables: Mapping[int, QTable]

    @property
    def contract(self) -> AgentContract:
        """Whose."""
        return self.world.contract


def table_of(world: World, transitions: Transitions, settings: Settings) -> QTable:
    """Return the table these experiences determine, solved as the graph solves it."""
    discount = world.contract.discount_or(settings.learning.discount)
    return q_table_from_transitions(
        transitions, world.state_count, world.action_count, discount, caution(settings)
    )


@lru_cache(maxsize=32)
def _learned(name: str, seed: int, episodes: tuple[int, ...], written: str) -> LearnedAgent:
    """Return an agent after its sessions; kept, because experiments share it."""
    settings = Settings.model_validate_json(written)
    world = world_of(declarations()[name].contract, seed)
    log = simulated_play(world, settings)(TrainingPlan(name, episodes[-1], seed), None)
    steps = {count: int(np.searchsorted(log.episode, count)) for count in episodes}
    return LearnedAgent(
        world,
        {count: table_of(world, log.transitions.slice(0, stop), settings) for count, stop in steps.items()},
    )


def learned_fleet(seed: int, settings: Settings, episodes: Sequence[int] = AGES) -> dict[str, LearnedAgent]:
    """Return every agent with a simulated world, each after learning alone, by name in roster order.

    Args:
        seed: of the worlds, and of the agents' own chances.
        settings: how they explore, learn and solve.
        episodes: after which numbers of episodes a table is kept, ascending.
    """
    written = settings.model_dump_json()
    return {name: _learned(name, seed, tuple(episodes), written) for name in declarations()}


def part_of(contract: AgentContract, table: QTable, divisor: int, settings: Settings) -> AggregationPart:
    """Return an agent's table as a part of an upper level."""
    weights = quantised_weights(table, confidence_settings(settings))
    return AggregationPart(contract.name, table, weights, divisor, contract.approach_indices)


@dataclass(frozen=True)
class SharedTables:
    """The upper levels of a fleet.

    Attributes:
        categories: by category.
        fleet: over all of them.
    """

    categories: Mapping[Category, Aggregate]
    fleet: Aggregate

    def rows(self, contract: AgentContract) -> tuple[LevelRows, LevelRows]:
        """Return category's and fleet's rows for all states of an agent."""
        states = np.arange(contract.state_count)
        category = self.categories[contract.category]
        return (
            LevelRows.of(category.table, category.weights, states // contract.category_divisor),
            LevelRows.of(self.fleet.table, self.fleet.weights, states // contract.fleet_divisor),
        )


def shared_tables(tables: Mapping[AgentContract, QTable], settings: Settings) -> SharedTables:
    """Return the category tables and the fleet table that these agents' tables determine."""
    categories = {
        category: aggregate(
            [
                part_of(contract, table, contract.category_divisor, settings)
                for contract, table in tables.items()
                if contract.category is category
            ],
            category.context.space_size(),
        )
        for category in Category
    }
    parts = [
        made.as_part(str(name), name.context.divisor_to(FleetContext)) for name, made in categories.items()
    ]
    return SharedTables(categories, aggregate(parts, FleetContext.space_size()))
