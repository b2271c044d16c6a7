"""The lookup in plain numbers answers what the lookup in arrays answers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qe_core.hierarchy.aggregate import ValueKind
from qe_core.hierarchy.lookup import LevelRows, LookupSettings, blended_lookup, ordered_lookup
from qe_core.hierarchy.single_state import (
    blend_sources,
    blend_state,
    order_state,
    row_confidence,
    shared_state,
)
from qe_core.learning.q_table import ConfidenceSettings, QTable, quantised_weights
from qe_core.learning.target_statistics import TargetStatistics

APPROACHES = 6
Cells = list[tuple[float, int, float]]


def cells(count: int) -> st.SearchStrategy[Cells]:
    """Values, visits and deviations or confidences of a row, with evidence missing here and there."""
    value = st.one_of(st.just(0.0), st.floats(-100, 100).filter(lambda number: abs(number) > 1e-3))
    return st.lists(
        st.tuples(value, st.one_of(st.just(0), st.integers(0, 10_000)), st.floats(0, 1e6)),
        min_size=count,
        max_size=count,
    )


def level_of(row: Cells) -> tuple[list[float], list[int], list[float]]:
    """Return q, visits and weights of a shared row: 0 throughout where there is no evidence."""
    q = [value if visits else 0.0 for value, visits, _ in row]
    visits = [visits for _, visits, _ in row]
    return q, visits, [visits / (1.0 + share / 1e5) for _, visits, share in row]


def rows_of(q: list[float], visits: list[int], weights: list[float]) -> LevelRows:
    return LevelRows(np.array([q]), np.array([visits], dtype=np.int64), np.array([weights]))


@given(
    own=st.integers(1, 12).flatmap(cells),
    category=cells(APPROACHES),
    fleet=cells(APPROACHES),
    data=st.data(),
    kind=st.sampled_from(ValueKind),
    minimum_visits=st.integers(1, 20),
)
def test_both_rules_agree_with_the_array_lookup(
    own: Cells, category: Cells, fleet: Cells, data: st.DataObject, kind: ValueKind, minimum_visits: int
) -> None:
    column = st.integers(0, APPROACHES - 1)
    approaches = data.draw(st.lists(column, min_size=len(own), max_size=len(own)))
    settings = LookupSettings(minimum_visits=minimum_visits, kind=kind)
    q, visits, m2 = (list(part) for part in zip(*own, strict=True))
    table = QTable(np.array([q]), np.array([visits]), np.zeros((1, len(q))), np.array([m2]))
    levels = [LevelRows(table.q, table.visits, quantised_weights(table))]
    levels += [rows_of(*level_of(row)) for row in (category, fleet)]
    shared = shared_state(level_of(category), level_of(fleet), approaches, kind)

    confidence = row_confidence(visits, m2, ConfidenceSettings())
    np.testing.assert_allclose(confidence, levels[0].confidence[0], rtol=1e-15, atol=0)
    blended = blend_state(q, visits, confidence, shared), blend_sources(q, visits, shared)
    for (values, sources), expected in (
        (blended, blended_lookup(*levels, approaches, settings)),
        (order_state(q, visits, shared, settings), ordered_lookup(*levels, approaches, settings)),
    ):
        np.testing.assert_allclose(values, expected.value[0], rtol=1e-12, atol=1e-10)
        assert [int(source) for source in sources] == expected.source[0].tolist()


def test_hand_worked_blend_of_advantages() -> None:
    # Category mean (20 + 40) / 2 = 30, so advantages -10 and +10; the fleet knows nothing.
    shared = shared_state(
        ([20.0, 40.0], [4, 4], [4.0, 4.0]), ([0.0, 0.0], [0, 0], [0.0, 0.0]), [0, 1], ValueKind.ADVANTAGE
    )
    # Own mean 6 over the only visited action: 0.5·6 + 0.5·(6 − 10) = 1 and 6 + 10 = 16.
    assert blend_state([6.0, 0.0], [3, 0], [0.5, 0.0], shared) == pytest.approx((1.0, 16.0))


def test_confidence_is_that_of_the_whole_table() -> None:
    statistics = TargetStatistics(np.array([[1, 0, 7]]), np.zeros((1, 3)), np.array([[0.0, 0.0, 900.0]]))
    settings = ConfidenceSettings(100.0, 300.0, 2.0)
    table = QTable.zeros(1, 3).with_statistics(statistics)
    expected = quantised_weights(table, settings) / np.maximum(table.visits, 1)
    assert row_confidence([1, 0, 7], [0.0, 0.0, 900.0], settings) == pytest.approx(tuple(expected[0]), abs=0)
