"""One batch being checked: its columns, converted on demand, and the faults found so far.

What belongs here: how a column is fetched and what is said when it is missing or of the wrong kind. What
does not: the rules themselves (`checking`, `choices`).
"""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from qe_core.runtime.importing.columns import MAX_TEXT_LENGTH
from qe_core.runtime.importing.faults import FaultCollector, FloatArray, IntArray, quoted
from qe_core.runtime.importing.raw import RawBatch
from qe_core.runtime.importing.values import Values, to_floats, to_texts


class BatchCheck:
    """One batch being checked: its columns and the faults found so far."""

    def __init__(self, batch: RawBatch) -> None:
        self.batch = batch
        self.faults = FaultCollector(len(batch))

    def part(self, rows: IntArray) -> "BatchCheck":
        """Return some rows of the batch, with faults of their own."""
        taken = pa.array(rows)
        columns = {name: column.take(taken) for name, column in self.batch.columns.items()}
        return BatchCheck(RawBatch(columns, self.batch.lines[rows], (), self.batch.last_line))

    def column(self, name: str) -> pa.Array:
        """Return a column; nulls where the file has none."""
        return self.batch.columns.get(name, pa.nulls(len(self.batch)))

    def optional(self, name: str, convert: Callable[[pa.Array], Values], wanted: str) -> Values:
        """Return a converted column; values that do not convert are faults."""
        column = self.column(name)
        values = convert(column)
        self.faults.flag(values.is_bad, lambda row: f"{name} {quoted(column[row].as_py())} is not {wanted}")
        return values

    def required(self, name: str, convert: Callable[[pa.Array], Values], wanted: str) -> Values:
        """Return a converted column; missing values are faults too."""
        values = self.optional(name, convert, wanted)
        self.faults.flag(values.is_missing, f"{name} is missing")
        return values

    def texts(self, name: str, default: str | None = None) -> Values:
        """Return a column of names; required unless there is a default."""
        read = self.required if default is None else self.optional
        values = read(name, to_texts, "a text")
        array = values.array
        lengths = pc.utf8_length(pa.array(array, pa.string(), mask=~values.is_good)).fill_null(0)
        is_long = np.asarray(lengths.to_numpy(zero_copy_only=False)) > MAX_TEXT_LENGTH
        self.faults.flag(is_long, f"{name} is longer than {MAX_TEXT_LENGTH} characters")
        texts = pa.array(array, pa.string(), mask=~values.is_good)
        is_unprintable = pc.match_substring_regex(texts, r"[\x00-\x1f\x7f]").fill_null(False)
        self.faults.flag(
            np.asarray(is_unprintable.to_numpy(zero_copy_only=False)), f"{name} contains a control character"
        )
        filled = np.where(values.is_good, array, "" if default is None else default)
        return Values(filled, values.is_missing, values.is_bad)

    def share(self, name: str, default: float, is_zero_allowed: bool) -> FloatArray:
        """Return a column of numbers in [0, 1] or (0, 1]."""
        values = self.optional(name, to_floats, "a number")
        low_enough = values.array >= 0 if is_zero_allowed else values.array > 0
        is_outside = values.is_good & ~(low_enough & (values.array <= 1))
        bounds = "0 to 1" if is_zero_allowed else "above 0 up to 1"
        self.faults.flag(is_outside, lambda row: f"{name} {values.array[row]:g} is outside {bounds}")
        return np.where(values.is_good, values.array, default)
