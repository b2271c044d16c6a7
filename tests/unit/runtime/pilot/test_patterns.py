"""What was learned is held against what is best."""

from dataclasses import replace

import numpy as np
import pytest

from qe_core.environments.catalogue import world_of
from qe_core.fleet.test_generation import TEST_GENERATOR
from qe_core.learning.q_table import QTable
from qe_core.runtime.pilot.patterns import patterns_of
from qe_core.runtime.value_reached import ValueReached

WORLD = world_of(TEST_GENERATOR, 0)
REACHABLE = np.flatnonzero(WORLD.is_reachable)


def learned(wrong: dict[int, int] | None = None, met: int = 4) -> QTable:
    """A table that knows every situation exactly, but takes some other actions for the best."""
    table = QTable.zeros(WORLD.state_count, WORLD.action_count)
    q, visits = table.q.copy(), table.visits.copy()
    q[REACHABLE] = WORLD.reward_mean[REACHABLE]
    visits[REACHABLE] = met
    for state, action in (wrong or {}).items():
        q[state, action] = q[state].max() + 1.0
    return replace(table, q=q, visits=visits)


def test_a_table_that_knows_everything_has_only_right_patterns() -> None:
    found = patterns_of(WORLD, learned(), 0.0, tie_points=0.0)
    assert (found.right, len(found.all)) == (len(REACHABLE), len(REACHABLE))
    assert (found.right_share_of_decisions, found.mean_loss) == (1.0, 0.0)
    assert {one.met for one in found.all} == {4 * WORLD.action_count}
    assert "track record" in found.all[0].situation


def test_a_wrong_pattern_is_named_with_what_it_loses() -> None:
    state = int(REACHABLE[np.ptp(WORLD.reward_mean[REACHABLE], axis=1).argmax()])
    worst = int(WORLD.reward_mean[state].argmin())
    found = patterns_of(WORLD, learned({state: worst}), 0.0, tie_points=1.0)
    [wrong] = [one for one in found.all if one.loss > 1.0]
    names = TEST_GENERATOR.action_names
    assert (wrong.learned, wrong.best) == (names[worst], names[int(WORLD.reward_mean[state].argmax())])
    assert wrong.loss == pytest.approx(np.ptp(WORLD.reward_mean[state]))
    assert found.right == len(REACHABLE) - 1
    assert found.mean_loss == pytest.approx(wrong.loss / len(REACHABLE))


def test_situations_that_were_never_met_teach_nothing() -> None:
    table = QTable.zeros(WORLD.state_count, WORLD.action_count)
    found = patterns_of(WORLD, table, 0.0, tie_points=1.0)
    assert (found.all, found.right_share_of_decisions, found.mean_loss) == ((), 0.0, 0.0)


def test_the_value_reached_lies_beside_optimum_and_what_is_easy() -> None:
    reached = ValueReached.of(WORLD, learned(), 0.0)
    assert reached.value == pytest.approx(reached.optimum)
    assert reached.percent_of_optimum == pytest.approx(100.0)
    assert reached.random < reached.best_fixed < reached.optimum
    assert reached.best_fixed_action in TEST_GENERATOR.action_names
