"""Compiled replay against plain Python, bit for bit."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qe_core.learning.replay import kernels

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


@pytest.mark.parametrize("form", ["compiled", "plain"])
@pytest.mark.parametrize("rate", [(1.0, 0.0, 0.7), (0.1, 0.0, 0.0), (0.5, 0.2, 0.7)])
@pytest.mark.parametrize("is_evidence", [True, False])
def test_replay_equals_the_plain_oracle_bit_for_bit(form: str, rate: tuple, is_evidence: bool) -> None:
    columns = a_log(1)
    rows = np.random.default_rng(2).integers(0, ROWS, 500)
    importance = np.random.default_rng(3).random(500)
    arrays, errors, changes = empty(), np.empty(500), np.empty(500)
    function = kernels.replay_rows if form == "compiled" else kernels.replay_rows.py_func
    function(*arrays, *columns, rows, importance, 0.9, *rate, is_evidence, errors, changes)
    expected = oracle(columns, rows.tolist(), importance.tolist(), rate, is_evidence)
    assert errors.tolist() == expected[5]
    assert changes.tolist() == expected[6]
    for array, wanted in zip(arrays, expected[:5], strict=True):
        for (s, a), value in wanted.items():
            assert array[s, a] == value
        assert np.count_nonzero(array) <= len(wanted)


def test_a_prior_without_visits_or_updates_does_not_take_part_in_the_maximum() -> None:
    q, updates, visits, mean, m2 = empty()
    q[1, 2] = 50.0
    columns = (
        np.array([0]),
        np.array([0], dtype=np.int16),
        np.array([1.0]),
        np.array([1]),
        np.array([False]),
    )
    arguments = (*columns, np.array([0]), np.ones(1), 0.9, 1.0, 0.0, 0.7, True, np.empty(1), np.empty(1))
    kernels.replay_rows(q, updates, visits, mean, m2, *arguments)
    assert q[0, 0] == 1.0
    visits[1, 2] = 1
    updates[0, 0] = 0
    kernels.replay_rows(q, updates, visits, mean, m2, *arguments)
    assert q[0, 0] == 46.0


@settings(deadline=None)
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=40), st.data())
def test_every_node_of_the_tree_is_the_sum_of_its_children(
    priorities: list[float], data: st.DataObject
) -> None:
    half = 2 ** (len(priorities) - 1).bit_length()
    tree = np.zeros(2 * half)
    kernels.set_priorities(tree, np.arange(len(priorities)), np.array(priorities))
    changed = data.draw(st.lists(st.integers(0, len(priorities) - 1), max_size=10))
    kernels.set_priorities.py_func(tree, np.array(changed, dtype=np.int64), np.arange(1.0, len(changed) + 1))
    for node in range(1, half):
        assert tree[node] == tree[2 * node] + tree[2 * node + 1]
    assert tree[1] == pytest.approx(math.fsum(tree[half:]))


def test_hand_worked_search() -> None:
    tree = np.zeros(8)
    kernels.set_priorities(tree, np.arange(4), np.array([1.0, 0.0, 2.0, 1.0]))
    assert tree.tolist() == [0, 4, 1, 3, 1, 0, 2, 1]
    # Ranges of mass 1 each: [0, 1) is row 0, [1, 3) row 2, [3, 4) row 3; row 1 has none.
    assert kernels.find_rows(tree, np.full(4, 0.5)).tolist() == [0, 2, 2, 3]
    assert kernels.find_rows(tree, np.zeros(4)).tolist() == [0, 2, 2, 3]


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([0.0, 1e-12, 0.5, 3.0, 1e9]), min_size=1, max_size=20).filter(any),
    st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=20),
)
def test_rows_without_priority_are_never_drawn(priorities: list[float], uniforms: list[float]) -> None:
    tree = np.zeros(2 * 2 ** (len(priorities) - 1).bit_length())
    kernels.set_priorities(tree, np.arange(len(priorities)), np.array(priorities))
    rows = kernels.find_rows(tree, np.array(uniforms))
    assert all(priorities[row] > 0 for row in rows.tolist())
    assert kernels.find_rows.py_func(tree, np.array(uniforms)).tolist() == rows.tolist()


def test_hand_worked_importance() -> None:
    tree = np.zeros(8)
    kernels.set_priorities(tree, np.arange(4), np.array([1.0, 1.0, 2.0, 4.0]))
    # N·P is 1/2, 1/2, 1, 2; to the power −1 that is 2, 2, 1, 1/2, and scaled 1, 1, 1/2, 1/4.
    for function in (kernels.importance_of, kernels.importance_of.py_func):
        assert function(tree, np.arange(4), 4, 1.0).tolist() == [1, 1, 0.5, 0.25]
        assert function(tree, np.arange(4), 4, 0.0).tolist() == [1, 1, 1, 1]


def test_priorities_equal_the_formula_in_plain_python() -> None:
    errors = np.random.default_rng(0).normal(0, 50, 200)
    expected = [(abs(error) + 1e-3) ** 0.6 for error in errors.tolist()]
    assert kernels.priorities_of(errors, 0.6).tolist() == expected
    assert kernels.priorities_of.py_func(errors, 0.6) == pytest.approx(np.array(expected), rel=1e-15)


@pytest.mark.parametrize("form", ["compiled", "plain"])
def test_prioritised_batches_equal_the_single_steps_bit_for_bit(form: str) -> None:
    columns = a_log(4)
    uniforms = np.random.default_rng(5).random((7, 8))
    rate = (1.0, 0.0, 0.7)

    def fresh_tree() -> np.ndarray:
        tree = np.zeros(1024)
        kernels.set_priorities(tree, np.arange(ROWS), np.ones(ROWS))
        return tree

    q, updates, visits, mean, m2 = empty()
    tree, exponent, highest, expected = fresh_tree(), 0.995, 1.0, []
    for batch in uniforms:
        rows = kernels.find_rows(tree, batch)
        importance = kernels.importance_of(tree, rows, ROWS, exponent)
        errors, changes = np.empty(8), np.empty(8)
        kernels.replay_rows(
            q, updates, visits, mean, m2, *columns, rows, importance, 0.9, *rate, False, errors, changes
        )
        priorities = kernels.priorities_of(errors, 0.6)
        kernels.set_priorities(tree, rows, priorities)
        highest, exponent = max(highest, priorities.max()), min(1.0, exponent + 0.001)
        expected.append(changes.mean())
    found_q, found_updates, found_visits, *_ = empty()
    found_tree, found_changes = fresh_tree(), np.empty(7)
    function = kernels.prioritised_batches if form == "compiled" else kernels.prioritised_batches.py_func
    result = function(
        found_q, found_updates, found_visits, *columns, ROWS, found_tree, uniforms,
        0.6, 0.995, 0.001, 1.0, 0.9, *rate, found_changes,
    )  # fmt: skip
    assert np.array_equal(found_q, q)
    assert np.array_equal(found_updates, updates)
    assert np.array_equal(found_tree, tree)
    assert result == (1.0, highest)
    np.testing.assert_allclose(found_changes, expected, rtol=1e-12)
