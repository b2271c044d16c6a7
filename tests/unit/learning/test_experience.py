"""Columns of transitions: conversion, validation, slicing and joining."""

import numpy as np
import pytest

from qe_core.errors import LearningError
from qe_core.learning.experience import COLUMN_TYPES, Transitions


def three() -> Transitions:
    return Transitions.from_columns([0, 1, 2], [0, 1, 0], [1.0, 2.0, 3.0], [1, 2, 0], [0, 0, 1], [0, 1, 0])


def test_columns_are_converted_to_their_types() -> None:
    transitions = three()
    for name, wanted in COLUMN_TYPES.items():
        assert getattr(transitions, name).dtype == wanted
    assert len(transitions) == 3
    assert transitions.truncated.tolist() == [False, True, False]


def test_truncated_defaults_to_no() -> None:
    assert not Transitions.from_columns([0], [0], [1.0], [0], [True]).truncated.any()


def test_columns_already_right_are_not_copied() -> None:
    reward = np.array([1.0])
    assert Transitions.from_columns([0], [0], reward, [0], [True]).reward is reward


def test_no_rows_are_transitions_too() -> None:
    assert len(Transitions.empty()) == 0
    assert len(Transitions.from_columns([], [], [], [], [])) == 0
    assert len(Transitions.concatenate([])) == 0
    Transitions.empty().validate(1, 1)


def test_slice_and_concatenate_are_inverse() -> None:
    transitions = three()
    joined = Transitions.concatenate([transitions.slice(0, 1), transitions.slice(1, 3)])
    for name in COLUMN_TYPES:
        assert np.array_equal(getattr(joined, name), getattr(transitions, name))


def test_a_slice_shares_memory_with_its_origin() -> None:
    transitions = three()
    assert np.shares_memory(transitions.slice(1, 2).reward, transitions.reward)


def test_episodes_end_after_terminated_and_truncated_rows() -> None:
    assert three().episode_ends().tolist() == [2, 3]


def test_valid_transitions_pass_and_are_returned() -> None:
    transitions = three()
    assert transitions.validate(3, 2) is transitions


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("state", [0, 1, 3], r"state must lie in 0 … 2, but row 2 \(3\)"),
        ("next_state", [-1, 1, 2], r"next_state must lie in 0 … 2, but row 0 \(-1\)"),
        ("action", [0, 2, 0], r"action must lie in 0 … 1, but row 1 \(2\)"),
        ("reward", [0.0, np.nan, 1.0], r"reward must be finite, but row 1 \(nan\)"),
        ("reward", [0.0, 1.0, -np.inf], r"reward must be finite, but row 2 \(-inf\)"),
        ("truncated", [0, 0, 1], r"terminated or truncated, not both.*row 2 \(2\).*keep terminated"),
    ],
)
def test_a_bad_row_is_named(column: str, values: list[float], message: str) -> None:
    columns = {name: getattr(three(), name) for name in COLUMN_TYPES} | {column: values}
    with pytest.raises(LearningError, match=message):
        Transitions.from_columns(**columns).validate(3, 2)


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("state", [0.5, 1, 2], r"column state does not fit int64: row 0 \(0.5\)"),
        ("state", [0.0, np.nan, 2], r"column state does not fit int64: row 1 \(nan\)"),
        ("action", [0, 40_000, 0], r"column action does not fit int16: row 1 \(40000\)"),
        ("terminated", [0, 2, 0], r"column terminated does not fit bool: row 1 \(2\)"),
        ("reward", ["a", "b", "c"], "column reward must be numbers"),
        ("reward", [1.0, 2.0], "must have one length"),
    ],
)
def test_a_column_that_would_change_is_refused(column: str, values: list[object], message: str) -> None:
    columns = {name: getattr(three(), name) for name in COLUMN_TYPES} | {column: values}
    with pytest.raises(LearningError, match=message):
        Transitions.from_columns(**columns)


def test_the_plain_constructor_insists_on_flat_arrays_of_the_right_type() -> None:
    columns = {name: getattr(three(), name) for name in COLUMN_TYPES}
    with pytest.raises(LearningError, match=r"column reward must be a flat float64 array, got float32\[3\]"):
        Transitions(**columns | {"reward": np.zeros(3, dtype=np.float32)})
    with pytest.raises(LearningError, match=r"column state must be a flat int64 array, got int64\[1, 3\]"):
        Transitions(**columns | {"state": np.zeros((1, 3), dtype=np.int64)})
    with pytest.raises(LearningError, match="from_columns"):
        Transitions(**columns | {"state": [0, 1, 2]})
