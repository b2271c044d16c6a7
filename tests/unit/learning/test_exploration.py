"""Schedules fall as declared and resume; choices carry the probability with which they were made."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qe_core.errors import LearningError
from qe_core.learning.exploration import (
    ExplorationSchedule,
    ExponentialSchedule,
    RewardBasedSchedule,
    ScheduleKind,
    StepSchedule,
    epsilon_greedy,
    epsilon_greedy_batch,
    schedule_from_state,
)


def after(schedule: ExplorationSchedule, returns: list[float]) -> ExplorationSchedule:
    for episode_return in returns:
        schedule = schedule.advance(episode_return)
    return schedule


def test_exponential_schedule_falls_by_its_factor_to_its_floor() -> None:
    schedule = ExponentialSchedule(initial=0.2, final=0.01, decay=0.5)
    rates = [after(schedule, [0.0] * episodes).exploration_rate for episodes in (0, 1, 2, 10)]
    assert rates == pytest.approx([0.2, 0.1, 0.05, 0.01])


def test_step_schedule_falls_every_so_many_episodes() -> None:
    schedule = StepSchedule(initial=0.2, final=0.03, factor=0.5, every=3)
    rates = [after(schedule, [0.0] * episodes).exploration_rate for episodes in (0, 2, 3, 6, 60)]
    assert rates == pytest.approx([0.2, 0.2, 0.1, 0.05, 0.03])


def test_reward_based_schedule_falls_only_when_the_bar_is_reached_and_raises_it() -> None:
    schedule = RewardBasedSchedule(initial=0.2, final=0.0, steps=2, bar=10.0, bar_step=5.0)
    assert after(schedule, [9.9] * 100) == schedule
    once = schedule.advance(10.0)
    assert (once.exploration_rate, once.bar) == (pytest.approx(0.1), 15.0)
    assert once.advance(14.0) == once
    twice = once.advance(15.0)
    assert (twice.exploration_rate, twice.bar) == (pytest.approx(0.0), 20.0)
    assert twice.advance(1e6) == twice


@pytest.mark.parametrize("schedule", [ExponentialSchedule(), StepSchedule(), RewardBasedSchedule(bar=-5.0)])
def test_defaults_fall_from_a_fifth_to_a_hundredth(schedule: ExplorationSchedule) -> None:
    assert schedule.exploration_rate == 0.2
    assert after(schedule, [1e9] * 1000).exploration_rate == pytest.approx(0.01)


@pytest.mark.parametrize("schedule", [ExponentialSchedule(), StepSchedule(every=2), RewardBasedSchedule()])
@given(before=st.lists(st.floats(-100, 100), max_size=8), later=st.lists(st.floats(-100, 100), max_size=8))
def test_a_schedule_resumed_from_json_goes_on_as_if_never_stopped(
    schedule: ExplorationSchedule, before: list[float], later: list[float]
) -> None:
    stopped = after(schedule, before)
    resumed = schedule_from_state(json.loads(json.dumps(stopped.state())))
    assert after(resumed, later) == after(schedule, before + later)


def test_a_schedule_is_made_from_settings_of_the_same_form() -> None:
    assert schedule_from_state({"kind": "step", "every": 7}) == StepSchedule(every=7)
    assert {kind.value for kind in ScheduleKind} == {"exponential", "step", "reward_based"}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"kind": "linear"}, "unknown exploration schedule 'linear'; use one of"),
        ({}, "unknown exploration schedule None"),
        ({"kind": "step", "decay": 0.5}, "state of the step exploration schedule does not fit: .*decay"),
        ({"kind": "exponential", "initial": 1.2}, r"initial exploration rate must lie in \[0, 1\]"),
        ({"kind": "exponential", "initial": 0.1, "final": 0.2}, "final 0.2 is above initial 0.1"),
        ({"kind": "exponential", "decay": 0.0}, r"exploration decay must lie in \(0, 1\]"),
        ({"kind": "step", "factor": 2.0}, "exploration step factor"),
        ({"kind": "step", "every": 0}, "episodes per exploration step must be a finite number above 0"),
        ({"kind": "reward_based", "steps": 0}, "exploration steps must be a finite number above 0"),
        ({"kind": "reward_based", "bar": float("nan")}, "reward bar and its step must be finite"),
        ({"kind": "reward_based", "bar_step": -1.0}, "the step not negative"),
    ],
)
def test_impossible_schedules_are_refused(state: dict, message: str) -> None:
    with pytest.raises(LearningError, match=message):
        schedule_from_state(state)


@pytest.mark.parametrize("schedule", [ExponentialSchedule(), StepSchedule(), RewardBasedSchedule()])
def test_a_return_that_is_not_finite_is_refused(schedule: ExplorationSchedule) -> None:
    with pytest.raises(LearningError, match="episode return must be finite, got nan"):
        schedule.advance(float("nan"))


def test_without_exploration_the_best_action_is_certain() -> None:
    choice = epsilon_greedy(np.array([1.0, 5.0, 2.0]), 0.0, np.random.default_rng(0))
    assert (choice.action, choice.propensity, choice.is_explored) == (1, 1.0, False)


def test_propensities_are_the_hand_worked_mixture() -> None:
    generator = np.random.default_rng(0)
    choices = [epsilon_greedy(np.array([5.0, 5.0, 2.0]), 0.3, generator) for _ in range(200)]
    assert {choice.action for choice in choices} == {0, 1, 2}
    for choice in choices:
        assert choice.propensity == pytest.approx(0.1 if choice.action == 2 else 0.1 + 0.7 / 2)
        assert choice.is_explored or choice.action != 2


def test_greedy_choice_is_among_eligible_actions_but_exploration_is_among_all() -> None:
    generator = np.random.default_rng(0)
    values, is_eligible = np.array([0.0, -3.0, -1.0]), np.array([False, True, True])
    greedy = epsilon_greedy(values, 0.0, generator, is_eligible)
    assert (greedy.action, greedy.propensity) == (2, 1.0)
    explored = [epsilon_greedy(values, 1.0, generator, is_eligible) for _ in range(100)]
    assert {choice.action for choice in explored} == {0, 1, 2}


def test_where_nothing_is_eligible_all_actions_are() -> None:
    choice = epsilon_greedy(np.array([1.0, 2.0]), 0.0, np.random.default_rng(0), np.zeros(2, dtype=bool))
    assert choice.action == 1


@given(
    st.lists(st.lists(st.integers(-3, 3), min_size=4, max_size=4), min_size=1, max_size=10),
    st.floats(0, 1),
    st.integers(0, 2**32),
    st.booleans(),
)
def test_the_batch_chooses_exactly_what_the_single_form_chooses(
    rows: list[list[int]], rate: float, seed: int, is_masked: bool
) -> None:
    values = np.array(rows, dtype=float)
    is_eligible = values > 0 if is_masked else None
    batch = epsilon_greedy_batch(values, rate, np.random.default_rng(seed), is_eligible)
    generator = np.random.default_rng(seed)
    for row in range(len(values)):
        single = epsilon_greedy(
            values[row], rate, generator, None if is_eligible is None else is_eligible[row]
        )
        assert batch.action[row] == single.action
        assert batch.propensity[row] == pytest.approx(single.propensity)
        assert batch.is_explored[row] == single.is_explored


def test_each_row_may_have_its_own_rate_and_no_rows_are_fine() -> None:
    values = np.array([[1.0, 0.0], [1.0, 0.0]])
    choices = epsilon_greedy_batch(values, np.array([0.0, 1.0]), np.random.default_rng(1))
    assert choices.propensity.tolist() == [1.0, 0.5]
    assert len(epsilon_greedy_batch(np.zeros((0, 3)), 0.1, np.random.default_rng(1)).action) == 0


@pytest.mark.parametrize("values", [np.array([]), np.array([1.0, np.nan])])
def test_values_that_are_missing_or_not_finite_are_refused(values: np.ndarray) -> None:
    with pytest.raises(LearningError, match="values must be finite, one per action"):
        epsilon_greedy(values, 0.1, np.random.default_rng(0))


def test_bad_batches_and_rates_are_refused() -> None:
    generator = np.random.default_rng(0)
    with pytest.raises(LearningError, match=r"finite with shape \(rows, actions\), got \(3,\)"):
        epsilon_greedy_batch(np.zeros(3), 0.1, generator)
    with pytest.raises(LearningError, match="exploration rates must lie in"):
        epsilon_greedy_batch(np.zeros((1, 3)), 1.5, generator)
    with pytest.raises(LearningError, match="exploration rate must lie in"):
        epsilon_greedy(np.zeros(3), -0.5, generator)
