"""What sharing and caution are worth on simulated worlds: the evidence behind the defaults (ADR 0033, 0034).

All 18 agents learn alone in worlds of their own; then each acts greedily by what a rule of lookup tells it.
The score is the exact value of that policy over the optimum. Seeds are fixed; the margins asked for are a
fraction of those measured over 20 seeds, so that they hold for other seeds and for worlds of the same kind.
"""

from collections.abc import Mapping
from functools import cache

import numpy as np
import pytest

from qe_core.environments.catalogue import world_of
from qe_core.environments.rollouts import play
from qe_core.environments.world import World
from qe_core.fleet.contract import AgentContract
from qe_core.fleet.roster import AGENTS
from qe_core.fleet.vocabulary import Category, FleetContext
from qe_core.hierarchy.aggregate import Aggregate, AggregationPart, aggregate
from qe_core.hierarchy.lookup import ORDERED_RULE, LevelRows, blended_lookup, ordered_lookup
from qe_core.learning.empirical_mdp import Caution, EmpiricalMdp, q_table_from_mdp, solve_empirical_mdp
from qe_core.learning.q_table import QTable, quantised_weights

DISCOUNT = 0.95
SEEDS = (0, 1)


def learned(world: World, episodes: int, seed: int, pessimism: float) -> QTable:
    contract = world.contract
    log = play(world, episodes, np.random.default_rng(seed)).transitions
    mdp = EmpiricalMdp.from_transitions(log, contract.state_count, contract.action_count)
    return q_table_from_mdp(mdp, solve_empirical_mdp(mdp, DISCOUNT, Caution(pessimism=pessimism)), DISCOUNT)


def shared_tables(tables: Mapping[AgentContract, QTable]) -> tuple[dict[Category, Aggregate], Aggregate]:
    categories = {
        category: aggregate(
            [
                AggregationPart(c.name, t, quantised_weights(t), c.category_divisor, c.approach_indices)
                for c, t in tables.items()
                if c.category == category
            ],
            category.context.space_size(),
        )
        for category in Category
    }
    parts = [made.as_part(str(c), c.context.divisor_to(FleetContext)) for c, made in categories.items()]
    return categories, aggregate(parts, FleetContext.space_size())


@cache
def scores(episodes: int, pessimism: float, seeds: tuple[int, ...] = SEEDS) -> dict[str, float]:
    """Return the mean share of the optimum per rule, over all agents and seeds."""
    found: dict[str, list[float]] = {}
    for seed in seeds:
        worlds = {contract: world_of(contract, seed) for contract in AGENTS}
        tables = {c: learned(world, episodes, seed, pessimism) for c, world in worlds.items()}
        categories, fleet = shared_tables(tables)
        for contract, world in worlds.items():
            states = np.arange(contract.state_count)
            table, category = tables[contract], categories[contract.category]
            rows = (
                LevelRows.of(table, quantised_weights(table), states),
                LevelRows.of(category.table, category.weights, states // contract.category_divisor),
                LevelRows.of(fleet.table, fleet.weights, states // contract.fleet_divisor),
                contract.approach_indices,
            )
            policies = {
                "individual": table.greedy(),
                "ordered": ordered_lookup(*rows).greedy(),
                "blend raw": blended_lookup(*rows, ORDERED_RULE).greedy(),
                "blend": blended_lookup(*rows).greedy(),
            }
            for rule, policy in policies.items():
                share = world.value_of(policy, DISCOUNT) / world.optimal_value(DISCOUNT)
                found.setdefault(rule, []).append(share)
    return {rule: float(np.mean(shares)) for rule, shares in found.items()}


def test_sharing_helps_an_agent_with_few_episodes() -> None:
    early = scores(30, 1.0)
    assert early["blend"] > early["individual"] + 0.03
    assert early["blend"] > early["ordered"] + 0.02


def test_sharing_costs_an_experienced_agent_next_to_nothing() -> None:
    late = scores(300, 1.0)
    assert late["blend"] > late["individual"] - 0.03


@pytest.mark.parametrize("episodes", [100, 300])
def test_advantages_are_better_shared_than_raw_values(episodes: int) -> None:
    assert scores(episodes, 1.0)["blend"] > scores(episodes, 1.0)["blend raw"]


def test_caution_pays_where_samples_are_few() -> None:
    assert scores(300, 1.0)["individual"] > scores(300, 0.0)["individual"] + 0.01
