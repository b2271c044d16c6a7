"""Composed updates equal sequential ones, and merge in any grouping."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qe_core.errors import LearningError
from qe_core.learning.affine_updates import AffineUpdates, compose_sorted
from qe_core.learning.q_table import QTable
from qe_core.learning.target_statistics import TargetStatistics

STATES, ACTIONS = 3, 2
update = st.tuples(
    st.integers(0, STATES - 1), st.integers(0, ACTIONS - 1), st.floats(-100, 100), st.floats(0, 1)
)
batches = st.lists(update, max_size=40)


def composed(rows: list[tuple[int, int, float, float]]) -> AffineUpdates:
    columns = list(zip(*rows, strict=True)) if rows else [[], [], [], []]
    return AffineUpdates.from_targets(*columns)


def start() -> QTable:
    q = np.array([[1.0, -2.0], [30.0, 0.5], [0.0, 7.0]])
    return QTable(q, np.full(q.shape, 2, dtype=np.int64), q / 2, np.abs(q))


def sequential(rows: list[tuple[int, int, float, float]]) -> QTable:
    table = start()
    q = table.q.copy()
    statistics = {
        (s, a): TargetStatistics(table.visits[s, a], table.target_mean[s, a], table.target_m2[s, a])
        for s in range(STATES)
        for a in range(ACTIONS)
    }
    for s, a, target, rate in rows:
        q[s, a] += rate * (target - q[s, a])
        statistics[s, a] = statistics[s, a].add(target)
    shape = (STATES, ACTIONS)
    columns = [
        np.array([getattr(statistics[s, a], name) for s in range(STATES) for a in range(ACTIONS)]).reshape(
            shape
        )
        for name in ("count", "mean", "m2")
    ]
    return QTable(q, columns[0].astype(np.int64), columns[1], columns[2])


def assert_close(found: QTable, wanted: QTable) -> None:
    assert np.array_equal(found.visits, wanted.visits)
    np.testing.assert_allclose(found.q, wanted.q, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.target_mean, wanted.target_mean, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.target_m2, wanted.target_m2, rtol=1e-10, atol=1e-9)


def test_hand_worked_composition() -> None:
    # Rates 1 and 1/2 with targets 10 and 20: q → 0·q + 10, then q/2 + 10, so 0·q + 15.
    updates = AffineUpdates.from_targets([0, 0, 1], [1, 1, 0], [10.0, 20.0, 5.0], [1.0, 0.5, 0.1])
    assert updates.state.tolist() == [0, 1]
    assert updates.action.tolist() == [1, 0]
    assert updates.scale.tolist() == pytest.approx([0.0, 0.9])
    assert updates.offset.tolist() == pytest.approx([15.0, 0.5])
    assert updates.count.tolist() == [2, 1]
    assert updates.target_mean.tolist() == [15.0, 5.0]
    assert updates.target_m2.tolist() == [50.0, 0.0]


@settings(deadline=None)
@given(batches)
def test_composed_updates_equal_sequential_ones(rows: list[tuple[int, int, float, float]]) -> None:
    assert_close(composed(rows).apply(start()), sequential(rows))


@settings(deadline=None)
@given(batches, batches, batches)
def test_composition_is_associative(first: list, second: list, third: list) -> None:
    a, b, c = composed(first), composed(second), composed(third)
    left, right = a.then(b).then(c), a.then(b.then(c))
    assert np.array_equal(left.count, right.count)
    assert np.array_equal(left.state, right.state)
    np.testing.assert_allclose(left.scale, right.scale, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(left.offset, right.offset, rtol=1e-12, atol=1e-11)
    assert_close(left.apply(start()), sequential(first + second + third))


def test_a_pair_appears_once_and_in_order() -> None:
    updates = composed([(2, 1, 1.0, 0.5), (0, 1, 1.0, 0.5), (2, 1, 3.0, 0.5), (0, 0, 1.0, 0.5)])
    assert list(zip(updates.state.tolist(), updates.action.tolist(), strict=True)) == [(0, 0), (0, 1), (2, 1)]
    assert len(updates) == 3


def test_no_updates_change_nothing() -> None:
    nothing = composed([])
    assert len(nothing) == 0
    assert_close(nothing.then(nothing).apply(start()), start())


def test_applying_leaves_the_given_table_alone() -> None:
    table = start()
    composed([(0, 0, 100.0, 1.0)]).apply(table)
    assert_close(table, start())


def test_the_plain_loop_gives_the_same_bits_as_the_compiled_one() -> None:
    generator = np.random.default_rng(3)
    first = np.array([0, 4, 5])
    rows = [
        generator.random(9),
        generator.random(9),
        np.arange(1, 10),
        generator.random(9),
        generator.random(9),
    ]
    for fast, plain in zip(compose_sorted(first, *rows), compose_sorted.py_func(first, *rows), strict=True):
        assert np.array_equal(fast, plain)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (([0], [0], [np.nan], [0.5]), "td_target must be finite"),
        (([0], [0], [1.0], [1.5]), r"learning rates must lie in \[0, 1\]"),
        (([0, 1], [0], [1.0], [0.5]), "must have one length, got 2, 1, 1, 1"),
    ],
)
def test_bad_updates_are_refused(columns: tuple, message: str) -> None:
    with pytest.raises(LearningError, match=message):
        AffineUpdates.from_targets(*columns)


def test_updates_outside_the_table_are_refused() -> None:
    with pytest.raises(LearningError, match=r"state must lie in 0 … 2, but row 0 \(3\)"):
        composed([(3, 0, 1.0, 0.5)]).apply(start())
    with pytest.raises(LearningError, match=r"action must lie in 0 … 1"):
        composed([(0, 5, 1.0, 0.5)]).apply(start())


def test_columns_of_different_lengths_are_refused() -> None:
    one, two = np.zeros(1), np.zeros(2)
    with pytest.raises(LearningError, match="columns of affine updates must have one length"):
        AffineUpdates(one.astype(np.int64), one.astype(np.int16), two, one, one.astype(np.int64), one, one)
