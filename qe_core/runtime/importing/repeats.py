"""Rows that appear more than once in a file: harmless when equal, a fault when they differ.

What belongs here: the rule between rows, on 32 bytes for each row of the file. What does not: rows already
in the database (the log recognises those itself).
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from qe_core.runtime.importing.faults import BoolArray, IntArray

KEY_COLUMNS = ("agent", "source", "episode", "step")
"""What names an experience."""

_HASH_KEYS = ("qe-fleet-rows-01", "qe-fleet-rows-02")
UIntArray = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Repeats:
    """What `RepeatFinder` found.

    Attributes:
        equal_lines: rows that say again what an earlier row says, sorted, int64[R].
        conflicting_lines: rows that contradict an earlier row, sorted, int64[C].
        earlier_lines: for each of those the row it contradicts, int64[C].
    """

    equal_lines: IntArray
    conflicting_lines: IntArray
    earlier_lines: IntArray

    def is_repeated(self, lines: IntArray) -> BoolArray:
        """Return which of these lines repeat an earlier one, equal or not, bool[N]."""
        return np.asarray(np.isin(lines, self.equal_lines) | np.isin(lines, self.conflicting_lines))


@dataclass(slots=True)
class RepeatFinder:
    """Collects digests of rows, then finds repeats among all of them.

    Two different experiences pass for one another with a probability below 1e-20 at 100 million rows.
    """

    _keys: list[UIntArray] = field(default_factory=list)
    _more_keys: list[UIntArray] = field(default_factory=list)
    _contents: list[UIntArray] = field(default_factory=list)
    _lines: list[IntArray] = field(default_factory=list)

    def add(self, rows: pa.Table, lines: IntArray) -> None:
        """Remember the digests of checked rows.

        Args:
            rows: in `checking.ROW_SCHEMA`.
            lines: the number of each row in the file.
        """
        others = [name for name in rows.column_names if name not in (*KEY_COLUMNS, "fingerprint")]
        self._keys.append(_digest(rows, KEY_COLUMNS, _HASH_KEYS[0]))
        self._more_keys.append(_digest(rows, KEY_COLUMNS, _HASH_KEYS[1]))
        self._contents.append(_digest(rows, others, _HASH_KEYS[0]))
        self._lines.append(lines)

    def find(self) -> Repeats:
        """Return the repeats among all rows added."""
        nothing = np.zeros(0, dtype=np.int64)
        if not self._lines:
            return Repeats(nothing, nothing, nothing)
        keys, more_keys = np.concatenate(self._keys), np.concatenate(self._more_keys)
        order = np.lexsort((more_keys, keys))  # stable: equal keys stay in file order
        keys, more_keys = keys[order], more_keys[order]
        is_first = np.ones(len(keys), dtype=np.bool_)
        is_first[1:] = (keys[1:] != keys[:-1]) | (more_keys[1:] != more_keys[:-1])
        if is_first.all():
            return Repeats(nothing, nothing, nothing)
        lines, contents = np.concatenate(self._lines)[order], np.concatenate(self._contents)[order]
        first_of_group = np.flatnonzero(is_first)[np.cumsum(is_first) - 1]
        is_conflict = ~is_first & (contents != contents[first_of_group])
        in_file_order = np.argsort(lines[is_conflict])
        return Repeats(
            np.sort(lines[~is_first & ~is_conflict]),
            lines[is_conflict][in_file_order],
            lines[first_of_group][is_conflict][in_file_order],
        )


def _digest(rows: pa.Table, names: tuple[str, ...] | list[str], hash_key: str) -> UIntArray:
    digest = np.zeros(rows.num_rows, dtype=np.uint64)
    for name in names:
        digest = _mixed(digest * np.uint64(0x9E3779B97F4A7C15) + _column_digest(rows.column(name), hash_key))
    return digest


def _column_digest(column: pa.ChunkedArray, hash_key: str) -> UIntArray:
    array = column.combine_chunks()
    if pa.types.is_string(array.type):
        encoded = array.dictionary_encode()
        texts = np.asarray(encoded.dictionary.to_pylist(), dtype=object)
        digests = pd.util.hash_array(texts, hash_key=hash_key, categorize=False)
        return np.asarray(digests[encoded.indices.to_numpy(zero_copy_only=False)], dtype=np.uint64)
    is_null = np.asarray(array.is_null().to_numpy(zero_copy_only=False))
    if pa.types.is_timestamp(array.type):
        array = array.cast(pa.int64())
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.int8())
    values = array.fill_null(0).to_numpy(zero_copy_only=False)
    wide = values.view(np.uint64) if values.dtype.itemsize == 8 else values.astype(np.int64).view(np.uint64)
    return _mixed(wide + is_null.astype(np.uint64) * np.uint64(0xD1B54A32D192ED03))


def _mixed(values: UIntArray) -> UIntArray:
    """Return the finaliser of splitmix64 (Steele, Lea and Flood 2014), which spreads every bit over all."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(values ^ (values >> np.uint64(31)))
