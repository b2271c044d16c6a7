"""Columns of any Arrow type to typed numpy columns, whole columns at a time.

What belongs here: conversion of one column and which of its rows do not convert. What does not: ranges and
rules between columns (`checking`), states (`states`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from qe_core.runtime.importing.faults import BoolArray

NUMBER_PATTERN = r"^\s*[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|[nN][aA][nN]|[iI]nf(inity)?)\s*$"
WHOLE_PATTERN = r"^\s*[+-]?\d{1,18}\s*$"
TIME_PATTERN = (
    r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?(Z|[+-]\d{2}(:?\d{2})?)$"  # zone is not optional
)
TRUE_WORDS = ("true", "1", "yes")
FALSE_WORDS = ("false", "0", "no")


@dataclass(frozen=True, slots=True)
class Values:
    """A converted column.

    Attributes:
        array: one value for each row; anything where missing or bad.
        is_missing: the file has no value there, bool[N].
        is_bad: the file's value does not convert, bool[N].
    """

    array: npt.NDArray[Any]
    is_missing: BoolArray
    is_bad: BoolArray

    @property
    def is_good(self) -> BoolArray:
        """Whether there is a value that converted, bool[N]."""
        return ~(self.is_missing | self.is_bad)


def flat(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return the column as one plain array: dictionaries decoded, chunks joined, large strings narrowed."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_large_string(column.type) or pa.types.is_string_view(column.type):
        column = column.cast(pa.string())
    return column


def to_texts(column: pa.Array) -> Values:
    """Return texts, object[N]; whole numbers are taken as their digits, an empty text is missing."""
    if pa.types.is_integer(column.type):
        column = column.cast(pa.string())
    if pa.types.is_null(column.type):
        return _nothing(len(column), np.dtype(object))
    if not pa.types.is_string(column.type):
        return _all_bad(column, np.dtype(object))
    is_missing = _numpy(pc.fill_null(pc.equal(pc.utf8_length(column), 0), True))
    return Values(column.to_numpy(zero_copy_only=False), is_missing, np.zeros(len(column), np.bool_))


def to_floats(column: pa.Array) -> Values:
    """Return float64[N]; NaN and infinities convert, so that the check of ranges can name them."""
    return _numbers(column, pa.float64(), NUMBER_PATTERN, _float_of)


def to_wholes(column: pa.Array) -> Values:
    """Return int64[N]; a float converts when it is whole."""
    return _numbers(column, pa.int64(), WHOLE_PATTERN, _whole_of)


def to_flags(column: pa.Array) -> Values:
    """Return bool[N]; true, false, 1, 0, yes and no convert in any case."""
    if pa.types.is_null(column.type):
        return _nothing(len(column), np.dtype(np.bool_))
    is_missing = _numpy(column.is_null())
    if pa.types.is_boolean(column.type):
        return Values(_numpy(column.fill_null(False)), is_missing, np.zeros(len(column), np.bool_))
    if not (pa.types.is_integer(column.type) or pa.types.is_string(column.type)):
        return _all_bad(column, np.dtype(np.bool_))
    words = pc.utf8_lower(pc.utf8_trim_whitespace(column.cast(pa.string())))
    is_true = _numpy(pc.is_in(words, value_set=pa.array(TRUE_WORDS)))
    is_false = _numpy(pc.is_in(words, value_set=pa.array(FALSE_WORDS)))
    return Values(is_true, is_missing, ~(is_true | is_false | is_missing))


def to_times(column: pa.Array) -> Values:
    """Return microseconds since 1970 UTC, int64[N]; a time without a zone is bad."""
    kind = column.type
    if pa.types.is_null(kind):
        return _nothing(len(column), np.dtype(np.int64))
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        column = column.cast(pa.timestamp("us", "UTC"), safe=False)
        return Values(_microseconds(column), _numpy(column.is_null()), np.zeros(len(column), np.bool_))
    if not pa.types.is_string(kind):
        return _all_bad(column, np.dtype(np.int64))
    column = pc.utf8_trim_whitespace(column)
    is_missing = _numpy(pc.fill_null(pc.equal(column, ""), True))
    is_shaped = _numpy(pc.fill_null(pc.match_substring_regex(column, TIME_PATTERN), False))
    shaped = pc.if_else(pa.array(is_shaped), column, pa.scalar(None, pa.string()))
    try:
        times = shaped.cast(pa.timestamp("us", "UTC"))
    except pa.ArrowInvalid:  # a 30 February somewhere in the batch: find it
        times = pa.array([_parsed(text) for text in shaped.to_pylist()], pa.timestamp("us", "UTC"))
    is_bad = ~is_missing & _numpy(times.is_null())
    return Values(_microseconds(times), is_missing, is_bad)


def _numbers(
    column: pa.Array, wanted: pa.DataType, pattern: str, from_numbers: Callable[[pa.Array], Values]
) -> Values:
    if pa.types.is_null(column.type):
        return _nothing(len(column), np.dtype(wanted.to_pandas_dtype()))
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return from_numbers(column)
    if pa.types.is_decimal(column.type):
        return from_numbers(column.cast(pa.float64()))
    if not pa.types.is_string(column.type):
        return _all_bad(column, np.dtype(wanted.to_pandas_dtype()))
    is_missing = _numpy(pc.fill_null(pc.equal(pc.utf8_trim_whitespace(column), ""), True))
    is_number = _numpy(pc.fill_null(pc.match_substring_regex(column, pattern), False))
    texts = pc.if_else(pa.array(is_number), pc.utf8_trim_whitespace(column), pa.scalar(None, pa.string()))
    texts = pc.utf8_ltrim(texts, "+")
    return Values(_filled(texts.cast(wanted)), is_missing, ~is_number & ~is_missing)


def _float_of(column: pa.Array) -> Values:
    nothing_bad = np.zeros(len(column), np.bool_)
    return Values(_filled(column.cast(pa.float64(), safe=False)), _numpy(column.is_null()), nothing_bad)


def _whole_of(column: pa.Array) -> Values:
    is_missing = _numpy(column.is_null())
    if pa.types.is_signed_integer(column.type):
        return Values(_filled(column.cast(pa.int64())), is_missing, np.zeros(len(column), np.bool_))
    floats = _filled(column.cast(pa.float64(), safe=False))
    is_bad = ~(np.isfinite(floats) & (np.floor(floats) == floats) & (np.abs(floats) < 2**53)) & ~is_missing
    return Values(np.where(is_bad, 0.0, floats).astype(np.int64), is_missing, is_bad)


def _filled(column: pa.Array) -> npt.NDArray[Any]:
    return np.asarray(column.fill_null(0).to_numpy(zero_copy_only=False))


def _numpy(column: pa.Array | pa.ChunkedArray) -> BoolArray:
    return np.asarray(column.to_numpy(zero_copy_only=False), dtype=np.bool_)


def _microseconds(column: pa.Array) -> npt.NDArray[np.int64]:
    return np.asarray(column.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False))


def _nothing(length: int, kind: np.dtype[Any]) -> Values:
    return Values(np.zeros(length, kind), np.ones(length, np.bool_), np.zeros(length, np.bool_))


def _all_bad(column: pa.Array, kind: np.dtype[Any]) -> Values:
    is_missing = _numpy(column.is_null())
    return Values(np.zeros(len(column), kind), is_missing, ~is_missing)


def _parsed(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
