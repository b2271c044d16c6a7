"""Rows as plain numbers: from the wire, and after updates."""

from struct import pack

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qe_core.errors import StoreError
from qe_core.learning.affine_updates import AffineUpdates
from qe_core.learning.q_table import QTable
from qe_core.store.live.rows import Composed, Row, decode_row, empty_row, row_after, row_merged

UPDATES = st.lists(st.tuples(st.integers(0, 2), st.floats(-100, 100), st.floats(0, 1)), max_size=30)


def array_of(kind: str, numbers: tuple[float, ...]) -> bytes:
    """Return an array as PostgreSQL sends it: a head of five numbers, then each with its length."""
    return pack(">5i", 1, 0, 701, len(numbers), 1) + b"".join(pack(f">i{kind}", 8, of) for of in numbers)


def table_of(row: Row) -> QTable:
    return QTable(*(np.array([part]) for part in row[:4]))


def applied(row: Row, updates: list[tuple[int, float, float]]) -> tuple[AffineUpdates, QTable]:
    """Return updates composed, and the row after them, by the learning core."""
    columns = (
        np.array([update[place] for update in updates], dtype=kind) for place, kind in enumerate("idd")
    )
    composed = AffineUpdates.from_targets(np.zeros(len(updates), dtype=np.int64), *columns)
    return composed, composed.apply(table_of(row))


def assert_equal(row: Row, table: QTable) -> None:
    for found, expected in zip(
        row[:4], (table.q, table.visits, table.target_mean, table.target_m2), strict=True
    ):
        np.testing.assert_allclose(found, expected[0], rtol=1e-9, atol=1e-9)


def test_a_packed_row_becomes_numbers() -> None:
    packed = array_of("d", (1.5, -2.0)) + array_of("q", (3, 0))
    packed += array_of("d", (4.0, 0.0)) + array_of("d", (0.25, 0.0)) + array_of("d", (2.5, 0.0))
    assert decode_row(packed, 2) == Row((1.5, -2.0), (3, 0), (4.0, 0.0), (0.25, 0.0), (2.5, 0.0))


def test_a_state_without_a_row_is_a_row_of_zeros() -> None:
    assert decode_row(None, 3) == empty_row(3)
    assert empty_row(3).visits == (0, 0, 0)


def test_a_row_of_another_width_is_refused_by_name() -> None:
    with pytest.raises(StoreError, match="does not have 2 actions"):
        decode_row(array_of("d", (1.0, 2.0, 3.0)), 2)


def test_hand_worked_updates_of_one_row() -> None:
    after = row_after(empty_row(2), [(1, 8.0, 0.5), (1, 4.0, 0.25)])
    assert after.q == (0.0, 4.0)  # 0 → 4 → 0.75 · 4 + 0.25 · 4
    assert after.visits == (0, 2)
    assert (after.target_mean[1], after.target_m2[1]) == (6.0, 8.0)  # (8 − 6)² + (4 − 6)²


@given(UPDATES, UPDATES)
@settings(deadline=None)  # the first call compiles
def test_updates_agree_with_the_learning_core_one_by_one_and_composed(
    first: list[tuple[int, float, float]], second: list[tuple[int, float, float]]
) -> None:
    row = row_after(empty_row(3), first)
    if not second:
        assert row_after(row, second) == row
        return
    composed, expected = applied(row, second)
    assert_equal(row_after(row, second), expected)
    flushed = [
        Composed(*of)
        for of in zip(
            *(getattr(composed, name).tolist() for name in ("action", "scale", "offset", "count")),
            *(getattr(composed, name).tolist() for name in ("target_mean", "target_m2")),
            strict=True,
        )
    ]
    assert_equal(row_merged(row, flushed), expected)
