"""The Q-learning step in hand-worked numbers, and the learning rate."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qe_core.errors import LearningError
from qe_core.learning.updates import LearningRate, q_update, td_error, td_target


def test_hand_worked_update() -> None:
    target = td_target(reward=10.0, next_value=8.0, discount=0.5, terminated=False)
    assert target == 14.0
    assert td_error(2.0, target) == 12.0
    assert q_update(2.0, target, 0.25) == 5.0


def test_terminal_transition_does_not_bootstrap() -> None:
    assert td_target([10.0, 10.0], [8.0, 8.0], 0.5, [True, False]).tolist() == [10.0, 14.0]


def test_what_follows_a_terminal_transition_is_not_even_looked_at() -> None:
    assert td_target(10.0, np.nan, 0.5, True) == 10.0
    with pytest.raises(LearningError, match="next_value must be finite"):
        td_target(10.0, np.nan, 0.5, False)


def test_a_reward_that_is_not_finite_is_refused() -> None:
    with pytest.raises(LearningError, match=r"reward must be finite, but row 1 \(nan\)"):
        td_target([1.0, np.nan], 0.0, 0.5, False)


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_a_rate_outside_zero_to_one_is_refused(rate: float) -> None:
    with pytest.raises(LearningError, match=r"learning rates must lie in \[0, 1\], but row 0"):
        q_update(0.0, 1.0, rate)


def test_a_discount_of_one_is_refused() -> None:
    with pytest.raises(LearningError, match="discount"):
        td_target(1.0, 1.0, 1.0, False)


def test_the_visit_based_rate_falls_as_the_formula_says() -> None:
    rate = LearningRate.visit_based(initial=0.5, minimum=0.05)
    assert rate.at([0, 1, 9]) == pytest.approx([0.5, 0.5 / 2**0.7, 0.5 / 10**0.7])
    assert rate.at(10_000) == 0.05


def test_the_constant_rate_stays() -> None:
    assert LearningRate.constant(0.1).at([0, 10, 10**9]).tolist() == [0.1] * 3


@given(st.integers(0, 10**9), st.floats(0.01, 1), st.floats(0, 1))
def test_rates_lie_between_minimum_and_initial(visits: int, initial: float, share: float) -> None:
    rate = LearningRate(initial, initial * share)
    assert rate.minimum <= rate.at(visits) <= rate.initial


def test_only_falling_rates_above_their_floor_settle() -> None:
    assert LearningRate().is_settling(10**9)
    assert not LearningRate.constant(0.1).is_settling(0)
    assert not LearningRate(exponent=0.5).is_settling(10)
    assert not LearningRate(exponent=2.0).is_settling(10)
    floored = LearningRate(1.0, 0.1)
    assert floored.is_settling(25)
    assert not floored.is_settling(27)  # 28^-0.7 = 0.097


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"initial": 0.0}, r"initial learning rate must lie in \(0, 1\]"),
        ({"initial": 1.5}, "initial learning rate"),
        ({"minimum": -0.1}, "minimum learning rate must lie in"),
        ({"initial": 0.1, "minimum": 0.2}, r"minimum learning rate must lie in \[0, 0.1\], got 0.2"),
        ({"exponent": -1.0}, "exponent must not be negative"),
        ({"exponent": float("nan")}, "exponent must not be negative"),
    ],
)
def test_impossible_rates_are_refused(fields: dict[str, float], message: str) -> None:
    with pytest.raises(LearningError, match=message):
        LearningRate(**fields)
