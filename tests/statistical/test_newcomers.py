"""Good advice about first tries helps a newcomer early, and bad advice is forgotten.

Two agents, six worlds each, seeds fixed. The best advice there is (the world's own optimal action values),
and the same with its sign turned, as a source would give that is wrong about everything. Mean share of the
optimum; a mean of twelve sessions has a standard error of about 0.03 early and 0.01 late, the margins are
twice that.
"""

from functools import cache

import numpy as np

from qe_core.config import Settings
from qe_core.environments.catalogue import world_of
from qe_core.environments.planned_play import Advice, play_planned
from qe_core.environments.world import World
from qe_core.fleet import registry
from qe_core.hierarchy.first_tries import in_order_of
from qe_core.learning.finite_mdp import solve_finite_mdp
from qe_core.learning.value_beliefs import ValueBelief
from qe_core.runtime.experiments.fleets import table_of

AGENTS = ("test-data-architect", "chaos-engineer")
WORLDS = range(6)
CHECKPOINTS = (20, 40, 60, 400)
RIGHT, NONE, WRONG = 1, 0, -1


def advice(world: World, sign: int) -> Advice | None:
    """Return advice that is right or wrong about every pair, or none."""
    if sign == NONE:
        return None
    reachable = np.flatnonzero(world.is_reachable)
    prior = sign * solve_finite_mdp(world.mdp, world.discount_or_own(None)).q[reachable]

    def advise(belief: ValueBelief) -> ValueBelief:
        return in_order_of(belief, prior, np.ones(prior.shape, dtype=np.bool_))

    return advise


def curve(world: World, seed: int, sign: int) -> list[float]:
    """Return the share of the optimum after each number of episodes."""
    log = play_planned(world, CHECKPOINTS[-1], np.random.default_rng(seed), advice=advice(world, sign))
    tables = [
        table_of(world, log.transitions.slice(0, stop), Settings())
        for stop in np.searchsorted(log.episode, CHECKPOINTS).tolist()
    ]
    return [world.value_of(table.greedy()) / world.optimal_value() for table in tables]


@cache
def shares(sign: int) -> tuple[float, float]:
    """Return the mean share of the optimum early and late, over agents and worlds."""
    worlds = [(world_of(registry().get(name), seed), seed) for name in AGENTS for seed in WORLDS]
    means = np.mean([curve(world, seed, sign) for world, seed in worlds], axis=0)
    return float(means[:-1].mean()), float(means[-1])


def test_good_advice_helps_early() -> None:
    assert shares(RIGHT)[0] > shares(NONE)[0] + 0.06


def test_bad_advice_is_forgotten() -> None:
    assert shares(WRONG)[0] < shares(NONE)[0]
    assert shares(WRONG)[1] > shares(NONE)[1] - 0.03
