"""Compiled replay against plain Python, bit for bit."""

import functools
import itertools
import math
import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qe_core.learning.replay import kernels
from qe_core.learning.replay.buffer import tree_levels

STATES, ACTIONS, ROWS = 5, 3, 300


def a_log(seed: int) -> tuple[np.ndarray, ...]:
    generator = np.random.default_rng(seed)
    return (
        generator.integers(0, STATES, ROWS),
        generator.integers(0, ACTIONS, ROWS).astype(np.int16),
        generator.normal(3, 10, ROWS),
        generator.integers(0, STATES, ROWS),
        generator.random(ROWS) < 0.2,
    )


def empty() -> tuple[np.ndarray, ...]:
    shape = (STATES, ACTIONS)
    whole = np.zeros(shape, dtype=np.int64)
    return np.zeros(shape), whole, whole.copy(), np.zeros(shape), np.zeros(shape)


def oracle(columns: tuple, rows: list[int], importance: list[float], rate: tuple, is_evidence: bool) -> tuple:
    """Q-learning over dictionaries and Python floats, written from the formulas alone."""
    state, action, reward, next_state, terminated = (column.tolist() for column in columns)
    q, updates, visits, mean, m2 = ({} for _ in range(5))
    errors, changes = [], []
    for row, factor in zip(rows, importance, strict=True):
        pair = state[row], action[row]
        known = [q[next_state[row], b] for b in range(ACTIONS) if (next_state[row], b) in q]
        best = max(known) if known and not terminated[row] else 0.0
        target = reward[row] + 0.9 * best
        n = updates.get(pair, 0)
        alpha = max(rate[1], rate[0] / (1.0 + n) ** rate[2]) * factor
        error = target - q.get(pair, 0.0)
        q[pair] = q.get(pair, 0.0) + alpha * error
        updates[pair] = n + 1
        errors.append(error)
        changes.append(abs(alpha * error))
        if is_evidence:
            visits[pair] = visits.get(pair, 0) + 1
            deviation = target - mean.get(pair, 0.0)
            mean[pair] = mean.get(pair, 0.0) + deviation / visits[pair]
            m2[pair] = m2.get(pair, 0.0) + deviation * (target - mean[pair])
    return q, updates, visits, mean, m2, errors, changes


def ring_of(columns: tuple[np.ndarray, ...]) -> np.ndarray:
    ring = np.zeros(ROWS, dtype=kernels.RING_ROW)
    for name, column in zip(("state", "action", "reward", "next_state", "terminated"), columns, strict=True):
        ring[name] = column
    return ring


def form_of(function: object, form: str) -> object:
    return function if form == "compiled" else function.py_func


def assert_holds(arrays: tuple[np.ndarray, ...], expected: tuple[dict, ...]) -> None:
    for array, wanted in zip(arrays, expected, strict=True):
        for (s, a), value in wanted.items():
            assert array[s, a] == value
        assert np.count_nonzero(array) <= len(wanted)


RATES = [(1.0, 0.0, 0.7), (0.1, 0.0, 0.0), (0.5, 0.2, 0.7)]


@pytest.mark.parametrize("form", ["compiled", "plain"])
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("kept", [0, 5, 1000])
@pytest.mark.parametrize("is_evidence", [True, False])
def test_a_log_replayed_in_order_equals_the_plain_oracle_bit_for_bit(
    form: str, rate: tuple, kept: int, is_evidence: bool
) -> None:
    columns, arrays, changes = a_log(1), empty(), np.empty(ROWS)
    tried = kernels.values_of_tried(*arrays[:3])
    form_of(kernels.replay_log, form)(
        arrays[0], tried, *arrays[1:], *columns, 0.9, rate, kernels.rates_of(kept, rate), is_evidence, changes
    )
    expected = oracle(columns, list(range(ROWS)), [1.0] * ROWS, rate, is_evidence)
    assert changes.tolist() == expected[6]
    assert_holds(arrays, expected[:5])


@pytest.mark.parametrize("form", ["compiled", "plain"])
@pytest.mark.parametrize("rate", RATES)
def test_sampled_rows_replayed_equal_the_plain_oracle_bit_for_bit(form: str, rate: tuple) -> None:
    columns = a_log(1)
    rows = np.random.default_rng(2).integers(0, ROWS, 500)
    importance = np.random.default_rng(3).random(500)
    arrays, errors, changes = empty(), np.empty(500), np.empty(500)
    tried = kernels.values_of_tried(*arrays[:3])
    form_of(kernels.replay_rows, form)(
        *(arrays[0], tried, arrays[1], ring_of(columns), rows, importance, 0.9),
        *(rate, kernels.rates_of(20, rate), errors, changes),
    )
    expected = oracle(columns, rows.tolist(), importance.tolist(), rate, False)
    assert errors.tolist() == expected[5]
    assert changes.tolist() == expected[6]
    assert_holds(arrays[:2], expected[:2])


def test_a_prior_without_visits_or_updates_does_not_take_part_in_the_maximum() -> None:
    q, updates, visits, *_ = empty()
    q[1, 2], q[1, 0], q[1, 1] = 50.0, 10.0, -20.0
    visits[1, 0] = 1
    updates[1, 1] = 1
    for function in (kernels.values_of_tried, kernels.values_of_tried.py_func):
        tried = function(q, updates, visits)
        assert tried[1].tolist() == [10.0, -20.0, -np.inf]
        assert [kernels.best_tried(tried, state) for state in (0, 1)] == [0.0, 10.0]
        assert [kernels.best_tried.py_func(tried, state) for state in (0, 1)] == [0.0, 10.0]
    visits[1, 0] = 0
    assert kernels.best_tried(kernels.values_of_tried(q, updates, visits), 1) == -20.0


def a_tree(priorities: object) -> tuple[np.ndarray, np.ndarray]:
    values = np.asarray(priorities, dtype=np.float64)
    level_begin = tree_levels(len(values))
    tree = np.zeros(level_begin[-1])
    kernels.set_priorities(tree, level_begin, np.arange(len(values)), values)
    return tree, level_begin


@settings(deadline=None)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=40), st.data())
def test_every_node_of_the_tree_is_the_sum_of_its_children(
    priorities: list[float], data: st.DataObject
) -> None:
    tree, level_begin = a_tree(priorities)
    expected = dict(enumerate(priorities))
    changed = data.draw(st.lists(st.integers(0, len(priorities) - 1), max_size=10))
    for function in (kernels.set_priorities, kernels.set_priorities.py_func):
        values = np.arange(1.0, len(changed) + 1)
        function(tree, level_begin, np.array(changed, dtype=np.int64), values)
    expected.update(zip(changed, values.tolist(), strict=True))
    levels = [tree[begin:end] for begin, end in itertools.pairwise(level_begin.tolist())]
    for parents, children in itertools.pairwise(levels):
        for node in range(len(children) // kernels.FAN_OUT):
            group = children[kernels.FAN_OUT * node : kernels.FAN_OUT * (node + 1)].tolist()
            assert parents[node] == functools.reduce(operator.add, group, 0.0)
    assert levels[-1][: len(priorities)].tolist() == list(expected.values())
    assert tree[0] == pytest.approx(math.fsum(levels[-1]))


def test_hand_worked_search() -> None:
    tree, level_begin = a_tree([1.0, 0.0, 2.0, 1.0])
    assert tree.tolist() == [4, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 1, 0, 0, 0, 0]
    # Ranges of mass 1 each: [0, 1) is row 0, [1, 3) row 2, [3, 4) row 3; row 1 has none.
    assert kernels.find_rows(tree, level_begin, np.full(4, 0.5)).tolist() == [0, 2, 2, 3]
    assert kernels.find_rows(tree, level_begin, np.zeros(4)).tolist() == [0, 2, 2, 3]


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([0.0, 1e-12, 0.5, 3.0, 1e9]), min_size=1, max_size=90).filter(any),
    st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=20),
)
def test_rows_without_priority_are_never_drawn(priorities: list[float], uniforms: list[float]) -> None:
    tree, level_begin = a_tree(priorities)
    rows = kernels.find_rows(tree, level_begin, np.array(uniforms))
    assert all(priorities[row] > 0 for row in rows.tolist())
    assert kernels.find_rows.py_func(tree, level_begin, np.array(uniforms)).tolist() == rows.tolist()


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 8), min_size=1, max_size=200).filter(any),
    st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=32),
)
def test_the_tree_finds_the_same_rows_as_a_search_in_cumulated_priorities(
    priorities: list[int], uniforms: list[float]
) -> None:
    # Whole priorities, so that sums are exact in any order and both must agree to the row.
    tree, level_begin = a_tree(priorities)
    mass = (np.arange(len(uniforms)) + np.array(uniforms)) / len(uniforms) * sum(priorities)
    expected = np.searchsorted(np.cumsum(priorities), mass, side="right")
    last = np.flatnonzero(priorities)[-1]
    found = kernels.find_rows(tree, level_begin, np.array(uniforms))
    assert found.tolist() == np.minimum(expected, last).tolist()


def test_hand_worked_importance() -> None:
    tree, level_begin = a_tree([1.0, 1.0, 2.0, 4.0])
    # N·P is 1/2, 1/2, 1, 2; to the power −1 that is 2, 2, 1, 1/2, and scaled 1, 1, 1/2, 1/4.
    for function in (kernels.importance_of, kernels.importance_of.py_func):
        assert function(tree, level_begin, np.arange(4), 4, 1.0).tolist() == [1, 1, 0.5, 0.25]
        assert function(tree, level_begin, np.arange(4), 4, 0.0).tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("form", ["compiled", "plain"])
def test_gathered_columns_are_those_of_the_rows(form: str) -> None:
    columns = a_log(3)
    ring = ring_of(columns)
    ring["truncated"] = columns[0] == 1
    rows = np.array([7, 0, 7, ROWS - 1])
    found = form_of(kernels.gather, form)(ring, rows)
    for column, wanted in zip(found, (*columns, ring["truncated"]), strict=True):
        assert column.dtype == wanted.dtype
        assert np.array_equal(column, wanted[rows])


@pytest.mark.parametrize("form", ["compiled", "plain"])
def test_bad_rows_and_errors_change_no_priority(form: str) -> None:
    function = form_of(kernels.set_errors, form)
    tree, level_begin = a_tree([1.0, 2.0, 3.0])
    before = tree.copy()
    for rows, errors in (([0, 3], [1.0, 1.0]), ([-1], [1.0]), ([0, 1], [1.0, np.nan]), ([1], [np.inf])):
        assert function(tree, level_begin, np.array(rows), np.array(errors), 3, 1.0) == -1.0
    assert np.array_equal(tree, before)
    assert function(tree, level_begin, np.array([0, 2]), np.array([0.999, -4.999]), 3, 1.0) == 5.0
    assert tree[level_begin[-2] :][:3].tolist() == [1.0, 2.0, 5.0]


def test_priorities_equal_the_formula_in_plain_python() -> None:
    errors = np.random.default_rng(0).normal(0, 50, 200)
    expected = [(abs(error) + 1e-3) ** 0.6 for error in errors.tolist()]
    assert kernels.priorities_of(errors, 0.6).tolist() == expected
    assert kernels.priorities_of.py_func(errors, 0.6) == pytest.approx(np.array(expected), rel=1e-15)


@pytest.mark.parametrize("form", ["compiled", "plain"])
def test_prioritised_batches_equal_the_single_steps_bit_for_bit(form: str) -> None:
    ring = ring_of(a_log(4))
    uniforms = np.random.default_rng(5).random((7, 8))
    rate = (1.0, 0.0, 0.7)
    rates = kernels.rates_of(4, rate)
    q, updates, visits, *_ = empty()
    tried = kernels.values_of_tried(q, updates, visits)
    (tree, level_begin), exponent, highest, expected = a_tree(np.ones(ROWS)), 0.995, 1.0, []
    for batch in uniforms:
        rows = kernels.find_rows(tree, level_begin, batch)
        importance = kernels.importance_of(tree, level_begin, rows, ROWS, exponent)
        errors, changes = np.empty(8), np.empty(8)
        kernels.replay_rows(q, tried, updates, ring, rows, importance, 0.9, rate, rates, errors, changes)
        highest = max(highest, kernels.set_errors(tree, level_begin, rows, errors, ROWS, 0.6))
        exponent = min(1.0, exponent + 0.001)
        expected.append(changes.mean())
    found_q, found_updates, *_ = empty()
    found_tried = kernels.values_of_tried(found_q, found_updates, visits)
    (found_tree, _), found_changes = a_tree(np.ones(ROWS)), np.empty(7)
    result = form_of(kernels.prioritised_batches, form)(
        found_q, found_tried, found_updates, ring, ROWS, found_tree, level_begin, uniforms,
        0.6, 0.995, 0.001, 1.0, 0.9, rate, rates, found_changes,
    )  # fmt: skip
    assert np.array_equal(found_q, q)
    assert np.array_equal(found_tried, tried)
    assert np.array_equal(found_updates, updates)
    assert np.array_equal(found_tree, tree)
    assert result == (1.0, highest)
    np.testing.assert_allclose(found_changes, expected, rtol=1e-12)


@pytest.mark.parametrize("form", ["compiled", "plain"])
@pytest.mark.parametrize("rate", RATES)
def test_learning_rates_are_the_same_kept_or_computed(form: str, rate: tuple) -> None:
    initial, minimum, exponent = rate
    expected = [max(minimum, initial / (1.0 + count) ** exponent) for count in range(40)]
    kept = form_of(kernels.rates_of, form)(10, rate)
    assert kept.tolist() == expected[:10]
    assert [form_of(kernels.rate_after, form)(count, rate, kept) for count in range(40)] == expected


@pytest.mark.parametrize("form", ["compiled", "plain"])
def test_a_batch_drawn_in_one_call_is_the_three_single_calls(form: str) -> None:
    ring = ring_of(a_log(6))
    tree, level_begin = a_tree(np.random.default_rng(7).random(ROWS))
    uniforms = np.random.default_rng(8).random(16)
    rows, importance, columns = form_of(kernels.draw, form)(tree, level_begin, ring, ROWS, 0.4, uniforms)
    assert np.array_equal(rows, kernels.find_rows(tree, level_begin, uniforms))
    assert np.array_equal(importance, kernels.importance_of(tree, level_begin, rows, ROWS, 0.4))
    for column, wanted in zip(columns, kernels.gather(ring, rows), strict=True):
        assert np.array_equal(column, wanted)


@pytest.mark.parametrize("form", ["compiled", "plain"])
def test_a_point_rounded_beyond_the_end_is_the_last_row_with_a_priority(form: str) -> None:
    # 2 + the largest number below 1 rounds to 3, so the third of three points is the total itself.
    tree, level_begin = a_tree([1.0, 2.0, *[0.0] * 10])
    uniforms = np.array([0.0, 0.0, np.nextafter(1.0, 0.0)])
    assert form_of(kernels.find_rows, form)(tree, level_begin, uniforms).tolist() == [0, 1, 1]
