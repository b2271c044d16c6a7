"""Composed updates equal sequential ones, and merge in any grouping."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qe_core.errors import LearningError
from qe_core.learning import affine_kernels
from qe_core.learning.affine_updates import AffineUpdates
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


def random_columns(count: int, seed: int, states: int = 50) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    return [
        generator.integers(0, states, count),
        generator.integers(0, 7, count).astype(np.int16),
        generator.normal(0, 20, count),
        generator.random(count),
    ]


@pytest.mark.parametrize("count", [1, 40, 300])
def test_the_plain_loops_give_the_same_bits_as_the_compiled_ones(count: int) -> None:
    columns = random_columns(count, 3)
    fast, plain = affine_kernels.compose_targets(*columns), affine_kernels.compose_targets.py_func(*columns)
    other = affine_kernels.compose_targets(*random_columns(count, 4))
    both = affine_kernels.compose_sets(*fast[:-1], *other[:-1])
    both_plain = affine_kernels.compose_sets.py_func(*fast[:-1], *other[:-1])
    for left, right in zip((*fast, *both), (*plain, *both_plain), strict=True):
        assert np.array_equal(left, right)


extreme_states = st.sampled_from([-(2**63), -(2**40), -1, 0, 1, 2, 2047, 2048, 2**33, 2**63 - 1])


@settings(deadline=None)
@given(
    st.lists(st.tuples(extreme_states, st.integers(-(2**15), 2**15 - 1) | st.integers(0, 2)), max_size=150)
)
def test_rows_are_ordered_by_pair_and_stay_in_order_inside_one(pairs: list[tuple[int, int]]) -> None:
    state = np.array([pair[0] for pair in pairs], dtype=np.int64)
    action = np.array([pair[1] for pair in pairs], dtype=np.int16)
    expected = np.lexsort((action, state)).tolist()
    assert affine_kernels.order_by_pair(state, action).tolist() == expected


@pytest.mark.parametrize("form", ["compiled", "plain"])
def test_both_ways_of_ordering_agree_with_a_stable_sort(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("order_by_pair", "order_few", "sort_by_digit")
    for name in names if form == "plain" else ():
        monkeypatch.setattr(affine_kernels, name, getattr(affine_kernels, name).py_func)
    for count in (0, 1, affine_kernels.FEW_ROWS, affine_kernels.FEW_ROWS + 1, 500):
        state, action, *_ = random_columns(count, count, states=20_000)
        action[: count // 2], state[: count // 3] = 3, 7
        found = affine_kernels.order_by_pair(state, action)
        assert np.array_equal(found, np.lexsort((action, state)))


@settings(deadline=None)
@given(batches, batches)
def test_composing_two_batches_equals_composing_their_rows_at_once(first: list, second: list) -> None:
    merged, at_once = composed(first).then(composed(second)), composed(first + second)
    for name in ("state", "action", "count"):
        assert np.array_equal(getattr(merged, name), getattr(at_once, name))
    for name in ("scale", "offset", "target_mean"):
        np.testing.assert_allclose(getattr(merged, name), getattr(at_once, name), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(merged.target_m2, at_once.target_m2, rtol=1e-10, atol=1e-9)


@settings(deadline=None)
@given(st.integers(1, 3_000), st.floats(0.05, 1), st.floats(-1e-140, 1e-140), st.integers(1, 50))
def test_long_decays_end_in_zero_and_never_below_normal_numbers(
    count: int, rate: float, target: float, batch: int
) -> None:
    # 0.95^3000 is 1e-67; composed with itself 50 times it would be 1e-3340.
    one = AffineUpdates.from_targets(
        np.zeros(count, dtype=int), np.zeros(count, dtype=int), np.full(count, target), np.full(count, rate)
    )
    repeated = one
    for _ in range(batch):
        repeated = repeated.then(one)
    smallest = affine_kernels.NEGLIGIBLE
    for updates in (one, repeated):
        for name in ("scale", "offset", "target_mean"):
            values = np.abs(getattr(updates, name))
            assert ((values == 0) | (values >= smallest)).all()
    assert smallest * smallest >= np.finfo(np.float64).tiny
    assert repeated.count.tolist() == [count * (batch + 1)]


def test_subnormal_products_become_zero() -> None:
    updates = AffineUpdates.from_targets([0] * 40, [0] * 40, [1e-160] * 40, [1 - 1e-8] * 40)
    assert updates.scale.tolist() == [0.0]
    assert updates.offset.tolist() == [0.0]
    assert updates.target_mean.tolist() == [0.0]
    assert updates.count.tolist() == [40]
    twice = AffineUpdates.from_targets([0], [0], [1e-140], [1 - 1e-12])
    for _ in range(20):
        twice = twice.then(AffineUpdates.from_targets([0], [0], [0.0], [1 - 1e-12]))
    assert twice.scale.tolist() == [0.0]
    assert twice.offset.tolist() == [0.0]


def test_read_only_and_strided_columns_are_taken() -> None:
    columns = random_columns(20, 1)
    for column in columns:
        column.setflags(write=False)
    expected = AffineUpdates.from_targets(*(column[::2].copy() for column in columns))
    signatures = len(affine_kernels.compose_targets.signatures)
    found = AffineUpdates.from_targets(*(column[::2] for column in columns))
    for name in AffineUpdates.__slots__:
        assert np.array_equal(getattr(found, name), getattr(expected, name))
    assert len(affine_kernels.compose_targets.signatures) == signatures


def test_sets_out_of_order_are_not_composed() -> None:
    updates = AffineUpdates.from_targets([0, 1], [0, 0], [1.0, 2.0], [0.5, 0.5])
    backwards = AffineUpdates(*(getattr(updates, name)[::-1].copy() for name in AffineUpdates.__slots__))
    repeated = AffineUpdates(*(np.repeat(getattr(updates, name), 2) for name in AffineUpdates.__slots__))
    for wrong in (backwards, repeated):
        for first, second in ((wrong, updates), (updates, wrong), (wrong, composed([]))):
            with pytest.raises(LearningError, match=r"must be ordered by \(state, action\)"):
                first.then(second)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (([0], [0], [np.nan], [0.5]), "td_target must be finite"),
        (([0], [0], [1.0], [1.5]), r"learning rates must lie in \[0, 1\]"),
        (([0], [0], [np.inf], [0.5]), "td_target must be finite"),
        (([0], [0], [1.0], [np.nan]), r"learning rates must lie in \[0, 1\]"),
        (([0, 1], [0], [1.0], [0.5]), "must have one length, got 2, 1, 1, 1"),
        (([0], [70_000], [1.0], [0.5]), r"action does not fit int16: row 0 \(70000\)"),
        (([0.5], [0], [1.0], [0.5]), r"state does not fit int64: row 0 \(0.5\)"),
        (([np.nan], [0], [1.0], [0.5]), r"state does not fit int64: row 0 \(nan\)"),
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
