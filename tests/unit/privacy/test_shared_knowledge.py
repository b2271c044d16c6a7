"""The table that follows from noisy contributions, and what noise leaves of its visits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qe_core.learning.empirical_mdp import q_table_from_transitions
from qe_core.learning.experience import Transitions
from qe_core.privacy.aggregation import CombineSettings, Contribution, NoisyMdp, combine
from qe_core.privacy.mechanism import NoiseScales
from qe_core.privacy.shared_knowledge import solve_shared
from qe_core.privacy.space import PublicSpace
from qe_core.privacy.statistics import exact_statistics
from qe_core.privacy.units import AgentSteps, ContributionBound, ProtectedUnit

STATES, ACTIONS, DISCOUNT = 6, 3, 0.9
PLAIN = PublicSpace(
    "plain", "f" * 64, STATES, ACTIONS, STATES, np.arange(STATES), np.zeros(STATES, dtype=np.int64)
)
SILENT = NoiseScales(0.0, 0.0, 0.0, 0.0)
OPEN = CombineSettings(minimum_cohort=3, minimum_group=1, sureness=0.0)


def walk(seed: int, steps: int) -> Transitions:
    """Random steps with rewards in whole points; each is a task of its own."""
    rng = np.random.default_rng(seed)
    state, action = rng.integers(0, STATES, steps), rng.integers(0, ACTIONS, steps)
    ahead = np.where(rng.random(steps) < 0.7, (state + action) % STATES, rng.integers(0, STATES, steps))
    reward = (10 * action - 5 * state + rng.integers(-3, 4, steps)).astype(float)
    terminated = rng.random(steps) < 0.1
    return Transitions.from_columns(state, action, reward, ahead, terminated, ~terminated)


def counted(walked: Transitions):
    """What a member that lived through this reports, without noise."""
    steps = AgentSteps(
        np.arange(len(walked)),
        walked.state,
        walked.action,
        walked.reward,
        walked.next_state,
        walked.terminated,
    )
    bound = ContributionBound(ProtectedUnit.TASK, 1, 100.0)
    return exact_statistics({"plain": steps}, {"plain": PLAIN}, bound, np.random.default_rng(0))["plain"]


@pytest.mark.parametrize("seed", range(5))
def test_without_noise_the_table_is_the_exact_solution_of_what_members_saw(seed):
    walked = walk(seed, 400)
    members = [Contribution(name, counted(walked), SILENT) for name in "abc"]
    team = solve_shared(PLAIN, combine(PLAIN, members, OPEN), DISCOUNT, pessimism=0.0)
    own = q_table_from_transitions(walked, STATES, ACTIONS, DISCOUNT)
    assert team.visits.tolist() == (3 * own.visits).tolist()
    assert team.q == pytest.approx(own.q, abs=1e-7)


def test_states_keep_what_a_step_cannot_change():
    # Two kinds of task (rest), two parts. Action 0 leads from part 0 to part 1, where it earns and ends.
    space = PublicSpace("kinds", "f" * 64, 4, 1, 2, np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1]))
    mdp = NoisyMdp(
        is_known=np.full((4, 1), True),
        visits=np.full((4, 1), 100.0),
        reward=np.array([[0.0], [10.0], [0.0], [-10.0]]),
        reward_variance=np.zeros((4, 1)),
        successors=np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
        contributors=("a", "b", "c"),
        left_out=(),
    )
    team = solve_shared(space, mdp, 0.5, pessimism=0.0)
    assert team.q[:, 0].tolist() == pytest.approx([5.0, 10.0, -5.0, -10.0])


def test_actions_are_compared_cautiously_but_a_state_keeps_its_level():
    space = PublicSpace("one", "f" * 64, 1, 2, 1, np.array([0]), np.array([0]))
    mdp = NoisyMdp(
        is_known=np.array([[True, True]]),
        visits=np.array([[100.0, 4.0]]),
        reward=np.array([[10.0, 11.0]]),
        reward_variance=np.zeros((1, 2)),
        successors=np.array([[0.0, 1.0], [0.0, 1.0]]),
        contributors=("a", "b", "c"),
        left_out=(),
    )
    # One step's variance is 400, so the errors are 2 and 10 points. Cautiously 10 - 2 beats 11 - 10 by 7; the
    # policy that follows is worth 10.
    team = solve_shared(space, mdp, 0.5, pessimism=1.0)
    assert team.error[0].tolist() == pytest.approx([2.0, 10.0])
    assert team.q[0].tolist() == pytest.approx([10.0, 3.0])
    assert solve_shared(space, mdp, 0.5, pessimism=0.0).q[0].tolist() == pytest.approx([10.0, 11.0])


def test_effective_visits_by_hand():
    mdp = NoisyMdp(
        is_known=np.array([[True, True, False]]),
        visits=np.array([[100.0, 100.0, 0.0]]),
        reward=np.zeros((1, 3)),
        reward_variance=np.array([[0.0, 12.0, 0.0]]),
        successors=np.array([[0.0, 1.0], [0.0, 1.0], [0.0, 0.0]]),
        contributors=("a", "b", "c"),
        left_out=(),
    )
    space = PublicSpace("one", "f" * 64, 1, 3, 1, np.array([0]), np.array([0]))
    team = solve_shared(space, mdp, DISCOUNT)
    # 400 / (400 / 100) = 100, and with noise 400 / (400 / 100 + 12) = 25.
    assert team.visits.tolist() == [[100, 25, 0]]
    assert team.error[0].tolist() == pytest.approx([2.0, 4.0, 0.0])
    assert team.reported.tolist() == [[100.0, 100.0, 0.0]]
    assert team.q[0, 2] == 0.0


@given(st.integers(0, 2**32), st.floats(0.1, 30.0))
def test_effective_visits_are_never_more_than_what_was_reported(seed, noise):
    rng = np.random.default_rng(seed)
    scales = NoiseScales(1.0, noise, 100 * noise, noise)
    members = []
    for name in "abcd":
        exact = counted(walk(int(rng.integers(100)), 300))
        noisy = exact.visits + np.rint(rng.normal(0, noise, exact.visits.shape)).astype(np.int64)
        members.append(Contribution(name, type(exact)(300, noisy, exact.rewards, exact.transitions), scales))
    mdp = combine(PLAIN, members, CombineSettings())
    team = solve_shared(PLAIN, mdp, DISCOUNT, tolerance=1e-3)
    assert (team.visits <= np.maximum(mdp.visits, 1)).all()
    assert ((team.visits > 0) == mdp.is_known).all()


def test_the_same_contributions_give_the_same_bits():
    members = [Contribution(name, counted(walk(seed, 300)), SILENT) for seed, name in enumerate("abcd")]
    first, second = (
        solve_shared(PLAIN, combine(PLAIN, order, OPEN), DISCOUNT) for order in (members, members[::-1])
    )
    for name in ("q", "visits", "error", "reported"):
        assert getattr(first, name).tobytes() == getattr(second, name).tobytes()


def test_where_nothing_is_known_the_table_is_empty():
    members = [Contribution(name, counted(walk(0, 30)), SILENT) for name in "abc"]
    mdp = combine(PLAIN, members, CombineSettings(minimum_group=10_000))
    team = solve_shared(PLAIN, mdp, DISCOUNT)
    assert team.known_count == 0
    assert not np.stack([team.q, team.error, team.reported]).any()
