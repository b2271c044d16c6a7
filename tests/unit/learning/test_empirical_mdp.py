"""The observed MDP, its rules about what was never seen, and its exact table."""

import itertools
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qe_core.errors import LearningError
from qe_core.learning import mdp_kernels
from qe_core.learning.empirical_mdp import (
    Caution,
    EmpiricalMdp,
    q_table_from_mdp,
    q_table_from_transitions,
    solve_empirical_mdp,
)
from qe_core.learning.experience import COLUMN_TYPES, Transitions
from qe_core.learning.finite_mdp import bellman_residuals
from qe_core.learning.q_table import eligible_pairs

STATES, ACTIONS = 4, 3
row = st.tuples(
    st.integers(0, STATES - 1),
    st.integers(0, ACTIONS - 1),
    st.floats(-100, 100),
    st.integers(0, STATES - 1),
    st.sampled_from([(False, False), (True, False), (False, True)]),
)
logs = st.lists(row, max_size=60)


def log(rows: list[tuple]) -> Transitions:
    columns = list(zip(*[(*r[:4], *r[4]) for r in rows], strict=True)) if rows else [[]] * 6
    return Transitions.from_columns(*columns)


def simple(*rows: tuple[int, int, float, int, bool]) -> Transitions:
    return Transitions.from_columns(*zip(*rows, strict=True))


def same_bits(first: object, second: object, names: tuple[str, ...]) -> bool:
    return all(getattr(first, name).tobytes() == getattr(second, name).tobytes() for name in names)


ENTRY_NAMES = ("state", "action", "next_state", "terminated", "count", "reward_mean", "reward_m2")
TABLE_NAMES = ("q", "visits", "target_mean", "target_m2")


@settings(deadline=None)
@given(logs)
def test_entries_equal_plain_counting(rows: list[tuple]) -> None:
    mdp = EmpiricalMdp.from_transitions(log(rows), STATES, ACTIONS)
    rewards = defaultdict(list)
    for state, action, reward, next_state, (terminated, _) in rows:
        rewards[state, action, next_state, terminated].append(reward)
    keys = sorted(rewards)
    found = zip(*(getattr(mdp, name).tolist() for name in ENTRY_NAMES[:4]), strict=True)
    assert list(found) == keys
    assert mdp.count.tolist() == [len(rewards[key]) for key in keys]
    np.testing.assert_allclose(mdp.reward_mean, [np.mean(rewards[key]) for key in keys], atol=1e-10)
    expected = [np.var(rewards[key]) * len(rewards[key]) for key in keys]
    np.testing.assert_allclose(mdp.reward_m2, expected, rtol=1e-9, atol=1e-8)


@settings(deadline=None)
@given(logs, st.integers(0, 60))
def test_merging_two_halves_equals_counting_all(rows: list[tuple], cut: int) -> None:
    whole, first, second = (
        EmpiricalMdp.from_transitions(log(part), STATES, ACTIONS) for part in (rows, rows[:cut], rows[cut:])
    )
    merged = first.merge(second)
    for name in ENTRY_NAMES[:5]:
        assert np.array_equal(getattr(merged, name), getattr(whole, name))
    np.testing.assert_allclose(merged.reward_mean, whole.reward_mean, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(merged.reward_m2, whole.reward_m2, rtol=1e-9, atol=1e-8)
    np.testing.assert_allclose(
        solve_empirical_mdp(merged, 0.9).q, solve_empirical_mdp(whole, 0.9).q, atol=1e-8
    )


@settings(deadline=None)
@given(logs, st.integers(1, 4), st.sampled_from([0.0, 0.5]))
def test_the_same_log_gives_the_same_bits_and_no_residual(
    rows: list[tuple], minimum_visits: int, pessimism: float
) -> None:
    caution = Caution(minimum_visits, pessimism)
    first, second = (q_table_from_transitions(log(rows), STATES, ACTIONS, 0.95, caution) for _ in range(2))
    assert same_bits(first, second, TABLE_NAMES)
    if pessimism == 0:
        mdp = EmpiricalMdp.from_transitions(log(rows), STATES, ACTIONS).to_finite_mdp()
        is_eligible = eligible_pairs(first.visits, minimum_visits)
        assert bellman_residuals(mdp, first.q, is_eligible, 0.95).max() < 1e-8


@settings(deadline=None)
@given(logs)
def test_target_statistics_are_those_of_the_single_targets(rows: list[tuple]) -> None:
    transitions = log(rows)
    mdp = EmpiricalMdp.from_transitions(transitions, STATES, ACTIONS)
    solution = solve_empirical_mdp(mdp, 0.9)
    table = q_table_from_mdp(mdp, solution, 0.9)
    targets = defaultdict(list)
    for state, action, reward, next_state, (terminated, _) in rows:
        bootstrap = 0.0 if terminated else 0.9 * solution.value[next_state]
        targets[state, action].append(reward + bootstrap)
    for (state, action), values in targets.items():
        assert table.visits[state, action] == len(values)
        assert table.target_mean[state, action] == pytest.approx(np.mean(values), abs=1e-8)
        assert table.target_m2[state, action] == pytest.approx(
            np.var(values) * len(values), rel=1e-9, abs=1e-6
        )
    assert table.visits.sum() == len(rows)
    np.testing.assert_allclose(table.target_mean, table.q, atol=1e-8)


def test_hand_worked_table() -> None:
    # 0 –0→ 1 twice (2 and 4 points), 1 –1→ end (10 points): q(1,1) = 10, q(0,0) = 3 + 0.5·10 = 8.
    table = q_table_from_transitions(
        simple((0, 0, 2, 1, False), (0, 0, 4, 1, False), (1, 1, 10, 0, True)), 2, 2, 0.5
    )
    assert table.q.tolist() == [[8, 0], [0, 10]]
    assert table.visits.tolist() == [[2, 0], [0, 1]]
    assert table.target_mean.tolist() == [[8, 0], [0, 10]]
    assert table.target_m2.tolist() == [[2, 0], [0, 0]]


def test_truncated_transitions_bootstrap_and_terminated_ones_do_not() -> None:
    onward = [(1, 0, 10.0, 1, (True, False))]
    for flags, expected in (((False, True), 6.0), ((True, False), 1.0), ((False, False), 6.0)):
        table = q_table_from_transitions(log([(0, 0, 1.0, 1, flags), *onward]), 2, 1, 0.5)
        assert table.q[0, 0] == expected


def test_an_untried_action_is_not_preferred_to_a_measured_loss() -> None:
    # In state 1 only action 0 was tried, at −10. An optimistic 0 for action 1 would make q(0,0) = 0.
    table = q_table_from_transitions(simple((0, 0, 0, 1, False), (1, 0, -10, 0, True)), 2, 2, 0.5)
    assert table.q.tolist() == [[-5, 0], [-10, 0]]
    assert table.greedy().tolist() == [0, 0]


def test_a_state_never_acted_in_bootstraps_nothing() -> None:
    table = q_table_from_transitions(simple((0, 0, 7, 1, False)), 2, 2, 0.9)
    assert table.q.tolist() == [[7, 0], [0, 0]]
    assert table.greedy().tolist() == [0, -1]


def test_a_pair_that_sometimes_terminates_bootstraps_in_proportion() -> None:
    table = q_table_from_transitions(
        simple((0, 0, 0, 1, True), (0, 0, 0, 1, False), (1, 0, 8, 1, True)), 2, 1, 0.5
    )
    assert table.q[0, 0] == 2  # half of 0.5 · 8


def test_minimum_visits_copy_the_log_where_evidence_is_thin() -> None:
    rows = (
        [(0, 0, 1.0, 0, True)] * 5
        + [(0, 1, 9.0, 0, True)]
        + [(1, 1, 3.0, 0, True)] * 2
        + [(1, 0, 9.0, 0, True)]
    )
    mdp = EmpiricalMdp.from_transitions(simple(*rows), 2, 2)
    assert solve_empirical_mdp(mdp, 0.5).policy.tolist() == [1, 0]
    cautious = solve_empirical_mdp(mdp, 0.5, Caution(minimum_visits=3))
    assert cautious.policy.tolist() == [0, 1]
    assert cautious.value.tolist() == [1, 3]
    assert cautious.q.tolist() == [[1, 9], [9, 3]]


def test_pessimism_prefers_well_known_pairs() -> None:
    # One lucky 12 against a hundred times 10. Standard errors with σ₀² = 400, w = 1:
    # √(400/2/1) = 14.1 and √(400/101/100) = 0.199.
    rows = [(0, 0, 10.0, 0, True)] * 100 + [(0, 1, 12.0, 0, True)]
    mdp = EmpiricalMdp.from_transitions(simple(*rows), 1, 2)
    assert solve_empirical_mdp(mdp, 0.5).policy.tolist() == [1]
    cautious = solve_empirical_mdp(mdp, 0.5, Caution(pessimism=1.0))
    assert cautious.policy.tolist() == [0]
    assert cautious.q[0].tolist() == pytest.approx([10 - np.sqrt(400 / 101 / 100), 12 - np.sqrt(400 / 2)])


@settings(deadline=None)
@given(logs, st.floats(0, 3), st.floats(0, 3))
def test_more_pessimism_never_raises_a_value(rows: list[tuple], first: float, second: float) -> None:
    mdp = EmpiricalMdp.from_transitions(log(rows), STATES, ACTIONS)
    low, high = sorted((first, second))
    bold, cautious = (
        solve_empirical_mdp(mdp, 0.9, Caution(pessimism=pessimism)).q for pessimism in (low, high)
    )
    assert (cautious <= bold + 1e-7).all()


def test_pessimism_is_carried_back_through_the_chain() -> None:
    mdp = EmpiricalMdp.from_transitions(simple((0, 0, 0, 1, False), (1, 0, 10, 0, True)), 2, 1)
    error = np.sqrt(400 / 2)
    cautious = solve_empirical_mdp(mdp, 0.5, Caution(pessimism=1.0))
    assert cautious.q[:, 0].tolist() == pytest.approx([0.5 * (10 - error) - error, 10 - error])


def test_an_empty_log_gives_an_empty_table() -> None:
    table = q_table_from_transitions(Transitions.empty(), 3, 2, 0.9, Caution(2, 1.0))
    assert not table.q.any()
    assert table.greedy().tolist() == [-1, -1, -1]


@settings(deadline=None, max_examples=50)
@given(logs, st.lists(st.integers(0, 60), max_size=4), st.data())
def test_summaries_of_any_part_and_the_rest_of_the_log_solve_to_the_same_table(
    rows: list[tuple], cuts: list[int], data: st.DataObject
) -> None:
    whole = EmpiricalMdp.from_transitions(log(rows), STATES, ACTIONS)
    kept = data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    folded = [row for row, is_kept in zip(rows, kept, strict=True) if not is_kept]
    bounds = [0, *sorted(cuts), len(folded)]
    parts = [
        EmpiricalMdp.from_transitions(log(folded[first:stop]), STATES, ACTIONS)
        for first, stop in itertools.pairwise(bounds)
    ]
    # As retention keeps them: one summary per part, the parts one after the other, keys repeated.
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in ENTRY_NAMES}
    summarised = EmpiricalMdp.from_summaries(STATES, ACTIONS, **columns)
    live = [row for row, is_kept in zip(rows, kept, strict=True) if is_kept]
    merged = summarised.merge(EmpiricalMdp.from_transitions(log(live), STATES, ACTIONS))
    for name in ENTRY_NAMES[:5]:
        assert np.array_equal(getattr(merged, name), getattr(whole, name))
    solution, exact = solve_empirical_mdp(merged, 0.95), solve_empirical_mdp(whole, 0.95)
    np.testing.assert_allclose(solution.q, exact.q, rtol=1e-9, atol=1e-9)
    table, wanted = (q_table_from_mdp(mdp, one, 0.95) for mdp, one in ((merged, solution), (whole, exact)))
    np.testing.assert_allclose(table.target_m2, wanted.target_m2, rtol=1e-9, atol=1e-6)


@settings(deadline=None)
@given(logs)
def test_summaries_come_back_as_the_columns_they_were(rows: list[tuple]) -> None:
    mdp = EmpiricalMdp.from_transitions(log(rows), STATES, ACTIONS)
    columns = {name: getattr(mdp, name) for name in ENTRY_NAMES}
    assert same_bits(EmpiricalMdp.from_summaries(STATES, ACTIONS, **columns), mdp, ENTRY_NAMES)


def test_hand_worked_summaries() -> None:
    # 3 rewards 1, 2, 3 and 2 rewards 6, 10: mean 22/5, m2 = 2 + 8 + 6²·6/5.
    mdp = EmpiricalMdp.from_summaries(
        2, 1, state=[0, 0], action=[0, 0], next_state=[1, 1], terminated=[False, False],
        count=[3, 2], reward_mean=[2.0, 8.0], reward_m2=[2.0, 8.0],
    )  # fmt: skip
    assert mdp.count.tolist() == [5]
    assert mdp.reward_mean.tolist() == pytest.approx([4.4])
    assert mdp.reward_m2.tolist() == pytest.approx([53.2])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"state": [2]}, r"state must lie in 0 … 1, but row 0 \(2\)"),
        ({"action": [1]}, r"action must lie in 0 … 0"),
        ({"next_state": [-1]}, r"next_state must lie in 0 … 1"),
        ({"count": [0]}, r"count is too small in row 0 \(0\)"),
        ({"count": [1.5]}, r"count does not fit int64: row 0 \(1.5\)"),
        ({"reward_mean": [np.inf]}, "reward_mean must be finite"),
        ({"reward_m2": [-1.0]}, r"reward_m2 is too small in row 0 \(-1.0\)"),
        ({"count": [1, 1]}, r"must have one length, got \[1, 1, 1, 1, 2, 1, 1\]"),
    ],
)
def test_impossible_summaries_are_refused(changed: dict, message: str) -> None:
    columns = {
        "state": [0], "action": [0], "next_state": [1], "terminated": [False],
        "count": [1], "reward_mean": [0.0], "reward_m2": [0.0],
    }  # fmt: skip
    with pytest.raises(LearningError, match=message):
        EmpiricalMdp.from_summaries(2, 1, **(columns | changed))


@pytest.mark.parametrize("count", [0, 1, 200])
def test_plain_and_compiled_grouping_of_rows_agree_with_a_stable_sort(count: int) -> None:
    generator = np.random.default_rng(5)
    pair, successor = generator.integers(0, 12, count), generator.integers(0, 8, count)
    orders = [
        function(pair, successor, 12, 8)
        for function in (
            mdp_kernels.rows_by_pair_and_successor,
            mdp_kernels.rows_by_pair_and_successor.py_func,
        )
    ]
    assert np.array_equal(orders[0], orders[1])
    assert np.array_equal(orders[0], np.lexsort((successor, pair)))
    _, expected_first, expected_entry = np.unique(
        pair * 8 + successor, return_index=True, return_inverse=True
    )
    for function in (mdp_kernels.entries_of_rows, mdp_kernels.entries_of_rows.py_func):
        first, entry = function(orders[0], pair, successor)
        assert np.array_equal(first, expected_first)
        assert np.array_equal(entry, expected_entry)


def test_counting_does_not_change_the_log() -> None:
    transitions = log([(0, 0, 1.0, 1, (False, False)), (1, 2, 2.0, 0, (True, False))])
    before = {name: getattr(transitions, name).copy() for name in COLUMN_TYPES}
    q_table_from_transitions(transitions, STATES, ACTIONS, 0.9)
    assert all(np.array_equal(getattr(transitions, name), before[name]) for name in COLUMN_TYPES)


def test_bad_arguments_are_refused() -> None:
    transitions = simple((0, 0, 1, 0, True))
    small, large = (EmpiricalMdp.from_transitions(transitions, states, 1) for states in (1, 2))
    with pytest.raises(LearningError, match="1 × 1 and 2 × 1 pairs cannot be merged"):
        small.merge(large)
    with pytest.raises(LearningError, match="discount"):
        solve_empirical_mdp(small, 1.0)
    with pytest.raises(LearningError, match=r"state must lie in 0 … 0"):
        EmpiricalMdp.from_transitions(simple((1, 0, 1, 0, True)), 1, 1)
    with pytest.raises(LearningError, match="reward must be finite"):
        q_table_from_transitions(simple((0, 0, np.nan, 0, True)), 1, 1, 0.9)
    with pytest.raises(LearningError, match="solution must have shape"):
        q_table_from_mdp(small, solve_empirical_mdp(large, 0.9), 0.9)
    with pytest.raises(LearningError, match=r"value must have shape \(1,\)"):
        small.target_statistics(np.zeros(2), 0.9)
    with pytest.raises(LearningError, match="minimum_visits must be at least 1, got 0"):
        Caution(minimum_visits=0)
    with pytest.raises(LearningError, match="pessimism must not be negative"):
        Caution(pessimism=-1.0)
    with pytest.raises(LearningError, match="pessimism must not be negative"):
        Caution(pessimism=float("nan"))
