"""Exact solutions against hand-worked numbers, a plain oracle and Gymnasium's toy-text truth."""

from collections.abc import Callable

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qe_core.errors import LearningError
from qe_core.learning import finite_mdp, mdp_kernels
from qe_core.learning.finite_mdp import (
    FiniteMdp,
    bellman_residuals,
    evaluate_policy,
    solve_finite_mdp,
    start_value,
    with_reward,
)

TOY_TEXT = [
    ("FrozenLake-v1", {"map_name": "4x4", "is_slippery": True}, 0.95, 0.180472),
    ("Taxi-v4", {}, 0.99, 6.327464),
    ("CliffWalking-v1", {}, 0.99, -12.247898),
]


def chain() -> FiniteMdp:
    """0 → 1 → 2 (the end, 10 points), or 3 points at once from 0."""
    return FiniteMdp.from_outcomes(
        3, 2,
        state=[0, 0, 1, 1], action=[0, 1, 0, 1], probability=[1, 1, 1, 1],
        next_state=[1, 2, 2, 1], reward=[0.0, 3.0, 10.0, -1.0], terminated=[False, True, True, False],
    )  # fmt: skip


def random_mdp(seed: int, states: int = 6, actions: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    transition = generator.random((states, actions, states)) ** 3
    transition /= transition.sum(axis=2, keepdims=True)
    is_terminal = np.zeros(states, dtype=bool)
    is_terminal[-1] = True
    return transition, generator.normal(0, 10, (states, actions)), is_terminal


def value_iteration(
    transition: np.ndarray, reward: np.ndarray, is_terminal: np.ndarray, discount: float
) -> np.ndarray:
    """The oracle: plain dense value iteration, long enough that nothing moves."""
    value = np.zeros(len(transition))
    for _ in range(3_000):
        value = np.where(is_terminal, 0.0, (reward + discount * transition @ value).max(axis=1))
    return value


def toy_text(name: str, options: dict) -> tuple[FiniteMdp, np.ndarray]:
    environment = gymnasium.make(name, **options).unwrapped
    outcomes = [
        (state, action, probability, next_state, reward, terminated)
        for state, actions in environment.P.items()
        for action, possible in actions.items()
        for probability, next_state, reward, terminated in possible
    ]
    mdp = FiniteMdp.from_outcomes(
        int(environment.observation_space.n), int(environment.action_space.n), *zip(*outcomes, strict=True)
    )
    return mdp, environment.initial_state_distrib


def test_hand_worked_chain() -> None:
    # From 1: 10 at once, or −1 + 0.5·10 = 4. From 0: 0 + 0.5·10 = 5, or 3.
    solution = solve_finite_mdp(chain(), 0.5)
    assert solution.q.tolist() == [[5, 3], [10, 4], [0, 0]]
    assert solution.value.tolist() == [5, 10, 0]
    assert solution.policy.tolist() == [0, 0, -1]
    assert solution.residual == 0.0
    assert solution.rounds >= 2


def test_a_small_discount_prefers_the_quick_reward() -> None:
    assert solve_finite_mdp(chain(), 0.2).policy.tolist() == [1, 0, -1]


def test_a_discount_of_zero_sees_rewards_alone() -> None:
    assert solve_finite_mdp(chain(), 0.0).q.tolist() == [[0, 3], [10, -1], [0, 0]]


@pytest.mark.parametrize(("name", "options", "discount", "truth"), TOY_TEXT)
def test_toy_text_optimum_is_the_known_one(name: str, options: dict, discount: float, truth: float) -> None:
    mdp, start = toy_text(name, options)
    solution = solve_finite_mdp(mdp, discount)
    assert start_value(solution.value, start) == pytest.approx(truth, abs=5e-7)
    assert solution.residual < 1e-8
    acted = evaluate_policy(mdp, np.maximum(solution.policy, 0), discount)
    assert start_value(acted, start) == pytest.approx(truth, abs=5e-7)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.5, 0.95]))
def test_solution_equals_plain_value_iteration(seed: int, discount: float) -> None:
    transition, reward, is_terminal = random_mdp(seed)
    solution = solve_finite_mdp(FiniteMdp.from_dense(transition, reward, is_terminal), discount)
    expected = value_iteration(transition, reward, is_terminal, discount)
    np.testing.assert_allclose(solution.value, expected, atol=1e-8)
    assert solution.residual < 1e-8


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000))
def test_no_policy_beats_the_solution_and_the_greedy_one_reaches_it(seed: int) -> None:
    transition, reward, is_terminal = random_mdp(seed)
    mdp = FiniteMdp.from_dense(transition, reward, is_terminal)
    solution = solve_finite_mdp(mdp, 0.9)
    np.testing.assert_allclose(evaluate_policy(mdp, solution.policy, 0.9), solution.value, atol=1e-7)
    policy = np.random.default_rng(seed).dirichlet(np.ones(3), size=6)
    assert (evaluate_policy(mdp, policy, 0.9) <= solution.value + 1e-7).all()


def test_a_stochastic_policy_has_its_hand_worked_value() -> None:
    # In 1, half the time 10, half the time −1 + v/2: v = 4.5 / 0.75 = 6. In 0, quarter 0.5·6, rest 3: 3.
    policy = np.array([[0.25, 0.75], [0.5, 0.5], [0.3, 0.7]])
    assert evaluate_policy(chain(), policy, 0.5).tolist() == pytest.approx([3, 6, 0])


def test_rewards_may_depend_on_the_successor() -> None:
    transition = np.array([[[0.0, 0.25, 0.75]], [[0, 1, 0]], [[0, 0, 1]]], dtype=float)
    reward = np.zeros((3, 1, 3))
    reward[0, 0] = [100, 8, 4]
    mdp = FiniteMdp.from_dense(transition, reward, np.array([False, True, True]))
    assert solve_finite_mdp(mdp, 0.9).value.tolist() == [5, 0, 0]


def test_actions_may_be_missing_in_some_states() -> None:
    transition = np.ones((1, 2, 1))
    is_available = np.array([[False, True]])
    mdp = FiniteMdp.from_dense(transition, np.array([[100.0, 1.0]]), is_available=is_available)
    solution = solve_finite_mdp(mdp, 0.5)
    assert solution.policy.tolist() == [1]
    assert solution.q.tolist() == [[0, pytest.approx(2)]]


def test_values_are_computed_for_all_pairs_but_the_maximum_only_over_eligible_ones() -> None:
    is_eligible = np.array([[True, True], [False, True], [True, True]])
    solution = solve_finite_mdp(chain(), 0.5, is_eligible)
    assert solution.policy.tolist() == [1, 1, -1]
    assert solution.value.tolist() == pytest.approx([3, -2, 0])
    assert solution.q[1, 0] == 10


def test_the_order_of_outcomes_does_not_matter_for_the_solution() -> None:
    mdp, _ = toy_text(*TOY_TEXT[0][:2])
    environment = gymnasium.make(TOY_TEXT[0][0], **TOY_TEXT[0][1]).unwrapped
    rows = [(s, a, *outcome) for s, a_s in environment.P.items() for a, p in a_s.items() for outcome in p]
    shuffled = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
    other = FiniteMdp.from_outcomes(16, 4, *zip(*shuffled, strict=True))
    np.testing.assert_allclose(solve_finite_mdp(other, 0.95).q, solve_finite_mdp(mdp, 0.95).q, atol=1e-9)


def test_solving_twice_gives_the_same_bits() -> None:
    mdp, _ = toy_text(*TOY_TEXT[0][:2])
    first, second = solve_finite_mdp(mdp, 0.95), solve_finite_mdp(mdp, 0.95)
    assert first.q.tobytes() == second.q.tobytes()
    assert first.policy.tobytes() == second.policy.tobytes()


def test_large_rewards_settle_at_the_resolution_of_floats() -> None:
    mdp = with_reward(chain(), chain().reward * 1e9)
    assert solve_finite_mdp(mdp, 0.99).value[1] == pytest.approx(1e10)


def test_residuals_of_the_solution_vanish_and_of_a_wrong_table_do_not() -> None:
    solution = solve_finite_mdp(chain(), 0.5)
    everywhere = np.ones((3, 2), dtype=bool)
    assert bellman_residuals(chain(), solution.q, everywhere, 0.5).max() == 0
    wrong = bellman_residuals(chain(), np.zeros((3, 2)), everywhere, 0.5)
    assert wrong.tolist() == [[0, 3], [10, 1], [0, 0]]


@pytest.mark.parametrize("kernel", ["plain", "compiled"])
def test_plain_and_compiled_loops_give_the_same_bits(kernel: str) -> None:
    def of(function: Callable[..., object]) -> Callable[..., object]:
        return function.py_func if kernel == "plain" else function

    mdp = FiniteMdp.from_dense(*random_mdp(7))
    arrays = (mdp.reward, mdp.entry_offsets, mdp.next_state, mdp.probability)
    chosen = np.ones(len(mdp.reward), dtype=bool)
    value = np.linspace(-1, 1, 6)
    assert np.array_equal(
        of(mdp_kernels.back_up)(*arrays, value, 0.9), mdp_kernels.back_up(*arrays, value, 0.9)
    )
    found = of(mdp_kernels.modified_policy_iteration)(mdp.pair_offsets, chosen, *arrays, 0.9, 1e-10, 1000)
    wanted = mdp_kernels.modified_policy_iteration(mdp.pair_offsets, chosen, *arrays, 0.9, 1e-10, 1000)
    for one, other in zip(found, wanted, strict=True):
        assert np.array_equal(one, other)
    weights = np.full(len(mdp.reward), 1 / 3)
    found = of(mdp_kernels.evaluate_weights)(mdp.pair_offsets, weights, *arrays, 0.9, 1e-10, 1000)
    wanted = mdp_kernels.evaluate_weights(mdp.pair_offsets, weights, *arrays, 0.9, 1e-10, 1000)
    for one, other in zip(found, wanted, strict=True):
        assert np.array_equal(one, other)
    q = mdp_kernels.back_up(*arrays, value, 0.9)
    results = []
    for function in (of(mdp_kernels.improve), mdp_kernels.improve):
        changed, best = value.copy(), np.zeros(6, dtype=np.int64)
        results.append(
            (function(mdp.pair_offsets, chosen, q, changed, best), changed.tolist(), best.tolist())
        )
        change = of(mdp_kernels.sweep_policy)(best, *arrays, 0.9, changed)
        results[-1] += (change, changed.tolist())
    assert results[0] == results[1]


def test_what_does_not_settle_in_time_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finite_mdp, "MAXIMUM_SWEEPS", 2)
    looping = FiniteMdp.from_dense(np.ones((1, 1, 1)), np.ones((1, 1)))
    with pytest.raises(LearningError, match=r"did not settle: residual .* lower the discount"):
        solve_finite_mdp(looping, 0.999)
    with pytest.raises(LearningError, match="policy's value did not settle"):
        evaluate_policy(looping, np.array([0]), 0.999)


def test_an_mdp_without_pairs_is_worth_nothing() -> None:
    empty = FiniteMdp.from_outcomes(2, 1, [], [], [], [], [], [])
    solution = solve_finite_mdp(empty, 0.9)
    assert solution.value.tolist() == [0, 0]
    assert solution.policy.tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probability": [1, 1, 1, 0.9]}, r"must sum to 1 per \(state, action\), but not at \[\(1, 1\)\]"),
        ({"probability": [1, 1, 1, -1]}, r"probabilities must lie in \[0, 1\], but row 3"),
        ({"probability": [1, 1, 1, np.nan]}, r"probabilities must lie in \[0, 1\], but row 3"),
        ({"reward": [0.0, np.inf, 1, 1]}, "reward must be finite"),
        ({"state": [0, 0, 1, 3]}, r"state must lie in 0 … 2"),
        ({"action": [0, 1, 0, 2]}, r"action must lie in 0 … 1"),
        ({"next_state": [1, 2, 2, -1]}, "next_state must lie in"),
        ({"terminated": [True]}, r"terminated must have shape \(4,\)"),
    ],
)
def test_impossible_outcomes_are_refused(change: dict, message: str) -> None:
    outcomes = {
        "state": [0, 0, 1, 1],
        "action": [0, 1, 0, 1],
        "probability": [1, 1, 1, 1],
        "next_state": [1, 2, 2, 1],
        "reward": [0.0, 3.0, 10.0, -1.0],
        "terminated": [False, True, True, False],
    }
    with pytest.raises(LearningError, match=message):
        FiniteMdp.from_outcomes(3, 2, **outcomes | change)


def test_impossible_dense_arrays_are_refused() -> None:
    with pytest.raises(LearningError, match=r"transition must have shape \(states, actions, states\)"):
        FiniteMdp.from_dense(np.zeros((2, 1, 3)), np.zeros((2, 1)))
    with pytest.raises(LearningError, match="must sum to 1"):
        FiniteMdp.from_dense(np.zeros((2, 1, 2)), np.zeros((2, 1)))
    with pytest.raises(LearningError, match="is_terminal must have shape"):
        FiniteMdp.from_dense(np.ones((1, 1, 1)), np.zeros((1, 1)), np.zeros(2, dtype=bool))


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (np.array([0, 5, 0]), r"choose among the existing actions .* row 1 \(0.0\)"),
        (np.array([[0.5, 0.4], [1, 0], [1, 0]]), r"total probability 1, but row 0 \(0.9\)"),
        (np.array([[1.5, -0.5], [1, 0], [1, 0]]), r"probabilities must lie in \[0, 1\]"),
        (np.array([0.0, 1.0, 0.0]), "whole-number action per state"),
        (np.array([0, 1]), "whole-number action per state"),
    ],
)
def test_impossible_policies_are_refused(policy: np.ndarray, message: str) -> None:
    with pytest.raises(LearningError, match=message):
        evaluate_policy(chain(), policy, 0.5)


def test_other_bad_arguments_are_refused() -> None:
    with pytest.raises(LearningError, match="discount"):
        solve_finite_mdp(chain(), 1.0)
    with pytest.raises(LearningError, match="discount"):
        evaluate_policy(chain(), np.zeros(3, dtype=int), 1.0)
    with pytest.raises(LearningError, match=r"states without an eligible action: \[1\]"):
        solve_finite_mdp(chain(), 0.5, np.array([[True, False], [False, False], [True, True]]))
    with pytest.raises(LearningError, match="start probabilities must sum to 1"):
        start_value(np.zeros(2), [0.5, 0.4])
    with pytest.raises(LearningError, match=r"start must have shape \(2,\)"):
        start_value(np.zeros(2), [1.0])
    with pytest.raises(LearningError, match="reward must have shape"):
        with_reward(chain(), np.zeros(2))
