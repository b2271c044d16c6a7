"""Exact values of worlds, and what makes a world worth learning."""

from collections.abc import Callable
from dataclasses import replace
from statistics import median

import numpy as np
import pytest

from qe_core.environments.rollouts import PlaySettings, play
from qe_core.environments.world import DISCOUNT, NOISE_SPAN, World
from qe_core.errors import LearningError
from qe_core.fleet.rewards import REWARD_LIMIT
from qe_core.fleet.roster import AGENTS
from qe_core.learning.exploration import ExponentialSchedule
from qe_core.learning.finite_mdp import bellman_residuals, solve_finite_mdp
from qe_core.learning.updates import LearningRate

Drawn = Callable[[str, int], World]
SEEDS = range(5)
NEVER_EXPLORE = ExponentialSchedule(initial=0.0, final=0.0)
every_agent = pytest.mark.parametrize("agent", [contract.name for contract in AGENTS])


def followed(world: World, policy: np.ndarray, episodes: int, seed: int, horizon: int | None = None):
    """Play a fixed policy: values that learning cannot move."""
    action = np.where(policy == -1, world.baseline_action, policy)
    q = np.eye(world.action_count)[action]
    visits = np.full(q.shape, 10, dtype=np.int64)
    frozen = LearningRate(initial=1e-300, minimum=0.0)
    settings = PlaySettings(schedule=NEVER_EXPLORE, learning_rate=frozen, horizon=horizon)
    return play(world, episodes, np.random.default_rng(seed), settings, q, visits)


@every_agent
def test_probabilities_of_every_reachable_pair_sum_to_one(agent: str, drawn: Drawn) -> None:
    world = drawn(agent, 0)
    for state in np.flatnonzero(world.is_reachable):
        for action in range(world.action_count):
            assert world.probability[world.outcomes(state, action)].sum() == pytest.approx(1.0, abs=1e-12)
    assert (world.probability > 0).all()
    assert world.start.sum() == pytest.approx(1.0, abs=1e-12)


@every_agent
def test_what_is_reached_has_outcomes_and_the_rest_has_none(agent: str, drawn: Drawn) -> None:
    world = drawn(agent, 0)
    assert world.is_reachable[world.next_state].all()
    assert world.is_reachable[world.start > 0].all()
    unreached = np.flatnonzero(~world.is_reachable)[0]
    assert len(world.probability[world.outcomes(unreached, 0)]) == 0
    assert world.optimal_policy()[unreached] == -1
    dense = world.dense_transition()
    assert dense.shape == (world.is_reachable.sum(), world.action_count, world.is_reachable.sum())
    assert dense.sum() == pytest.approx(world.probability[~world.terminated].sum())


@every_agent
def test_rewards_cannot_leave_the_range_of_points(agent: str, drawn: Drawn) -> None:
    for seed in SEEDS:
        world = drawn(agent, seed)
        assert (np.abs(world.reward_mean) + NOISE_SPAN * world.reward_sd <= REWARD_LIMIT + 1e-9).all()
        is_certain = world.reward_sd[world.is_reachable] == 0
        assert (np.abs(world.reward_mean[world.is_reachable][is_certain]) > 99.9).all()


@every_agent
def test_no_policy_beats_the_optimum(agent: str, drawn: Drawn) -> None:
    world, rng = drawn(agent, 0), np.random.default_rng(0)
    optimum = world.optimal_value()
    assert world.value_of(world.optimal_policy()) == pytest.approx(optimum, abs=1e-6)
    for _ in range(8):
        policy = rng.integers(0, world.action_count, world.state_count)
        assert world.value_of(policy) <= optimum + 1e-9
        mixed = rng.dirichlet(np.ones(world.action_count), world.state_count)
        assert world.value_of(mixed) <= optimum + 1e-9
    assert world.advantage_share(optimum) == pytest.approx(1.0)
    assert world.advantage_share(world.random_value()) == pytest.approx(0.0)


@every_agent
def test_the_optimum_solves_the_bellman_equation(agent: str, drawn: Drawn) -> None:
    world = drawn(agent, 1)
    solution = solve_finite_mdp(world.mdp, DISCOUNT)
    eligible = np.repeat(world.is_reachable[:, np.newaxis], world.action_count, axis=1)
    assert bellman_residuals(world.mdp, solution.q, eligible, DISCOUNT).max() < 1e-8


@every_agent
def test_there_is_something_to_learn_in_every_world(agent: str, drawn: Drawn) -> None:
    """Always the same action earns under three quarters of what the best policy gains over chance.

    The figure is the median over five worlds; no single world may be nearly solved by one action.
    """
    shares = [drawn(agent, seed).advantage_share(drawn(agent, seed).fixed_values().max()) for seed in SEEDS]
    print(f"{agent}: best fixed action's share of the optimum's gain over random {np.round(shares, 2)}")  # noqa: T201
    assert median(shares) <= 0.75
    assert max(shares) <= 0.95


@every_agent
def test_the_best_action_depends_on_the_state_and_chance_earns_little(agent: str, drawn: Drawn) -> None:
    for seed in SEEDS:
        world = drawn(agent, seed)
        policy = world.optimal_policy()[world.is_reachable]
        assert np.bincount(policy).max() <= 0.75 * len(policy)
        assert world.random_value() <= 0.35 * world.optimal_value()


@every_agent
def test_the_success_rule_tells_a_good_policy_from_chance(agent: str, drawn: Drawn) -> None:
    """The optimum succeeds in over 85 % of episodes and chance in under 65 %; each rate ± 4 % at 99 %."""
    for seed in SEEDS:
        world = drawn(agent, seed)
        best = followed(world, world.optimal_policy(), 500, seed)
        chance = play(
            world, 500, np.random.default_rng(seed), PlaySettings(schedule=ExponentialSchedule(1.0, 1.0))
        )
        assert best.is_success.mean() > 0.85
        assert chance.is_success.mean() < 0.65


@every_agent
def test_simulated_returns_agree_with_the_exact_value(agent: str, drawn: Drawn) -> None:
    """A z-test at 4 standard errors: wrong once in 16,000, over all 36 once in 440; the seeds are fixed."""
    world = drawn(agent, 0)
    discount = world.discount_or_own(None)
    for policy in (world.optimal_policy(), np.full(world.state_count, 1)):
        log = followed(world, policy, 2500, 0, horizon=400)
        assert not log.transitions.truncated.any()
        discounted = np.bincount(log.episode, weights=discount**log.step * log.transitions.reward)
        error = discounted.std(ddof=1) / np.sqrt(len(discounted))
        assert abs(discounted.mean() - world.value_of(policy)) < 4 * error


def test_a_worlds_arrays_cannot_be_changed(drawn: Drawn) -> None:
    with pytest.raises(ValueError, match="read-only"):
        drawn("test-executor", 0).reward_mean[0, 0] = 1.0


def test_a_policy_without_an_answer_takes_the_baseline_action(drawn: Drawn) -> None:
    world = drawn("test-executor", 0)
    assert world.contract.action_names[world.baseline_action] == "run-all"
    silent = np.full(world.state_count, -1)
    assert world.value_of(silent) == world.fixed_values()[world.baseline_action]


def test_values_follow_the_agents_own_discount(drawn: Drawn) -> None:
    world = drawn("test-executor", 0)
    impatient = replace(world, contract=replace(world.contract, discount=0.5))
    assert world.discount_or_own(None) == DISCOUNT
    assert impatient.optimal_value() == pytest.approx(world.optimal_value(0.5))
    assert impatient.optimal_value() < world.optimal_value()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start": lambda world: world.start * 2}, "start probabilities must be 0 or more and sum to 1"),
        (
            {"start": lambda world: np.full(world.state_count, 1 / world.state_count)},
            "state without outcomes",
        ),
        ({"start": lambda world: world.start[1:]}, "start must have shape"),
        ({"reward_mean": lambda world: world.reward_mean * np.nan}, "reward_mean must be finite"),
        ({"reward_sd": lambda world: world.reward_sd[:, 1:]}, "reward_sd must have shape"),
        ({"outcome_offsets": lambda world: world.outcome_offsets[1:]}, "outcome_offsets must have shape"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(changes: dict, message: str, drawn: Drawn) -> None:
    world = drawn("test-executor", 0)
    with pytest.raises(LearningError, match=message):
        replace(world, **{name: change(world) for name, change in changes.items()})


def test_probabilities_that_do_not_sum_to_one_are_refused(drawn: Drawn) -> None:
    world = drawn("test-executor", 0)
    with pytest.raises(LearningError, match="must sum to 1 per"):
        _ = replace(world, probability=world.probability * 0.9).mdp


@pytest.mark.parametrize("policy", [np.zeros(3, dtype=np.int64), np.zeros((1944, 6)), np.full(1944, 17)])
def test_a_policy_that_does_not_fit_is_refused(policy: np.ndarray, drawn: Drawn) -> None:
    with pytest.raises(LearningError):
        drawn("test-executor", 0).value_of(policy)
