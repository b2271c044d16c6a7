"""Newcomers of the demo of team learning: the same episodes with and without what a team knows."""

import numpy as np

from qe_core.config import Settings
from qe_core.environments.catalogue import world_of
from qe_core.fleet import registry
from qe_core.learning.finite_mdp import solve_finite_mdp
from qe_core.learning.q_table import QTable
from qe_core.learning.team_evidence import TeamEvidence
from qe_core.runtime.team_demo.newcomers import known_best, newcomer_curves

SETTINGS = Settings()


def test_a_team_that_knows_everything_gives_the_optimum_at_once_and_nobody_gives_nothing() -> None:
    world = world_of(registry().get("quality-gate"), 0)
    discount = world.contract.discount_or(SETTINGS.learning.discount)
    reachable = np.repeat(world.is_reachable[:, None], world.action_count, axis=1)
    visits = np.where(reachable, 10_000, 0).astype(np.int64)
    best = np.where(reachable, solve_finite_mdp(world.mdp, discount).q, 0.0)
    knows_all = TeamEvidence(best, visits, np.where(reachable, 0.2, 0.0), visits.astype(np.float64))
    told = newcomer_curves(world, knows_all, SETTINGS, [7])
    alone = newcomer_curves(world, None, SETTINGS, [7])
    assert np.allclose(told.with_team[0, 0], 1.0)
    assert (told.with_team > 0.99).all()
    assert np.array_equal(told.alone, alone.alone)
    assert np.array_equal(alone.alone, alone.with_team)
    assert alone.alone[0, 0] < 0.5 < 0.9 < alone.alone[0, -1]
    assert told.episodes(0.95, is_helped=True).tolist() == [0.0]
    assert told.episodes(0.95, is_helped=False)[0] >= 20.0


def test_priors_count_and_pairs_nobody_knows_do_not() -> None:
    q = np.array([[-5.0, 0.0, -3.0], [0.0, 0.0, 0.0], [0.0, 2.0, 1.0]])
    visits = np.array([[4, 0, 0], [0, 0, 0], [1, 0, 0]])
    table = QTable(q, visits, np.zeros_like(q), np.zeros_like(q))
    assert known_best(table).tolist() == [2, -1, 1]
