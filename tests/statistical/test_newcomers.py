"""Being told the truth helps a newcomer early, and being told the contrary is outvoted.

Two agents, six worlds each, seeds fixed. Told are the effects of the world's own optimal action values, and
the same with their sign turned, as others would tell that are wrong about everything. Mean share of the
optimum; a mean of twelve sessions has a standard error of about 0.03 early and 0.01 late, the margins are
twice that.
"""

from functools import cache

import numpy as np

from qe_core.config import Settings
from qe_core.environments.catalogue import world_of
from qe_core.environments.planned_play import Beliefs, play_planned
from qe_core.environments.world import World
from qe_core.fleet import registry
from qe_core.hierarchy.effect_estimation import estimated_effects
from qe_core.hierarchy.effects import EffectDesign
from qe_core.hierarchy.pooling import PooledBeliefs
from qe_core.learning.finite_mdp import solve_finite_mdp
from qe_core.learning.q_table import QTable
from qe_core.runtime.experiments.fleets import table_of

AGENTS = ("test-data-architect", "chaos-engineer")
WORLDS = range(6)
CHECKPOINTS = (20, 40, 60, 400)
RIGHT, NONE, WRONG = 1, 0, -1
BY_ITSELF = None


def told(world: World, sign: int | None) -> Beliefs | None:
    """Return beliefs that begin from what is right or wrong or nothing, or that know single pairs only."""
    if sign is BY_ITSELF:
        return None
    contract, reachable = world.contract, np.flatnonzero(world.is_reachable)
    design = EffectDesign.of(contract.state_model, contract.category, reachable)
    exact = solve_finite_mdp(world.mdp, world.discount_or_own(None)).q[reachable]
    certain = QTable(exact, np.full(exact.shape, 1_000, dtype=np.int64), exact, np.zeros(exact.shape))
    nothing = np.zeros((1 + contract.action_count, design.column_count))
    effects = sign * estimated_effects(certain, design, nothing)
    effects[0] = 0.0
    return PooledBeliefs(design, contract.action_count, world.discount_or_own(None), effects)


def curve(world: World, seed: int, sign: int | None) -> list[float]:
    """Return the share of the optimum after each number of episodes, by the table of the log."""
    log = play_planned(world, CHECKPOINTS[-1], np.random.default_rng(seed), beliefs=told(world, sign))
    tables = [
        table_of(world, log.transitions.slice(0, stop), Settings())
        for stop in np.searchsorted(log.episode, CHECKPOINTS).tolist()
    ]
    return [world.value_of(table.greedy()) / world.optimal_value() for table in tables]


@cache
def shares(sign: int | None) -> tuple[float, float]:
    """Return the mean share of the optimum early and late, over agents and worlds."""
    worlds = [(world_of(registry().get(name), seed), seed) for name in AGENTS for seed in WORLDS]
    means = np.mean([curve(world, seed, sign) for world, seed in worlds], axis=0)
    return float(means[:-1].mean()), float(means[-1])


def test_the_truth_helps_early() -> None:
    assert shares(RIGHT)[0] > shares(NONE)[0] + 0.06


def test_the_contrary_is_outvoted() -> None:
    assert shares(WRONG)[0] < shares(NONE)[0]
    assert shares(WRONG)[1] > shares(NONE)[1] - 0.03


def test_pooling_helps_where_nobody_tells_anything() -> None:
    assert shares(NONE)[0] > shares(BY_ITSELF)[0] + 0.06
    assert shares(NONE)[1] > shares(BY_ITSELF)[1]
