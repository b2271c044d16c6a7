"""Learning from samples against exact truth, and chance against its stated distribution.

Every test is seeded. Where a hypothesis is tested, the error rate is that of a fresh seed.
"""

import gymnasium
import numpy as np
import pytest
from scipy.stats import chisquare

from qe_core.learning.empirical_mdp import EmpiricalMdp, solve_empirical_mdp
from qe_core.learning.experience import Transitions
from qe_core.learning.exploration import epsilon_greedy, epsilon_greedy_batch
from qe_core.learning.finite_mdp import FiniteMdp, evaluate_policy, solve_finite_mdp, start_value
from qe_core.learning.q_table import QTable
from qe_core.learning.replay.buffer import BufferSettings, ReplayBuffer, SamplingStrategy
from qe_core.learning.replay.training import train_from_buffer, train_on_log
from qe_core.learning.updates import LearningRate

ERROR_RATE = 0.001
TOY_TEXT = {
    "FrozenLake-v1": ({"map_name": "4x4", "is_slippery": True}, 0.95, 0.180472),
    "Taxi-v4": ({}, 0.99, 6.327464),
    "CliffWalking-v1": ({}, 0.99, -12.247898),
}


class Toy:
    """A toy-text environment as outcomes, as an exact MDP and as a source of samples."""

    def __init__(self, name: str) -> None:
        options, self.discount, self.truth = TOY_TEXT[name]
        environment = gymnasium.make(name, **options).unwrapped
        self.outcomes = [
            (state, action, *outcome)
            for state, actions in environment.P.items()
            for action, possible in actions.items()
            for outcome in possible
        ]
        self.start = environment.initial_state_distrib
        self.states, self.actions = int(environment.observation_space.n), int(environment.action_space.n)
        state, action, probability, next_state, reward, terminated = map(
            np.array, zip(*self.outcomes, strict=True)
        )
        self.columns = state, action, reward.astype(float), next_state, terminated
        self.chance = probability
        self.exact = FiniteMdp.from_outcomes(
            self.states, self.actions, state, action, probability, next_state, reward, terminated
        )

    def sample(self, count: int, generator: np.random.Generator) -> Transitions:
        """Return transitions of uniformly drawn pairs."""
        share = self.chance / self.chance.sum()
        rows = generator.choice(len(share), size=count, p=share)
        return Transitions.from_columns(*(column[rows] for column in self.columns))

    def start_value_of(self, policy: np.ndarray) -> float:
        """Return the exact value of a policy from the start distribution."""
        return start_value(evaluate_policy(self.exact, np.maximum(policy, 0), self.discount), self.start)


@pytest.mark.parametrize("name", ["Taxi-v4", "CliffWalking-v1"])
def test_in_a_deterministic_world_the_empirical_solution_is_the_optimum(name: str) -> None:
    toy = Toy(name)
    log = toy.sample(60_000, np.random.default_rng(0))
    mdp = EmpiricalMdp.from_transitions(log, toy.states, toy.actions)
    assert (mdp.visits > 0).sum() == len(toy.outcomes)
    solution = solve_empirical_mdp(mdp, toy.discount)
    assert start_value(solution.value, toy.start) == pytest.approx(toy.truth, abs=5e-7)
    assert toy.start_value_of(solution.policy) == pytest.approx(toy.truth, abs=5e-7)


@pytest.mark.parametrize("seed", range(3))
def test_in_a_slippery_world_the_empirical_solution_approaches_the_optimum(seed: int) -> None:
    # Over 200 other seeds the estimate had mean 0.1806 and standard deviation 0.0053; 0.026 is five of those.
    # The policy was the optimal one in all of them.
    toy = Toy("FrozenLake-v1")
    log = toy.sample(200_000, np.random.default_rng(seed))
    solution = solve_empirical_mdp(EmpiricalMdp.from_transitions(log, toy.states, toy.actions), toy.discount)
    assert start_value(solution.value, toy.start) == pytest.approx(toy.truth, abs=0.026)
    assert toy.start_value_of(solution.policy) == pytest.approx(toy.truth, abs=1e-6)


@pytest.mark.parametrize("name", list(TOY_TEXT))
@pytest.mark.parametrize("seed", range(2))
def test_q_learning_by_replay_reaches_the_optimum_of_toy_worlds(name: str, seed: int) -> None:
    # On eight seeds each the greedy policy was the optimal one; a loss of 2 % is far beyond rounding.
    toy = Toy(name)
    generator = np.random.default_rng(seed)
    log = toy.sample(60_000, generator)
    trained = train_on_log(QTable.zeros(toy.states, toy.actions), log, toy.discount, LearningRate())
    for _ in range(30):
        trained = train_on_log(
            trained.table,
            log,
            toy.discount,
            LearningRate(),
            is_evidence=False,
            update_counts=trained.update_counts,
        )
    loss = toy.truth - toy.start_value_of(trained.table.greedy())
    assert -1e-6 < loss < 0.02 * abs(toy.truth)


@pytest.mark.parametrize("strategy", list(SamplingStrategy))
def test_replay_from_a_buffer_reaches_the_optimum_of_cliff_walking(strategy: SamplingStrategy) -> None:
    toy = Toy("CliffWalking-v1")
    buffer = ReplayBuffer(BufferSettings(10_000, strategy), toy.states, toy.actions)
    buffer.add(toy.sample(10_000, np.random.default_rng(0)))
    trained = train_from_buffer(
        QTable.zeros(toy.states, toy.actions),
        buffer,
        20_000,
        np.random.default_rng(1),
        toy.discount,
        LearningRate(),
    )
    tried = QTable(trained.table.q, trained.update_counts, trained.table.q, np.zeros_like(trained.table.q))
    assert toy.start_value_of(tried.greedy()) == pytest.approx(toy.truth, abs=1e-6)


def test_the_empirical_solution_estimates_the_value_without_a_large_bias() -> None:
    # Maximising over noisy estimates is biased upwards; with 1,000 samples per pair it must stay small. The
    # mean of 20 estimates has a standard error of 0.0021; 0.0105 is five of those.
    toy = Toy("FrozenLake-v1")
    estimates = []
    for seed in range(20):
        log = toy.sample(64_000, np.random.default_rng(100 + seed))
        mdp = EmpiricalMdp.from_transitions(log, toy.states, toy.actions)
        estimates.append(start_value(solve_empirical_mdp(mdp, toy.discount).value, toy.start))
    exact = start_value(solve_finite_mdp(toy.exact, toy.discount).value, toy.start)
    assert np.mean(estimates) == pytest.approx(exact, abs=0.0105)


def test_epsilon_greedy_chooses_with_the_propensities_it_states() -> None:
    generator = np.random.default_rng(0)
    values, rate, draws = np.array([3.0, 3.0, 1.0, 0.0]), 0.3, 20_000
    choices = [epsilon_greedy(values, rate, generator) for _ in range(draws)]
    stated = {choice.action: choice.propensity for choice in choices}
    counts = np.bincount([choice.action for choice in choices], minlength=4)
    expected = draws * np.array([stated[action] for action in range(4)])
    assert expected.sum() == pytest.approx(draws)
    assert chisquare(counts, expected).pvalue > ERROR_RATE
    explored = sum(choice.is_explored for choice in choices)
    assert chisquare([explored, draws - explored], [rate * draws, (1 - rate) * draws]).pvalue > ERROR_RATE


def test_the_batch_form_chooses_with_the_propensities_it_states() -> None:
    draws = 40_000
    values = np.tile([0.0, 5.0, 5.0], (draws, 1))
    is_eligible = np.tile([True, True, False], (draws, 1))
    choices = epsilon_greedy_batch(values, 0.2, np.random.default_rng(1), is_eligible)
    stated = [choices.propensity[choices.action == action][0] for action in range(3)]
    assert sum(stated) == pytest.approx(1)
    counts = np.bincount(choices.action, minlength=3)
    assert chisquare(counts, draws * np.array(stated)).pvalue > ERROR_RATE


@pytest.mark.parametrize("strategy", list(SamplingStrategy))
def test_sampling_follows_its_stated_distribution(strategy: SamplingStrategy) -> None:
    rows, batches = 50, 2_000
    buffer = ReplayBuffer(BufferSettings(64, strategy, priority_exponent=0.6), rows, 1)
    numbers = np.arange(rows)
    buffer.add(
        Transitions.from_columns(numbers, np.zeros(rows), np.ones(rows), numbers, np.ones(rows, dtype=bool))
    )
    errors = np.linspace(0.1, 20, rows)
    buffer.update_priorities(numbers, errors)
    generator = np.random.default_rng(2)
    drawn = np.concatenate([buffer.sample(32, generator).rows for _ in range(batches)])
    priorities = (errors + 0.001) ** 0.6 if strategy is SamplingStrategy.PRIORITIZED else np.ones(rows)
    expected = len(drawn) * priorities / priorities.sum()
    assert chisquare(np.bincount(drawn, minlength=rows), expected).pvalue > ERROR_RATE


def test_importance_weights_make_weighted_means_unbiased() -> None:
    # With full correction the weighted mean of any figure over draws is its plain mean over the buffer.
    rows = 50
    settings = BufferSettings(64, importance_sampling_exponent=1.0)
    buffer = ReplayBuffer(settings, rows, 1)
    numbers = np.arange(rows)
    buffer.add(
        Transitions.from_columns(
            numbers, np.zeros(rows), numbers.astype(float), numbers, np.ones(rows, dtype=bool)
        )
    )
    buffer.update_priorities(numbers, np.linspace(0.1, 20, rows))
    sample = buffer.sample(200_000, np.random.default_rng(3))
    estimate = np.average(sample.transitions.reward, weights=sample.importance)
    assert estimate == pytest.approx(np.mean(numbers), rel=0.01)
