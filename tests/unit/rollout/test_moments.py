"""Parts that were counted apart equal the whole to the last bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qe_core.errors import RolloutError
from qe_core.rollout.moments import Moments

columns = st.lists(st.floats(-1000.0, 1000.0), min_size=0, max_size=40)


@settings(deadline=None)
@given(columns, columns, columns)
def test_merging_is_exact_in_any_order(first: list[float], second: list[float], third: list[float]) -> None:
    whole = Moments.of(first + second + third)
    assert Moments.of(third) + (Moments.of(first) + Moments.of(second)) == whole
    assert (Moments.of(second) + Moments.of(third)) + Moments.of(first) == whole


@settings(deadline=None)
@given(st.lists(st.floats(-1000.0, 1000.0), min_size=2, max_size=60))
def test_mean_and_variance_are_those_of_the_values(values: list[float]) -> None:
    moments = Moments.of(values)
    assert moments.mean == pytest.approx(np.mean(values), abs=1e-6)
    assert moments.variance == pytest.approx(np.var(values, ddof=1), rel=1e-5, abs=1e-5)


def test_a_small_spread_on_a_high_level_is_not_cancelled() -> None:
    assert Moments.of([1e9, 1e9 + 1, 1e9 + 2]).variance == 1.0


def test_without_values_there_is_nothing() -> None:
    assert (Moments().mean, Moments().squared_deviations, Moments.of([3.0]).variance) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e13])
def test_a_measurement_that_is_none_is_refused_by_name(value: float) -> None:
    with pytest.raises(RolloutError, match="cannot be counted: record finite"):
        Moments.of([1.0, value], "reward")
