"""Thresholds to the task, and evidence that may be looked at as often as one likes."""

from fractions import Fraction
from math import log, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from qe_core.rollout.rollback_triggers import (
    log_harm,
    log_harm_since_any,
    return_drop_reached,
    return_error,
    success_drop_reached,
    success_error,
)
from qe_core.rollout.rollback_windows import TaskCounts


def tasks(successes: int, known: int, mean: float = 0.0, spread: float = 0.0) -> TaskCounts:
    """Return a window of this many tasks, half of the returns above and half below the mean by ``spread``."""
    returns = np.full(known, mean) + spread * np.where(np.arange(known) % 2 == 0, 1.0, -1.0)
    return TaskCounts.of(returns, np.arange(known) < successes)


@pytest.mark.parametrize(
    ("before", "after", "fires"),
    [
        ((90, 100), (80, 100), True),  # (0.9 - 0.8) * 100 is 9.999999999999998
        ((90, 100), (81, 100), False),
        ((1600, 2000), (350, 500), True),
        ((1600, 2000), (351, 500), False),
        ((7, 10), (3, 5), True),
        ((700, 1000), (599, 1000), True),
        ((700, 1000), (601, 1000), False),
        ((10, 100), (0, 100), True),
    ],
)
def test_exactly_ten_points_of_success_fire_and_one_task_less_does_not(
    before: tuple[int, int], after: tuple[int, int], fires: bool
) -> None:
    assert bool(success_drop_reached(tasks(*before), tasks(*after), 10.0)) is fires


@given(st.integers(1, 3000), st.integers(1, 3000), st.data())
def test_the_success_threshold_is_that_of_exact_fractions(n: int, m: int, data: st.DataObject) -> None:
    before, after = data.draw(st.integers(0, n)), data.draw(st.integers(0, m))
    counts = [
        TaskCounts(*(np.asarray(number) for number in (known, known, hits, 0, 0.0)))
        for hits, known in ((before, n), (after, m))
    ]
    expected = Fraction(before, n) - Fraction(after, m) >= Fraction(1, 10)
    assert bool(success_drop_reached(*counts, 10.0)) is expected


@pytest.mark.parametrize(
    ("before", "after", "fires"),
    [
        (50.1, 35.1, True),  # 50.1 - 35.1 is 15.000000000000000 or a hair less, by the way it is summed
        (0.3, -14.7, True),
        (50.1, 35.100001, False),
        (50.0, 35.2, False),
    ],
)
def test_exactly_fifteen_points_of_return_fire(before: float, after: float, fires: bool) -> None:
    assert bool(return_drop_reached(tasks(1, 7, before), tasks(1, 3, after), 15.0)) is fires


def test_a_mean_that_floating_point_would_miss_fires() -> None:
    baseline = TaskCounts.of([15.1, 15.2, 15.3], [1, 1, 1])
    recent = TaskCounts.of([0.3, 0.1, 0.2], [1, 1, 1])
    assert np.mean([15.1, 15.2, 15.3]) - np.mean([0.3, 0.1, 0.2]) != 15.0
    assert bool(return_drop_reached(baseline, recent, 15.0))


def test_standard_errors_by_hand() -> None:
    # 80 of 98 is 81 of 100 with one success and one failure more; ten points less is 0.71.
    assert success_error(tasks(80, 98), tasks(70, 100), 10.0) == pytest.approx(
        sqrt(0.81 * 0.19 / 98 + 0.71 * 0.29 / 100)
    )
    assert success_error(tasks(4, 98), tasks(0, 100), 10.0) == pytest.approx(
        sqrt(0.05 * 0.95 / 98 + 0.05 * 0.95 / 100)
    )
    spread = 20.0**2 * 100 / 99
    assert return_error(tasks(0, 100, 5.0, 20.0), tasks(0, 100, 1.0, 20.0)) == pytest.approx(
        sqrt(2 * spread / 100)
    )
    assert return_error(tasks(0, 100, 5.0, 20.0), tasks(0, 1)) == np.inf
    assert success_error(tasks(0, 100), TaskCounts.of([1.0], [-1]), 10.0) == np.inf


def test_evidence_of_success_by_hand() -> None:
    # 8 of 10 against 2 of 10, returns all alike: only success speaks.
    likelihood = 2 * (8 * log(0.8) + 2 * log(0.2)) - 20 * log(0.5)
    root, gain = sqrt(2 * likelihood), 0.09 * 5.0
    share = gain / (1 + gain)
    mixed = log(2) - 0.5 * log(1 + gain) + 0.5 * root**2 * share + norm.logcdf(root * sqrt(share))
    silent = log(2) - 0.5 * log(1 + gain) + log(0.5)
    found = float(log_harm(tasks(8, 10), tasks(2, 10), 0.3))
    assert found == pytest.approx(np.logaddexp(mixed, silent) - log(2))
    assert found > 0.0


def test_improvement_is_no_evidence_of_harm() -> None:
    assert float(log_harm(tasks(20, 100, 0.0, 10.0), tasks(80, 100, 30.0, 10.0), 0.3)) < 0.0


def test_evidence_since_any_start_weighs_each_start() -> None:
    found = log_harm_since_any(np.log([4.0, 60.0]), np.array([0, 4]))
    assert float(found) == pytest.approx(log(4 / 2 + 60 / 30))
    weights = 1.0 / ((np.arange(100_000) + 1.0) * (np.arange(100_000) + 2.0))
    assert weights.sum() <= 1.0
