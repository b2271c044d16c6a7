"""Projection is integer division, and commutes with going by way of the category."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qe_core.errors import LearningError
from qe_core.hierarchy.project import project_pairs, project_states


def test_hand_worked_projection() -> None:
    assert project_states([0, 5, 6, 17], 6).tolist() == [0, 0, 1, 2]
    assert project_states(7, 2).tolist() == 3


@given(st.lists(st.integers(0, 10**12)), st.integers(1, 1000), st.integers(1, 1000))
def test_going_by_way_of_the_category_is_going_to_the_fleet(
    states: list[int], first: int, second: int
) -> None:
    by_way = project_states(project_states(states, first), second)
    assert by_way.tolist() == project_states(states, first * second).tolist()
    assert by_way.tolist() == [state // (first * second) for state in states]


def test_pairs_go_to_their_approach_of_the_projected_state() -> None:
    cells = project_pairs(state_count=4, divisor=2, approach_indices=[5, 0, 5], approach_count=6)
    assert cells.tolist() == [[5, 0, 5], [5, 0, 5], [11, 6, 11], [11, 6, 11]]


def test_impossible_projections_are_refused() -> None:
    with pytest.raises(LearningError, match="divisor must be at least 1, got 0"):
        project_states([1], 0)
    with pytest.raises(LearningError, match="states must not be negative, got -1"):
        project_states([3, -1], 2)
    with pytest.raises(LearningError, match=r"approach_indices must lie in 0 … 5, but row 1 \(6\)"):
        project_pairs(2, 1, [0, 6], 6)
