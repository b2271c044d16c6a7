"""What is wrong with the rows of a file, found with arrays and put into words only where asked.

What belongs here: collecting faults of one batch. What does not: the checks themselves (`checking`).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

BoolArray: TypeAlias = npt.NDArray[np.bool_]
IntArray: TypeAlias = npt.NDArray[np.int64]
FloatArray: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Fault:
    """One row that cannot be imported.

    Attributes:
        line: its number in the file; the first line, or row of a Parquet file, is 1.
        reason: everything that is wrong with it.
        text: the row as the file has it.
    """

    line: int
    reason: str
    text: str


@dataclass(slots=True)
class FaultCollector:
    """Gathers which rows of a batch are bad; the wording is computed only for rows somebody looks at.

    Attributes:
        row_count: rows in the batch.
    """

    row_count: int
    _found: list[tuple[BoolArray, Callable[[int], str]]] = field(default_factory=list)

    def flag(self, is_bad: BoolArray, describe: Callable[[int], str] | str) -> None:
        """Mark rows as bad.

        Args:
            is_bad: bool[row_count].
            describe: what is wrong with the row of that index, or the same words for each.
        """
        if is_bad.any():
            self._found.append((is_bad, (lambda _row: describe) if isinstance(describe, str) else describe))

    def absorb(self, part: "FaultCollector", rows: IntArray) -> None:
        """Take over what was found in a part of the batch.

        Args:
            part: faults of the part.
            rows: for each row of the part its index in this batch, ascending.
        """
        for mask, describe in part._found:
            is_bad = np.zeros(self.row_count, dtype=np.bool_)
            is_bad[rows[mask]] = True

            def of_part(row: int, describe: Callable[[int], str] = describe) -> str:
                return describe(int(np.searchsorted(rows, row)))

            self._found.append((is_bad, of_part))

    def bad_rows(self) -> BoolArray:
        """Return which rows have any fault, bool[row_count]."""
        is_bad = np.zeros(self.row_count, dtype=np.bool_)
        for mask, _ in self._found:
            is_bad |= mask
        return is_bad

    def reason(self, row: int) -> str:
        """Return all faults of the row, in the order in which they were found."""
        return "; ".join(describe(row) for mask, describe in self._found if mask[row])


def quoted(value: object) -> str:
    """Return a value as it is shown in a message, at most 60 characters of it."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
