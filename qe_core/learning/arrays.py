"""Names for array types and the checks that every entry of the learning core makes.

What belongs here: element types, and checks that name the first offending entries and say what to do.
What does not: anything that computes.
"""

from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from qe_core.errors import LearningError

Float64Array: TypeAlias = npt.NDArray[np.float64]
Int64Array: TypeAlias = npt.NDArray[np.int64]
Int16Array: TypeAlias = npt.NDArray[np.int16]
BoolArray: TypeAlias = npt.NDArray[np.bool_]

ScalarT = TypeVar("ScalarT", bound=np.generic)

ROWS_NAMED = 5
"""How many offending rows an error message lists."""


def name_rows(is_bad: BoolArray, values: npt.NDArray[np.generic]) -> str:
    """Return "row 3 (nan), row 7 (inf) and 2 more" for the entries marked bad.

    Args:
        is_bad: one flag per row.
        values: one value per row, shown beside the row number.
    """
    rows = np.flatnonzero(is_bad)
    listed = ", ".join(f"row {row} ({values[row]})" for row in rows[:ROWS_NAMED].tolist())
    more = len(rows) - ROWS_NAMED
    return f"{listed} and {more} more" if more > 0 else listed


def as_column(name: str, values: npt.ArrayLike, wanted: type[ScalarT]) -> npt.NDArray[ScalarT]:
    """Return ``values`` as a flat array of one layout, so that a compiled loop is compiled once.

    What already is flat, contiguous, writeable and of the wanted type is returned itself; a compiled loop
    would be compiled anew, for a second or more, for each other layout it meets.

    Args:
        name: how an error message calls the values.
        values: numbers, all of which the wanted type can hold exactly.
        wanted: the type of the result's elements.

    Raises:
        LearningError: a number would change in conversion; the message names the first such rows.
    """
    array = np.asarray(values)
    if array.dtype.type is not wanted or not array.dtype.isnative:
        with np.errstate(invalid="ignore"):
            converted = array.astype(wanted)
        is_nan = (array != array) & (converted != converted)
        is_changed = np.asarray((converted != array) & ~is_nan)
        if is_changed.any():
            raise LearningError(
                f"{name} does not fit {np.dtype(wanted)}: {name_rows(is_changed, array)}; "
                "correct these rows first"
            )
        array = converted
    return array if array.flags.carray else array.copy()


def require_finite(name: str, values: Float64Array) -> None:
    """Raise ``LearningError`` naming the first entries of ``values`` that are NaN or infinite."""
    flat = np.asarray(values).reshape(-1)
    is_bad = ~np.isfinite(flat)
    if is_bad.any():
        raise LearningError(
            f"{name} must be finite, but {name_rows(is_bad, flat)}; drop or repair these entries first"
        )


def require_range(name: str, values: npt.NDArray[np.generic], count: int) -> None:
    """Raise ``LearningError`` naming the first entries outside 0 … ``count`` − 1."""
    flat = np.asarray(values).reshape(-1)
    is_bad = np.asarray((flat < 0) | (flat >= count))
    if is_bad.any():
        raise LearningError(
            f"{name} must lie in 0 … {count - 1}, but {name_rows(is_bad, flat)}; "
            "encode with the same agent contract the table was made for"
        )


def require_discount(discount: float) -> None:
    """Raise ``LearningError`` unless 0 ≤ ``discount`` < 1."""
    if not 0.0 <= discount < 1.0:
        raise LearningError(
            f"discount must lie in [0, 1), got {discount}; use 0.95, or 0.99 where rewards come late"
        )


def require_fraction(name: str, value: float, *, is_zero_allowed: bool = True) -> None:
    """Raise ``LearningError`` unless ``value`` lies in [0, 1], or in (0, 1] where zero makes no sense."""
    if not (0.0 <= value <= 1.0) or (value == 0.0 and not is_zero_allowed):
        interval = "[0, 1]" if is_zero_allowed else "(0, 1]"
        raise LearningError(f"{name} must lie in {interval}, got {value}; correct the setting")


def require_positive(name: str, value: float) -> None:
    """Raise ``LearningError`` unless ``value`` is a finite number above 0."""
    if not (np.isfinite(value) and value > 0):
        raise LearningError(f"{name} must be a finite number above 0, got {value}; correct the setting")


def require_shape(name: str, array: npt.NDArray[np.generic], shape: tuple[int, ...]) -> None:
    """Raise ``LearningError`` unless ``array`` has exactly ``shape``."""
    if array.shape != shape:
        raise LearningError(
            f"{name} must have shape {shape}, got {array.shape}; all arrays of one table share one shape"
        )
