"""Count, mean and squared deviations merge as if all targets were one sample."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qe_core.errors import LearningError
from qe_core.learning.target_statistics import TargetStatistics

points = st.floats(-100, 100)


def of(values: list[float]) -> TargetStatistics:
    statistics = TargetStatistics.zeros(1)
    for value in values:
        statistics = statistics.add(value)
    return statistics


def test_hand_worked_sample() -> None:
    statistics = of([2.0, 4.0, 9.0])
    assert statistics.count.tolist() == [3]
    assert statistics.mean.tolist() == [5.0]
    assert statistics.m2 == pytest.approx([26.0])
    assert statistics.variance() == pytest.approx([26 / 3])


def test_no_targets_have_no_variance() -> None:
    assert TargetStatistics.zeros((2, 2)).variance().tolist() == [[0, 0], [0, 0]]


@settings(deadline=None)
@given(st.lists(points, max_size=30), st.lists(points, max_size=30))
def test_merging_equals_adding_one_by_one(first: list[float], second: list[float]) -> None:
    merged = of(first).merge(of(second))
    together = np.array(first + second)
    assert merged.count[0] == len(together)
    assert merged.mean[0] == pytest.approx(together.mean() if len(together) else 0.0, abs=1e-12)
    assert merged.m2[0] == pytest.approx(((together - merged.mean[0]) ** 2).sum(), rel=1e-10, abs=1e-9)


def test_merging_with_nothing_changes_nothing() -> None:
    statistics = of([1.0, 7.0])
    for merged in (statistics.merge(TargetStatistics.zeros(1)), TargetStatistics.zeros(1).merge(statistics)):
        assert merged.mean.tolist() == statistics.mean.tolist()
        assert merged.m2.tolist() == statistics.m2.tolist()


def test_statistics_of_different_shapes_are_not_merged() -> None:
    with pytest.raises(LearningError, match=r"shape \(1,\) and \(2,\) cannot be merged"):
        TargetStatistics.zeros(1).merge(TargetStatistics.zeros(2))


def test_a_target_that_is_not_finite_is_refused() -> None:
    with pytest.raises(LearningError, match="td_target must be finite"):
        TargetStatistics.zeros(1).add(np.nan)
