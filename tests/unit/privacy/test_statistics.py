"""Exact counts by hand: what is counted where, clipped how, and what adds up."""

import numpy as np
import pytest

from qe_core.errors import PrivacyError
from qe_core.fleet import registry
from qe_core.privacy.space import PublicSpace
from qe_core.privacy.statistics import AgentStatistics, exact_statistics
from qe_core.privacy.units import AgentSteps, ContributionBound, ProtectedUnit

# States 0 … 5; the part is state % 2, the rest state // 2; 2 actions.
SPACE = PublicSpace("one", "0" * 16, 6, 2, 2, np.arange(6) % 2, np.arange(6) // 2)
TASKS = ContributionBound(ProtectedUnit.TASK, 5, 1.5)


def counted(rows: list[tuple[int, int, int, float, int, bool]]) -> AgentStatistics:
    unit, state, action, reward, next_state, terminated = (
        np.array(column) for column in zip(*rows, strict=True)
    )
    steps = AgentSteps(unit, state, action, reward.astype(float), next_state, terminated)
    return exact_statistics({"one": steps}, {"one": SPACE}, TASKS, np.random.default_rng(0))["one"]


def test_two_tasks_by_hand() -> None:
    found = counted(
        [
            (1, 0, 1, 0.5, 3, False),  # part 0, action 1 -> part 1
            (1, 3, 0, -7.0, 4, True),  # part 1, action 0 -> the end, clipped to -1.5
            (2, 0, 1, 0.123, 2, False),  # part 0, action 1 -> part 0
            (2, 2, 1, 0.126, 0, False),  # part 0, action 1 a second time: no row of successors
        ]
    )
    visits = np.zeros((6, 2), dtype=int)
    visits[0, 1], visits[3, 0], visits[2, 1] = 2, 1, 1
    rewards = np.zeros((6, 2), dtype=int)
    rewards[0, 1], rewards[3, 0], rewards[2, 1] = 50 + 12, -150, 13
    transitions = np.zeros((4, 3), dtype=int)
    transitions[0 * 2 + 1] = [1, 1, 0]
    transitions[1 * 2 + 0] = [0, 0, 1]

    assert found.units == 2
    np.testing.assert_array_equal(found.visits, visits)
    np.testing.assert_array_equal(found.rewards, rewards)
    np.testing.assert_array_equal(found.transitions, transitions)


def test_counts_add_up() -> None:
    one = counted([(1, 0, 1, 0.5, 3, False)])
    both = one + one + AgentStatistics.zeros(SPACE)

    assert (both.units, both.visits.sum(), both.rewards.sum(), both.transitions.sum()) == (2, 2, 100, 2)
    assert {array.dtype for array in (both.visits, both.rewards, both.transitions)} == {np.dtype(np.int64)}


def test_counts_of_other_spaces_do_not_add_up() -> None:
    other = AgentStatistics.zeros(PublicSpace.of(registry().get("test-executor")))
    with pytest.raises(PrivacyError, match="do not add up"):
        AgentStatistics.zeros(SPACE) + other
