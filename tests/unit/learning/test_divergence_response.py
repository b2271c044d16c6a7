"""Divergence is answered step by step, and taken back step by step."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qe_core.errors import LearningError
from qe_core.learning.convergence import Verdict
from qe_core.learning.divergence_response import NEUTRAL, Adjustment, ResponseSettings, respond
from qe_core.learning.updates import LearningRate

BAD, GOOD, DONE = Verdict.DIVERGING, Verdict.LEARNING, Verdict.CONVERGED
NOTHING, STALE = Verdict.INSUFFICIENT_DATA, Verdict.STALE
histories = st.lists(st.sampled_from(Verdict), max_size=60)


@pytest.mark.parametrize(
    ("history", "factor", "floor"),
    [
        ([], 1.0, 0.0),
        ([BAD], 1.0, 0.0),
        ([BAD, BAD], 0.5, 0.1),
        ([BAD, BAD, BAD], 0.5, 0.1),
        ([BAD] * 4, 0.25, 0.2),
        ([BAD] * 6, 0.125, 0.3),
        ([BAD] * 60, 0.125, 0.3),
        ([BAD, BAD, GOOD, GOOD], 0.5, 0.1),
        ([BAD, BAD, GOOD, DONE, GOOD], 1.0, 0.0),
        ([BAD] * 60 + [DONE] * 3, 0.25, 0.2),
        ([BAD] * 60 + [DONE] * 9, 1.0, 0.0),
        ([BAD, GOOD] * 20, 1.0, 0.0),
        ([BAD, BAD, GOOD, GOOD, BAD, GOOD, GOOD], 0.5, 0.1),
        ([BAD, NOTHING, BAD], 1.0, 0.0),
        ([BAD, BAD, STALE], 0.5, 0.1),
    ],
)
def test_steps_in_hand_worked_histories(history: list[Verdict], factor: float, floor: float) -> None:
    found = respond(history)
    assert found.learning_rate_factor == factor
    assert found.exploration_floor == pytest.approx(floor)


@given(histories)
def test_limits_hold_and_both_figures_move_together(history: list[Verdict]) -> None:
    found = respond(history)
    assert 0.125 <= found.learning_rate_factor <= 1.0
    assert 0.0 <= found.exploration_floor <= 0.3
    assert (found.learning_rate_factor == 1.0) == (found.exploration_floor == 0.0)


@given(histories)
def test_health_that_lasts_restores_everything(history: list[Verdict]) -> None:
    assert respond(history + [GOOD] * 9) == NEUTRAL


@given(histories, st.sampled_from(Verdict))
def test_one_more_window_moves_at_most_one_step_and_in_its_own_direction(
    history: list[Verdict], verdict: Verdict
) -> None:
    before, after = respond(history), respond([*history, verdict])
    ratio = after.learning_rate_factor / before.learning_rate_factor
    assert ratio in {Verdict.DIVERGING: {0.5, 1.0}, GOOD: {1.0, 2.0}, DONE: {1.0, 2.0}}.get(verdict, {1.0})


def test_an_adjustment_scales_the_rate_and_lifts_exploration() -> None:
    half = Adjustment(0.5, 0.2)
    assert half.learning_rate(LearningRate(1.0, 0.1, 0.7)) == LearningRate(0.5, 0.05, 0.7)
    assert half.learning_rate(LearningRate.constant(0.1)) == LearningRate.constant(0.05)
    assert (half.exploration_rate(0.01), half.exploration_rate(0.4)) == (0.2, 0.4)
    assert NEUTRAL.is_neutral
    assert not half.is_neutral


def test_no_exploration_step_still_ends() -> None:
    settings = ResponseSettings(exploration_step=0.0)
    assert settings.last_step == 3
    assert respond([BAD] * 10, settings) == Adjustment(0.125, 0.0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"diverging_windows": 0}, "diverging_windows must be at least 1"),
        ({"healthy_windows": 0}, "healthy_windows must be at least 1"),
        ({"learning_rate_step": 1.0}, "learning_rate_step must be below 1"),
        ({"learning_rate_step": 0.0}, "learning_rate_step must lie in"),
        ({"max_exploration_floor": 1.5}, "max_exploration_floor must lie in"),
    ],
)
def test_impossible_settings_are_refused(fields: dict[str, float], message: str) -> None:
    with pytest.raises(LearningError, match=message):
        ResponseSettings(**fields)
