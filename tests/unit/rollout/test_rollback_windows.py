"""Counting a version's tasks exactly, and refusing what cannot be counted."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qe_core.errors import RolloutError
from qe_core.rollout.rollback_windows import LARGEST_WINDOW, TaskCounts


def test_counts_of_a_window_by_hand() -> None:
    counts = TaskCounts.of([10.0, -20.0, 40.0, 0.5], [1, 0, -1, 1])
    assert counts.as_json() == {
        "tasks": 4,
        "known": 3,
        "successes": 2,
        "success_rate": pytest.approx(2 / 3),
        "mean_return": pytest.approx(7.625),
        "return_deviation": pytest.approx(np.std([10.0, -20.0, 40.0, 0.5], ddof=1)),
    }
    json.dumps(counts.as_json())


def test_an_empty_window_has_no_figures() -> None:
    counts = TaskCounts.of([], [])
    assert counts.as_json() == {
        "tasks": 0, "known": 0, "successes": 0, "success_rate": None, "mean_return": None,
        "return_deviation": None,
    }  # fmt: skip


def test_returns_are_summed_without_rounding_errors() -> None:
    counts = TaskCounts.of([1.001] * 3000, [1] * 3000)
    assert int(counts.return_total) == 3000 * 1_001_000
    assert sum([1.001] * 3000) != 3003.0
    assert int(1.001 * 1_000_000) != 1_001_000


@given(
    st.lists(st.tuples(st.integers(-2000, 2000), st.sampled_from([-1, 0, 1])), min_size=1, max_size=40),
    st.data(),
)
def test_an_ending_counts_the_last_tasks_only(tasks: list[tuple[int, int]], data: st.DataObject) -> None:
    length = data.draw(st.integers(0, len(tasks)))
    returns, success = (list(column) for column in zip(*tasks, strict=True))
    many = TaskCounts.endings(np.array(returns) / 10, success, [0, length, len(tasks)])
    alone = TaskCounts.of(np.array(returns[len(tasks) - length :]) / 10, success[len(tasks) - length :])
    assert many.pick(1).as_json() == pytest.approx(alone.as_json())
    assert int(many.return_total[1]) == int(alone.return_total)


@pytest.mark.parametrize(
    ("returns", "success", "message"),
    [
        ([1.0, np.nan], [1, 1], r"returns must be finite.*row 1 \(nan\)"),
        ([np.inf], [1], r"row 0 \(inf\)"),
        ([1e6], [1], r"within ±100000 points"),
        ([1.0], [2], r"success is 1, 0 or -1.*row 0 \(2\)"),
        ([1.0, 2.0], [1], r"read fewer or align"),
        (np.zeros(LARGEST_WINDOW + 1), np.zeros(LARGEST_WINDOW + 1), r"up to 5000 tasks"),
    ],
)
def test_what_cannot_be_counted_is_named(returns: object, success: object, message: str) -> None:
    with pytest.raises(RolloutError, match=message):
        TaskCounts.of(returns, success)
