"""The checks name what is wrong and say what to do."""

import numpy as np
import pytest

from qe_core.errors import LearningError
from qe_core.learning.arrays import (
    as_column,
    name_rows,
    require_discount,
    require_finite,
    require_fraction,
    require_positive,
    require_range,
    require_shape,
)


def test_naming_rows_lists_five_and_counts_the_rest() -> None:
    values = np.array([0.0, 1, 2, 3, 4, 5, 6])
    assert name_rows(values > 0, values) == (
        "row 1 (1.0), row 2 (2.0), row 3 (3.0), row 4 (4.0), row 5 (5.0) and 1 more"
    )
    assert name_rows(values == 6, values) == "row 6 (6.0)"


def test_values_that_are_not_finite_are_named() -> None:
    with pytest.raises(LearningError, match=r"reward must be finite, but row 1 \(nan\), row 2 \(inf\); drop"):
        require_finite("reward", np.array([0.0, np.nan, np.inf]))


def test_values_out_of_range_are_named() -> None:
    with pytest.raises(
        LearningError, match=r"state must lie in 0 … 3, but row 0 \(-1\), row 2 \(4\); encode"
    ):
        require_range("state", np.array([-1, 0, 4]), 4)


@pytest.mark.parametrize("discount", [-0.1, 1.0, 1.5, float("nan"), float("inf")])
def test_discounts_outside_zero_to_below_one_are_refused(discount: float) -> None:
    with pytest.raises(LearningError, match=r"discount must lie in \[0, 1\).*use 0.95"):
        require_discount(discount)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_fractions_outside_zero_to_one_are_refused(value: float) -> None:
    with pytest.raises(LearningError, match=r"share must lie in \[0, 1\]"):
        require_fraction("share", value)


def test_zero_is_refused_where_it_makes_no_sense() -> None:
    require_fraction("share", 0.0)
    with pytest.raises(LearningError, match=r"share must lie in \(0, 1\], got 0"):
        require_fraction("share", 0.0, is_zero_allowed=False)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_numbers_that_are_not_positive_are_refused(value: float) -> None:
    with pytest.raises(LearningError, match="variance must be a finite number above 0"):
        require_positive("variance", value)


def test_a_wrong_shape_is_refused_with_both_shapes() -> None:
    with pytest.raises(LearningError, match=r"visits must have shape \(2, 3\), got \(3, 2\)"):
        require_shape("visits", np.zeros((3, 2)), (2, 3))


def test_a_column_that_fits_is_not_copied() -> None:
    values = np.arange(5, dtype=np.float64)
    assert as_column("reward", values, np.float64) is values


def test_columns_come_out_in_one_layout_whatever_goes_in() -> None:
    frozen = np.arange(6.0)
    frozen.setflags(write=False)
    for values in (
        [0, 1, 2],
        np.arange(6)[::2] // 2,
        frozen[:3],
        np.array([0.0, 1.0, 2.0], dtype=np.float32),
    ):
        column = as_column("reward", values, np.float64)
        assert column.tolist() == [0, 1, 2]
        assert column.dtype == np.float64
        assert column.flags.c_contiguous
        assert column.flags.writeable
    assert np.isnan(as_column("reward", np.array([np.nan], dtype=np.float32), np.float64)).all()


def test_a_number_a_column_cannot_hold_is_named() -> None:
    with pytest.raises(LearningError, match=r"action does not fit int16: row 1 \(40000\)"):
        as_column("action", [3, 40_000], np.int16)
    with pytest.raises(LearningError, match=r"state does not fit int64: row 0 \(nan\), row 2 \(0.5\)"):
        as_column("state", [np.nan, 1.0, 0.5], np.int64)
