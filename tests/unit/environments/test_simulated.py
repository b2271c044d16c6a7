"""Worlds as Gymnasium environments."""

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from qe_core.environments import environment_id, register_environments
from qe_core.environments.simulated import SimulatedEnv
from qe_core.errors import StateError, UnknownAgentError
from qe_core.fleet.roster import AGENTS

every_agent = pytest.mark.parametrize("contract", AGENTS, ids=lambda contract: contract.name)


@every_agent
@pytest.mark.parametrize("world_seed", [0, 3])
def test_the_environment_checker_finds_nothing(contract, world_seed: int) -> None:
    environment = gymnasium.make(environment_id(contract.name), world_seed=world_seed, render_mode="ansi")
    check_env(environment.unwrapped)
    assert environment.observation_space == gymnasium.spaces.Discrete(contract.state_count)
    assert environment.action_space == gymnasium.spaces.Discrete(contract.action_count)
    assert environment.spec is not None
    assert environment.spec.max_episode_steps == contract.horizon


def test_a_module_prefix_registers_by_itself() -> None:
    environment = gymnasium.make("qe_core.environments:qe/test-executor-v0", world_seed=3)
    assert isinstance(environment.unwrapped, SimulatedEnv)
    assert environment.unwrapped.world.world_seed == 3


def test_registering_again_changes_nothing() -> None:
    before = dict(gymnasium.registry)
    names = register_environments()
    assert names[:18] == tuple(environment_id(contract.name) for contract in AGENTS)
    assert dict(gymnasium.registry) == before


def test_an_episode_follows_the_worlds_arrays_and_its_seed() -> None:
    environment = SimulatedEnv("flaky-test-hunter", world_seed=1)
    runs = []
    for _ in range(2):
        state, _ = environment.reset(seed=5)
        steps = [(int(state), 0.0)]
        is_over = False
        while not is_over:
            before = int(state)
            state, reward, is_over, truncated, _ = environment.step(2)
            rows = environment.world.outcomes(before, 2)
            assert int(state) in environment.world.next_state[rows]
            assert not truncated
            steps.append((int(state), reward))
        runs.append(steps)
    assert runs[0] == runs[1]


def test_an_episode_starts_in_the_state_asked_for() -> None:
    environment = SimulatedEnv("test-generator")
    state = int(np.flatnonzero(environment.world.is_reachable & (environment.world.start == 0.0))[0])
    assert environment.reset(seed=5, options={"state": state}) == (state, {})
    unreachable = int(np.flatnonzero(~environment.world.is_reachable)[0])
    for odd in (unreachable, -1, environment.world.state_count):
        with pytest.raises(StateError, match=f"no task is ever in state {odd} of this world"):
            environment.reset(options={"state": odd})


def test_observed_frequencies_agree_with_the_arrays() -> None:
    """A chi-square-like bound: each share within 4 standard errors, wrong once in 16,000 per successor."""
    environment = SimulatedEnv("test-executor")
    state, _ = environment.reset(seed=0)
    rows = environment.world.outcomes(int(state), 1)
    draws, counts, rewards = 4000, dict.fromkeys(environment.world.next_state[rows].tolist(), 0), []
    for _ in range(draws):
        environment._state = int(state)
        successor, reward, *_ = environment.step(1)
        counts[int(successor)] += 1
        rewards.append(reward)
    for code, chance in zip(
        environment.world.next_state[rows], environment.world.probability[rows], strict=True
    ):
        assert abs(counts[int(code)] / draws - chance) < 4 * np.sqrt(chance * (1 - chance) / draws) + 1e-9
    mean, sd = environment.reward[state, 1], environment.world.reward_sd[state, 1]
    assert abs(np.mean(rewards) - mean) < 4 * sd / np.sqrt(draws)
    assert np.std(rewards) == pytest.approx(sd, rel=0.06)


def test_the_dense_transition_array_is_offered() -> None:
    environment = SimulatedEnv("test-executor")
    reachable = int(environment.world.is_reachable.sum())
    assert environment.transition.shape == (reachable, 6, reachable)
    assert (environment.transition.sum(axis=2) <= 1 + 1e-12).all()


def test_text_rendering_names_every_feature() -> None:
    environment = SimulatedEnv("test-executor", render_mode="ansi")
    assert environment.render() == "no episode under way"
    environment.reset(seed=1)
    shown = environment.render()
    assert shown is not None
    assert shown.startswith("size=")
    assert "last_run=" in shown
    assert SimulatedEnv("test-executor").render() is None


def test_a_step_needs_an_episode_and_an_action_that_exists() -> None:
    environment = SimulatedEnv("test-executor")
    with pytest.raises(StateError, match=r"no episode is under way; call reset\(\) first"):
        environment.step(0)
    environment.reset(seed=0)
    with pytest.raises(StateError, match="action 6 is not one of 0 to 5"):
        environment.step(6)


def test_an_unknown_agent_is_named() -> None:
    with pytest.raises(UnknownAgentError, match="did you mean test-executor"):
        gymnasium.make("qe/test-executor-v0", agent="test-excutor")
