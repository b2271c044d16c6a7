"""Play that plans: determinism, stated propensities, going on, and arguments that do not fit."""

from collections.abc import Callable

import numpy as np
import pytest

from qe_core.environments import episode_kernels
from qe_core.environments.planned_play import PlanningSettings, play_planned
from qe_core.environments.rollouts import EpisodeLog
from qe_core.environments.world import World
from qe_core.errors import LearningError
from qe_core.learning.empirical_mdp import EmpiricalMdp
from qe_core.learning.exploration import ExponentialSchedule
from qe_core.learning.probability_matching import matching_policy
from qe_core.learning.value_beliefs import ValueBelief, believed_values

Drawn = Callable[[str, int], World]


def played(world: World, episodes: int = 120, seed: int = 0, **settings: object) -> EpisodeLog:
    """Play with some settings changed."""
    return play_planned(world, episodes, np.random.default_rng(seed), PlanningSettings(**settings))  # type: ignore[arg-type]


def counted(world: World, log: EpisodeLog, episodes: int | None = None) -> EmpiricalMdp:
    """Return what a log's first episodes show."""
    steps = len(log.episode) if episodes is None else int(np.searchsorted(log.episode, episodes))
    return EmpiricalMdp.from_transitions(
        log.transitions.slice(0, steps), world.state_count, world.action_count
    )


def test_the_same_arguments_give_the_same_bits(drawn: Drawn) -> None:
    first, second = (played(drawn("quality-gate", 0), seed=4) for _ in range(2))
    assert first.q.tobytes() == second.q.tobytes()
    assert first.transitions.reward.tobytes() == second.transitions.reward.tobytes()
    other = played(drawn("quality-gate", 0), seed=5)
    assert first.transitions.reward[:50].tobytes() != other.transitions.reward[:50].tobytes()


@pytest.mark.parametrize("episode", [0, 1, 40, 119])
def test_propensities_follow_from_the_episodes_before(episode: int, drawn: Drawn) -> None:
    world = drawn("test-executor", 0)
    log = played(world, replan_share=0.0, schedule=ExponentialSchedule(0.06, 0.06))
    expected = np.full((world.state_count, world.action_count), 1 / world.action_count)
    if episode > 0:
        belief = believed_values(counted(world, log, episode), world.discount_or_own(None))
        expected = matching_policy(belief.q, belief.error, belief.visits, 0.06)
    here = log.episode == episode
    taken = log.transitions.state[here], log.transitions.action[here]
    assert log.propensity[here] == pytest.approx(expected[taken], abs=1e-6)


def test_no_propensity_is_below_its_floor(drawn: Drawn) -> None:
    log = played(drawn("test-executor", 0), 300)
    assert log.propensity.min() >= 0.01 / 6
    assert (log.exploration_rate == 0.01).all()


def test_planning_again_seldom_leaves_the_policy_as_it_is(drawn: Drawn) -> None:
    world = drawn("test-executor", 0)
    log = played(world, 40, replan_share=0.99)
    assert log.propensity.min() >= 0.01 / 6
    assert len(log.transitions) == int(log.visits.sum())


def test_the_table_is_the_solution_of_the_whole_log(drawn: Drawn) -> None:
    world = drawn("quality-gate", 1)
    log = played(world)
    belief = believed_values(counted(world, log), world.discount_or_own(None))
    assert log.q == pytest.approx(belief.q, abs=1e-4)
    assert np.array_equal(log.visits, belief.visits)


def test_learning_goes_on_from_what_was_observed(drawn: Drawn) -> None:
    world = drawn("test-executor", 0)
    first = played(world, 600)
    known = counted(world, first)
    second = play_planned(world, 100, np.random.default_rng(1), known=known)
    assert second.visits.sum() == first.visits.sum() + len(second.transitions)
    assert second.episode_return.mean() > played(world, 100, seed=1).episode_return.mean() + 20


def test_observations_of_another_world_are_left_out_where_states_are_not_here(drawn: Drawn) -> None:
    here, other = drawn("performance-tester", 0), drawn("performance-tester", 1)
    known = counted(other, played(other))
    log = play_planned(here, 5, np.random.default_rng(0), known=known)
    is_shared = here.is_reachable[known.state] & here.is_reachable[known.next_state]
    assert 0 < known.count[is_shared].sum() < known.count.sum()
    assert log.visits.sum() == known.count[is_shared].sum() + len(log.transitions)


def test_episodes_are_cut_at_the_horizon(drawn: Drawn) -> None:
    log = played(drawn("test-executor", 0), horizon=2)
    assert log.step.max() == 1
    last = log.step == 1
    assert (log.transitions.truncated[last] | log.transitions.terminated[last]).all()
    assert log.transitions.truncated.any()


def test_compiled_play_is_the_plain_loop(drawn: Drawn, monkeypatch: pytest.MonkeyPatch) -> None:
    world = drawn("quality-gate", 0)
    compiled = played(world, 40, seed=3)
    for name in ("pick", "happen", "follow_episode"):
        monkeypatch.setattr(episode_kernels, name, getattr(episode_kernels, name).py_func)
    plain = played(world, 40, seed=3)
    for column in ("state", "action", "next_state", "terminated", "truncated"):
        assert np.array_equal(getattr(plain.transitions, column), getattr(compiled.transitions, column))
    assert plain.transitions.reward == pytest.approx(compiled.transitions.reward, abs=1e-12)
    assert plain.propensity == pytest.approx(compiled.propensity, abs=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"episodes": 0}, "play at least one episode, not 0"),
        ({"settings": PlanningSettings(discount=1.0)}, r"discount must lie in \[0, 1\)"),
        ({"known": EmpiricalMdp.from_summaries(
            2, 1, state=[0], action=[0], next_state=[1], terminated=[True], count=[1], reward_mean=[0.0],
            reward_m2=[0.0])}, "give those of the same contract"),
    ],
)  # fmt: skip
def test_arguments_that_do_not_fit_are_refused(arguments: dict, message: str, drawn: Drawn) -> None:
    with pytest.raises(LearningError, match=message):
        play_planned(
            drawn("test-executor", 0), **{"episodes": 1, "rng": np.random.default_rng(0), **arguments}
        )


def test_a_share_beyond_one_is_refused() -> None:
    with pytest.raises(LearningError, match="replan share"):
        PlanningSettings(replan_share=1.5)


def test_beliefs_change_how_an_agent_acts_and_not_what_it_has_seen(drawn: Drawn) -> None:
    world = drawn("quality-gate", 0)
    asked: list[int] = []

    def believe(mdp: EmpiricalMdp) -> ValueBelief:
        """Claim that only the first action was never tried."""
        asked.append(int(mdp.count.sum()))
        visits = np.ones((mdp.state_count, mdp.action_count), dtype=np.int64)
        visits[:, 0] = 0
        return ValueBelief(np.zeros(visits.shape), np.ones(visits.shape), visits)

    log = play_planned(world, 30, np.random.default_rng(0), beliefs=believe)
    assert (log.transitions.action == 0).mean() > 0.9
    assert asked[0] == 0
    assert asked[-1] == len(log.transitions)
    solved = believed_values(counted(world, log), world.discount_or_own(None))
    assert log.q == pytest.approx(solved.q, abs=1e-4)
