"""Putting a log in order: whole episodes only, by step, with usable propensities."""

import numpy as np
import pytest

from qe_core.errors import LearningError
from qe_core.learning.experience import Transitions
from qe_core.rollout.off_policy_log import LoggedEpisodes


def transitions(state: list[int], ended: list[int], cut: list[int] | None = None) -> Transitions:
    rows = len(state)
    return Transitions.from_columns(
        state, [0] * rows, [float(value) for value in state], [0] * rows, np.array(ended, dtype=bool),
        np.array(cut if cut is not None else [0] * rows, dtype=bool),
    )  # fmt: skip


def test_steps_in_any_order_become_whole_episodes() -> None:
    log = LoggedEpisodes.from_columns(
        transitions([11, 20, 10, 12], [0, 1, 0, 1]), ["a", "b", "a", "a"], [1, 0, 0, 2], [0.1, 0.2, 0.3, 0.4]
    )
    assert log.transitions.state.tolist() == [10, 11, 12, 20]
    assert log.propensity.tolist() == [0.3, 0.1, 0.4, 0.2]
    assert log.offsets.tolist() == [0, 3, 4]
    assert log.start_states.tolist() == [10, 20]
    assert (len(log), log.horizon, log.incomplete_count) == (2, 3, 0)


@pytest.mark.parametrize(
    ("steps", "ended"),
    [
        ([0, 1], [0, 0]),  # no end
        ([0, 2], [0, 1]),  # a step is missing
        ([1, 2], [0, 1]),  # the start is missing
        ([0, 1], [1, 1]),  # it goes on after its end
        ([0, 0], [0, 1]),  # a step twice
    ],
)
def test_an_incomplete_episode_is_left_out_and_counted(steps: list[int], ended: list[int]) -> None:
    log = LoggedEpisodes.from_columns(
        transitions([1, 2, 3], [*ended, 1]), ["a", "a", "b"], [*steps, 0], [0.5, 0.5, 0.5]
    )
    assert log.transitions.state.tolist() == [3]
    assert log.incomplete_count == 1


def test_a_truncated_episode_is_whole() -> None:
    log = LoggedEpisodes.from_columns(transitions([1, 2], [0, 0], [0, 1]), [7, 7], [0, 1], [0.5, 0.5])
    assert len(log) == 1


def test_an_empty_log_is_a_log_without_episodes() -> None:
    log = LoggedEpisodes.from_columns(Transitions.empty(), [], [], [])
    assert (len(log), log.horizon) == (0, 0)


def test_selected_episodes_keep_their_steps() -> None:
    log = LoggedEpisodes.from_columns(
        transitions([1, 2, 3], [0, 1, 1]), ["a", "a", "b"], [0, 1, 0], [0.5, 0.6, 0.7]
    )
    chosen = log.select(np.array([False, True]))
    assert (chosen.transitions.state.tolist(), chosen.propensity.tolist()) == ([3], [0.7])
    assert chosen.offsets.tolist() == [0, 1]


def test_numbers_by_step_are_filled_after_the_end() -> None:
    log = LoggedEpisodes.from_columns(
        transitions([1, 2, 3], [0, 1, 1]), ["a", "a", "b"], [0, 1, 0], [0.5, 0.6, 0.7]
    )
    assert log.by_step(log.propensity, 1.0).tolist() == [[0.5, 0.6], [0.7, 1.0]]


@pytest.mark.parametrize("propensity", [0.0, -0.1, 1.1, np.nan])
def test_a_propensity_that_is_no_probability_is_named(propensity: float) -> None:
    with pytest.raises(LearningError, match=r"propensities must lie in \(0, 1\].*row 1"):
        LoggedEpisodes.from_columns(transitions([1, 2], [0, 1]), [0, 0], [0, 1], [0.5, propensity])


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(LearningError, match="2 transitions, 1 episode names"):
        LoggedEpisodes.from_columns(transitions([1, 2], [0, 1]), [0], [0, 1], [0.5, 0.5])
