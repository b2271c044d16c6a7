"""Others' knowledge orders first tries and nothing else."""

import numpy as np
import pytest

from qe_core.errors import LearningError
from qe_core.hierarchy.first_tries import in_order_of
from qe_core.learning.probability_matching import matching_policy
from qe_core.learning.value_beliefs import ValueBelief


def belief(visits: list[list[int]]) -> ValueBelief:
    count = np.array(visits, dtype=np.int64)
    return ValueBelief(np.where(count > 0, 5.0, 0.0), np.where(count > 0, 2.0, 0.0), count)


def policy(of: ValueBelief) -> list[list[float]]:
    return matching_policy(of.q, of.error, of.visits).tolist()


def test_the_most_promising_untried_action_is_next() -> None:
    prior = np.array([[9.0, 1.0, 4.0]])
    known = np.ones((1, 3), dtype=bool)
    assert policy(in_order_of(belief([[0, 0, 0]]), prior, known)) == [[1, 0, 0]]
    assert policy(in_order_of(belief([[1, 0, 0]]), prior, known)) == [[0, 0, 1]]


def test_equals_and_unknown_ones_are_drawn_from() -> None:
    prior = np.array([[4.0, 4.0, 0.0], [8.0, 2.0, 0.0]])
    known = np.array([[True, True, False], [True, True, False]])
    assert policy(in_order_of(belief([[0, 0, 1], [1, 0, 0]]), prior, known)) == [[0.5, 0.5, 0], [0, 0, 1]]


def test_where_everything_was_tried_nothing_changes() -> None:
    before = belief([[1, 2, 3]])
    after = in_order_of(before, np.array([[1.0, 2.0, 3.0]]), np.ones((1, 3), dtype=bool))
    assert policy(after) == policy(before)


def test_a_prior_of_another_shape_is_refused() -> None:
    with pytest.raises(LearningError, match="prior must have shape"):
        in_order_of(belief([[1, 2]]), np.zeros((1, 3)), np.ones((1, 2), dtype=bool))
