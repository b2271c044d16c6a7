"""Probability matching: closed forms, draws as a second opinion, and rows that cannot be."""

from math import erf, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qe_core.errors import LearningError
from qe_core.learning.probability_matching import matching_policy


def matched(values: list[float], errors: list[float], rate: float = 0.0) -> np.ndarray:
    """Return one state's probabilities, all actions tried once."""
    tried = np.ones((1, len(values)), dtype=np.int64)
    return matching_policy(np.array([values]), np.array([errors]), tried, rate)[0]


@pytest.mark.parametrize(
    ("gap", "first", "second"),
    [(0.0, 1.0, 1.0), (1.0, 1.0, 1.0), (2.0, 0.5, 14.0), (3.0, 2.0, 1.0), (40.0, 20.0, 5.0)],
)
def test_two_actions_follow_the_normal_distribution_of_their_difference(
    gap: float, first: float, second: float
) -> None:
    better = 0.5 * (1 + erf(gap / sqrt(first**2 + second**2) / sqrt(2)))
    assert matched([gap, 0.0], [first, second]) == pytest.approx([better, 1 - better], abs=0.006)


def test_close_actions_are_told_apart_beside_a_vague_one() -> None:
    draws = np.random.default_rng(0).normal([10.0, 11.0, 0.0], [0.3, 0.3, 14.0], (400_000, 3)).argmax(axis=1)
    seen = np.bincount(draws, minlength=3) / len(draws)
    assert matched([10.0, 11.0, 0.0], [0.3, 0.3, 14.0]) == pytest.approx(seen, abs=0.01)


def test_actions_alike_are_chosen_alike() -> None:
    assert matched([5.0] * 7, [2.0] * 7) == pytest.approx([1 / 7] * 7)


def test_an_action_surely_worse_is_left_to_chance() -> None:
    assert matched([100.0, 0.0], [1.0, 1.0], 0.02) == pytest.approx([0.99, 0.01])


def test_untried_actions_come_first_and_share_alike() -> None:
    visits = np.array([[3, 0, 0, 9], [0, 0, 0, 0]])
    policy = matching_policy(np.ones((2, 4)), np.ones((2, 4)), visits, 0.04)
    assert policy[0] == pytest.approx([0.01, 0.49, 0.49, 0.01])
    assert policy[1] == pytest.approx([0.25] * 4)


@given(
    st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3)), min_size=1, max_size=12), st.floats(0, 1)
)
def test_rows_are_distributions_with_a_floor(actions: list[tuple[float, float]], rate: float) -> None:
    policy = matched([value for value, _ in actions], [error for _, error in actions], rate)
    assert policy.sum() == pytest.approx(1.0)
    assert (policy >= rate / len(actions) - 1e-12).all()


@given(st.permutations(range(5)))
def test_the_order_of_actions_does_not_matter(order: list[int]) -> None:
    values, errors = np.array([3.0, 2.0, 2.5, 0.0, -1.0]), np.array([1.0, 2.0, 0.5, 4.0, 9.0])
    plain = matched(values.tolist(), errors.tolist())
    assert matched(values[order].tolist(), errors[order].tolist()) == pytest.approx(plain[order], abs=1e-9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"errors": np.zeros((2, 3))}, "standard error above 0"),
        ({"errors": np.ones((2, 2))}, "errors must have shape"),
        ({"visits": np.ones((1, 3), dtype=np.int64)}, "visits must have shape"),
        ({"values": np.full((2, 3), np.nan)}, "values must be finite"),
        ({"exploration_rate": 1.5}, "exploration rate"),
        (
            {"values": np.ones(3), "errors": np.ones(3), "visits": np.ones(3, dtype=np.int64)},
            r"shape \(states, actions\)",
        ),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict, message: str) -> None:
    fitting = {
        "values": np.ones((2, 3)),
        "errors": np.ones((2, 3)),
        "visits": np.ones((2, 3), dtype=np.int64),
    }
    with pytest.raises(LearningError, match=message):
        matching_policy(**{**fitting, **changes})
