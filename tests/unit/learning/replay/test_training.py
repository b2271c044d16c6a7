"""Training from logs and buffers: sequential, reproducible, honest about evidence, near the truth."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qe_core.errors import LearningError
from qe_core.learning.empirical_mdp import EmpiricalMdp, solve_empirical_mdp
from qe_core.learning.experience import Transitions
from qe_core.learning.q_table import QTable
from qe_core.learning.replay import training as training_module
from qe_core.learning.replay.buffer import BufferSettings, ReplayBuffer, SamplingStrategy
from qe_core.learning.replay.training import SequentialTraining, train_from_buffer, train_on_log
from qe_core.learning.updates import LearningRate

STATES, ACTIONS = 6, 3
RATE = LearningRate()


def a_log(count: int = 400, seed: int = 0) -> Transitions:
    """A small noisy world: the action shifts the state, reward depends on both."""
    generator = np.random.default_rng(seed)
    state, action = generator.integers(0, STATES, count), generator.integers(0, ACTIONS, count)
    reward = 3.0 * (action == state % ACTIONS) - 1.0 + generator.normal(0, 0.1, count)
    return Transitions.from_columns(
        state, action, reward, (state + action + 1) % STATES, generator.random(count) < 0.2
    )


def filled(strategy: SamplingStrategy, log: Transitions) -> ReplayBuffer:
    buffer = ReplayBuffer(BufferSettings(1_000, strategy), STATES, ACTIONS)
    buffer.add(log)
    return buffer


def test_hand_worked_log() -> None:
    # q(1,0) ← 10; q(0,0) ← 1 + 0.5·10 = 6; then with α = 2^-1 and target 1 + 5: stays 6.
    log = Transitions.from_columns([1, 0, 0], [0, 0, 0], [10.0, 1.0, 1.0], [0, 1, 1], [True, False, False])
    trained = train_on_log(QTable.zeros(2, 1), log, 0.5, LearningRate(exponent=1.0))
    assert trained.table.q.tolist() == [[6], [10]]
    assert trained.table.visits.tolist() == [[2], [1]]
    assert trained.table.target_mean.tolist() == [[6], [10]]
    assert trained.table.target_m2.tolist() == [[0], [0]]
    assert trained.absolute_changes.tolist() == [10, 6, 0]


def test_training_in_two_parts_equals_training_at_once() -> None:
    log = a_log()
    whole = train_on_log(QTable.zeros(STATES, ACTIONS), log, 0.9, RATE)
    half = train_on_log(QTable.zeros(STATES, ACTIONS), log.slice(0, 150), 0.9, RATE)
    rest = train_on_log(half.table, log.slice(150, 400), 0.9, RATE, update_counts=half.update_counts)
    assert np.array_equal(rest.table.q, whole.table.q)
    assert np.array_equal(rest.table.visits, whole.table.visits)
    assert np.array_equal(rest.table.target_m2, whole.table.target_m2)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 400), max_size=6), st.booleans())
def test_a_log_learned_in_batches_gives_the_same_bits_as_at_once(cuts: list[int], is_evidence: bool) -> None:
    log, start = a_log(), train_on_log(QTable.zeros(STATES, ACTIONS), a_log(50, 9), 0.9, RATE).table
    whole = train_on_log(start, log, 0.9, RATE, is_evidence=is_evidence)
    training = SequentialTraining(start, 0.9, RATE, is_evidence=is_evidence)
    changes = [training.add(log.slice(*pair)) for pair in itertools.pairwise([0, *sorted(cuts), len(log)])]
    batched = training.trained(np.concatenate(changes))
    for name in ("q", "visits", "target_mean", "target_m2"):
        assert getattr(batched.table, name).tobytes() == getattr(whole.table, name).tobytes()
    assert batched.update_counts.tobytes() == whole.update_counts.tobytes()
    assert batched.absolute_changes.tobytes() == whole.absolute_changes.tobytes()


def test_what_was_trained_does_not_follow_later_batches() -> None:
    training = SequentialTraining(QTable.zeros(STATES, ACTIONS), 0.9, RATE)
    trained = training.trained(training.add(a_log()))
    before = trained.table.q.copy()
    training.add(a_log(seed=1))
    assert np.array_equal(trained.table.q, before)


def test_a_bad_batch_teaches_nothing() -> None:
    training = SequentialTraining(QTable.zeros(2, ACTIONS), 0.9, RATE)
    with pytest.raises(LearningError, match=r"state must lie in 0 … 1"):
        training.add(a_log())
    assert not training.trained(np.empty(0)).table.visits.any()


def test_pairs_with_more_updates_than_rates_are_kept_learn_by_the_formula(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = train_on_log(QTable.zeros(STATES, ACTIONS), a_log(), 0.9, LearningRate(exponent=0.61))
    monkeypatch.setattr(training_module, "RATES_KEPT", 3)
    training_module.kernel_rate.cache_clear()
    found = train_on_log(QTable.zeros(STATES, ACTIONS), a_log(), 0.9, LearningRate(exponent=0.61))
    training_module.kernel_rate.cache_clear()
    assert np.array_equal(found.table.q, expected.table.q)


def test_replaying_a_log_adds_updates_but_no_evidence() -> None:
    log = a_log()
    first = train_on_log(QTable.zeros(STATES, ACTIONS), log, 0.9, RATE)
    again = train_on_log(first.table, log, 0.9, RATE, is_evidence=False, update_counts=first.update_counts)
    assert np.array_equal(again.table.visits, first.table.visits)
    assert np.array_equal(again.table.target_m2, first.table.target_m2)
    assert again.update_counts.sum() == 2 * len(log)
    assert not np.array_equal(again.table.q, first.table.q)


def test_training_changes_nothing_it_was_given() -> None:
    table, log = QTable.zeros(STATES, ACTIONS), a_log()
    train_on_log(table, log, 0.9, RATE)
    train_from_buffer(table, filled(SamplingStrategy.UNIFORM, log), 5, np.random.default_rng(0), 0.9, RATE)
    assert not table.q.any()
    assert not table.visits.any()


@pytest.mark.parametrize("strategy", list(SamplingStrategy))
def test_the_same_seed_gives_the_same_bits_however_draws_are_cut(
    strategy: SamplingStrategy, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = []
    for at_once in (4096, 3):
        monkeypatch.setattr(training_module, "BATCHES_PER_DRAW", at_once)
        buffer = filled(strategy, a_log())
        trained = train_from_buffer(
            QTable.zeros(STATES, ACTIONS), buffer, 10, np.random.default_rng(7), 0.9, RATE
        )
        results.append((trained.table.q.tobytes(), trained.absolute_changes.tobytes(), buffer.tree.tobytes()))
    assert results[0] == results[1]


@pytest.mark.parametrize("strategy", list(SamplingStrategy))
def test_replay_approaches_the_exact_solution_of_the_same_log(strategy: SamplingStrategy) -> None:
    # Seeded. A target's noise is about 2.9 (it terminates in a fifth of the cases); at α = 35,000^-0.7 the
    # value's is 2.9·√(α/2) = 0.05, and bootstrapping spreads it. Values reach 8.6.
    log = a_log()
    exact = solve_empirical_mdp(EmpiricalMdp.from_transitions(log, STATES, ACTIONS), 0.9)
    buffer = filled(strategy, log)
    trained = train_from_buffer(
        QTable.zeros(STATES, ACTIONS), buffer, 20_000, np.random.default_rng(0), 0.9, RATE
    )
    np.testing.assert_allclose(trained.table.q, exact.q, atol=0.4)
    tried = QTable(trained.table.q, trained.update_counts, trained.table.q, trained.table.q)
    assert tried.greedy().tolist() == exact.policy.tolist()
    assert trained.absolute_changes[-1000:].mean() < trained.absolute_changes[:1000].mean() / 10


def test_no_batches_train_nothing() -> None:
    buffer = filled(SamplingStrategy.UNIFORM, a_log())
    trained = train_from_buffer(QTable.zeros(STATES, ACTIONS), buffer, 0, np.random.default_rng(0), 0.9, RATE)
    assert not trained.table.q.any()
    assert len(trained.absolute_changes) == 0


def test_the_importance_exponent_ends_at_one() -> None:
    buffer = filled(SamplingStrategy.PRIORITIZED, a_log())
    generator = np.random.default_rng(0)
    train_from_buffer(QTable.zeros(STATES, ACTIONS), buffer, 100, generator, 0.9, RATE)
    assert buffer.importance_exponent == pytest.approx(0.5)
    train_from_buffer(QTable.zeros(STATES, ACTIONS), buffer, 1000, generator, 0.9, RATE)
    assert buffer.importance_exponent == 1.0


def test_bad_arguments_are_refused() -> None:
    log, table = a_log(), QTable.zeros(STATES, ACTIONS)
    generator = np.random.default_rng(0)
    with pytest.raises(LearningError, match="discount"):
        train_on_log(table, log, 1.0, RATE)
    with pytest.raises(LearningError, match=r"state must lie in 0 … 1"):
        train_on_log(QTable.zeros(2, ACTIONS), log, 0.9, RATE)
    with pytest.raises(LearningError, match="update_counts must have shape"):
        train_on_log(table, log, 0.9, RATE, update_counts=np.zeros((1, 1), dtype=np.int64))
    empty = ReplayBuffer(BufferSettings(4), STATES, ACTIONS)
    with pytest.raises(LearningError, match="buffer is empty"):
        train_from_buffer(table, empty, 1, generator, 0.9, RATE)
    full = filled(SamplingStrategy.UNIFORM, log)
    with pytest.raises(LearningError, match="table must have shape"):
        train_from_buffer(QTable.zeros(2, 2), full, 1, generator, 0.9, RATE)
    with pytest.raises(LearningError, match="discount"):
        train_from_buffer(table, full, 1, generator, -0.1, RATE)
