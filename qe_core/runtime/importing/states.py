"""Feature columns to state codes, whole columns at a time, exactly as the contract's own binning does it.

What belongs here: the vectorised twin of `StateModel.encode`; a property test holds the two together. What
does not: the declarations (`qe_core.fleet`).
"""

from collections.abc import Mapping
from typing import assert_never

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from qe_core.errors import nearest
from qe_core.fleet.contract import AgentContract
from qe_core.fleet.features import Bins, Labels
from qe_core.runtime.importing.columns import feature_declarations
from qe_core.runtime.importing.faults import BoolArray, FaultCollector, IntArray, quoted
from qe_core.runtime.importing.values import to_floats


def encode_features(
    contract: AgentContract,
    columns: Mapping[str, pa.Array],
    prefix: str,
    is_asked: BoolArray,
    faults: FaultCollector,
) -> IntArray:
    """Return state codes from columns ``<prefix>.<feature>``, int64[N]; 0 where not asked or bad.

    A number is binned, a label is taken as it is, a number written as text counts as the number.

    Args:
        contract: whose states these are.
        columns: the batch, each of N rows.
        prefix: ``state`` or ``next_state``.
        is_asked: rows to encode, bool[N].
        faults: receives the rows that cannot be encoded, by feature.
    """
    codes = np.zeros(len(is_asked), dtype=np.int64)
    for name, declaration in feature_declarations(contract).items():
        label_count = len(declaration.names if isinstance(declaration, Labels) else declaration.labels)
        column = columns.get(f"{prefix}.{name}")
        if column is None:
            faults.flag(is_asked, f"{prefix}.{name} is missing")
            continue
        digits = _digits(declaration, column)
        codes = codes * label_count + np.maximum(digits, 0)
        is_null = np.asarray(column.is_null().to_numpy(zero_copy_only=False))
        faults.flag(is_asked & is_null, f"{prefix}.{name} is missing")

        def describe(
            row: int, column: pa.Array = column, name: str = name, declaration: Bins | Labels = declaration
        ) -> str:
            return f"{prefix}.{name}: {_problem(declaration, column[row].as_py())}"

        faults.flag(is_asked & ~is_null & (digits < 0), describe)
    return np.where(is_asked, codes, 0)


def _digits(declaration: Bins | Labels, column: pa.Array) -> IntArray:
    """Return the digit of each row, int64[N]; -1 where the value is missing or not accepted."""
    match declaration:
        case Labels(names=names):
            return _label_digits(column, names)
        case Bins() as bins:
            digits = _label_digits(column, bins.labels)
            numbers = to_floats(column)
            values = numbers.array
            is_number = numbers.is_good & np.isfinite(values) & (digits < 0)
            is_inside = (values >= bins.lower) & (values <= bins.upper)
            binned = np.searchsorted(np.asarray(bins.edges), values, side="right")
            outside = -1 if bins.other is None else len(bins.labels) - 1
            return np.where(is_number, np.where(is_inside, binned, outside), digits).astype(np.int64)
        case _:
            assert_never(declaration)


def _label_digits(column: pa.Array, labels: tuple[str, ...]) -> IntArray:
    if not pa.types.is_string(column.type):
        return np.full(len(column), -1, dtype=np.int64)
    found = pc.index_in(column, value_set=pa.array(labels)).fill_null(-1)
    return np.asarray(found.to_numpy(zero_copy_only=False)).astype(np.int64)


def _problem(declaration: Bins | Labels, value: object) -> str:
    """Return why the contract refuses the value, in the contract's own words."""
    if isinstance(declaration, Bins) and isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return (
                f"{quoted(value)} is neither a number nor a label: {nearest(str(value), declaration.labels)}"
            )
    try:
        declaration.label(value)
    except ValueError as error:
        return str(error)
    return f"{quoted(value)} is not accepted"
