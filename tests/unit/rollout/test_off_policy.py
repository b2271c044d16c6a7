"""Estimates by hand, support, refusals, and speed."""

import time

import numpy as np
import pytest

from qe_core.errors import LearningError
from qe_core.learning.empirical_mdp import EmpiricalMdp
from qe_core.learning.experience import Transitions
from qe_core.rollout.off_policy import WIDENING, Estimator, Evaluation, evaluate
from qe_core.rollout.off_policy_log import LoggedEpisodes
from qe_core.rollout.off_policy_model import model_values, unsupported_share
from qe_core.rollout.off_policy_policies import require_policy, tabular_policy
from qe_core.rollout.off_policy_support import NoSupportError, Support, SupportSettings, support_of
from qe_core.rollout.off_policy_weights import effective_sample_size, importance_weights

ANY_SUPPORT = SupportSettings(1.0001, 1.0)


def one_step(actions: list[int], rewards: list[float], propensity: list[float]) -> LoggedEpisodes:
    """Return episodes of one step in state 0 of 1."""
    rows = len(actions)
    columns = Transitions.from_columns([0] * rows, actions, rewards, [0] * rows, [True] * rows)
    return LoggedEpisodes.from_columns(columns, np.arange(rows), [0] * rows, propensity)


def test_weights_are_products_of_ratios_and_stay_after_the_end() -> None:
    columns = Transitions.from_columns([0, 1, 0], [0, 1, 1], [0.0] * 3, [1, 0, 0], [False, True, True])
    log = LoggedEpisodes.from_columns(columns, [0, 0, 1], [0, 1, 0], [0.5, 0.25, 0.5])
    policy = np.array([[0.8, 0.2], [0.5, 0.5]])
    assert importance_weights(log, policy) == pytest.approx(np.array([[1.6, 3.2], [0.4, 0.4]]))
    assert effective_sample_size(np.array([[1.6, 3.2], [0.4, 0.4]])) == pytest.approx(
        3.6**2 / (3.2**2 + 0.16)
    )
    assert effective_sample_size(np.zeros((3, 2))) == 0.0


def test_weighted_importance_sampling_by_hand() -> None:
    # Weights 2·0.25 and 2·0.75: 0.5 for action 0, 1.5 for action 1, normalised by their sum of 4.
    log = one_step([0, 0, 1, 1], [10.0, 20.0, 30.0, 50.0], [0.5] * 4)
    policy = np.array([[0.25, 0.75]])
    support = support_of(log, policy, ANY_SUPPORT)
    found = evaluate(log, policy, 0.9, support, Estimator.IMPORTANCE_SAMPLING)
    assert found.value == pytest.approx((0.5 * 30.0 + 1.5 * 80.0) / 4.0)
    shown = found.estimate(0.95)
    assert shown.lower < found.value < shown.upper
    assert shown.upper - found.value == pytest.approx(found.value - shown.lower)


def test_evaluating_the_logged_policy_itself_gives_the_mean_return() -> None:
    rng = np.random.default_rng(0)
    rewards = rng.normal(10.0, 5.0, 400)
    log = one_step(rng.integers(0, 2, 400).tolist(), rewards.tolist(), [0.5] * 400)
    policy = np.array([[0.5, 0.5]])
    found = evaluate(log, policy, 0.9, support_of(log, policy), Estimator.IMPORTANCE_SAMPLING)
    assert found.value == pytest.approx(rewards.mean())
    assert found.standard_error == pytest.approx(rewards.std(ddof=1) / 20.0, rel=0.01)
    assert found.effective_sample_size == pytest.approx(400.0)
    shown = found.estimate(0.95)
    assert shown.upper - shown.value == pytest.approx(WIDENING * 1.966 * found.standard_error, rel=0.001)


def test_the_doubly_robust_estimate_is_exact_where_the_model_is() -> None:
    # Rewards without noise: every fold's model is exact, so the weights have nothing left to correct.
    rng = np.random.default_rng(1)
    actions = rng.integers(0, 2, 200)
    log = one_step(actions.tolist(), np.where(actions == 1, 30.0, 10.0).tolist(), [0.5] * 200)
    policy = np.array([[0.1, 0.9]])
    found = evaluate(log, policy, 0.9, support_of(log, policy))
    assert found.value == pytest.approx(28.0)
    assert found.standard_error == pytest.approx(0.0, abs=1e-9)


def test_a_difference_of_equal_policies_is_nothing() -> None:
    log = one_step([0, 1] * 100, [10.0, 20.0] * 100, [0.5] * 200)
    policy = np.array([[0.3, 0.7]])
    found = evaluate(log, policy, 0.9, support_of(log, policy))
    none = found.minus(found).estimate(0.95)
    assert (none.value, none.lower, none.upper) == (0.0, 0.0, 0.0)


def test_what_is_unknown_of_either_policy_widens_their_difference() -> None:
    one, other = (
        Evaluation(Estimator.DOUBLY_ROBUST, 9.0, np.zeros(4), unknown, 4.0) for unknown in (2.0, 0.5)
    )
    shown = one.minus(other).estimate(0.95)
    assert (shown.lower, shown.upper) == (-2.5, 2.5)


def test_without_support_there_is_no_number() -> None:
    log = one_step([0] * 500, [10.0] * 500, [1.0] * 500)
    support = support_of(log, np.array([[0.0, 1.0]]))
    assert support.unsupported_share == 1.0
    assert "never shows in that state, most often action 1 in state 0" in support.refusal
    with pytest.raises(NoSupportError, match="let the serving policy explore more"):
        evaluate(log, np.array([[0.0, 1.0]]), 0.9, support)


def test_too_few_effective_episodes_are_refused() -> None:
    log = one_step([0] * 990 + [1] * 10, [10.0] * 1000, [0.99] * 990 + [0.01] * 10)
    support = support_of(log, np.array([[0.0, 1.0]]))
    assert support.effective_sample_size == pytest.approx(10.0)
    assert "1000 episodes are worth 10 of the candidate's own, fewer than 50" in support.refusal


def test_an_empty_log_is_refused() -> None:
    log = LoggedEpisodes.from_columns(Transitions.empty(), [], [], [])
    assert "no complete episode" in support_of(log, np.array([[1.0]])).refusal


def test_what_the_logged_policy_rarely_tries_itself_is_no_lack_of_support() -> None:
    # 40 visits, exploration spread over 3 actions at 0.01 each, one of which never came up.
    log = one_step([0] * 38 + [1, 2], [10.0] * 40, [0.97] * 38 + [0.01, 0.01])
    mdp = EmpiricalMdp.from_transitions(log.transitions, 1, 4)
    logged = np.array([[0.97, 0.01, 0.01, 0.01]])
    assert unsupported_share(mdp, log, logged) == pytest.approx(0.0)
    assert unsupported_share(mdp, log, np.array([[0.0, 0.0, 0.0, 1.0]])) == pytest.approx(0.99)


def test_support_is_lost_as_often_as_the_candidate_gets_there() -> None:
    # From state 0 action 1 leads to state 1, where only action 0 was ever taken.
    state, action, following = [0, 1, 0] * 50, [1, 0, 0] * 50, [1, 0, 0] * 50
    columns = Transitions.from_columns(state, action, [0.0] * 150, following, [False, True, True] * 50)
    episode = np.repeat(np.arange(100), np.tile([2, 1], 50))
    log = LoggedEpisodes.from_columns(columns, episode, [0, 1, 0] * 50, [0.5, 1.0, 0.5] * 50)
    mdp = EmpiricalMdp.from_transitions(columns, 2, 2)
    assert unsupported_share(mdp, log, np.array([[0.75, 0.25], [0.4, 0.6]])) == pytest.approx(0.25 * 0.6)


def test_model_values_take_the_unknown_to_be_like_the_rest() -> None:
    columns = Transitions.from_columns([0, 0], [0, 1], [10.0, 20.0], [0, 0], [True, True])
    mdp = EmpiricalMdp.from_transitions(columns, 2, 3)
    q = model_values(mdp, np.array([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]]), 0.9)
    assert q[0] == pytest.approx([10.0, 20.0, (2 * 10.0 + 20.0) / 3])
    assert q[1] == pytest.approx([0.0, 0.0, 0.0])
    only_unknown = model_values(mdp, np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]), 0.9)
    assert only_unknown[0, 2] == pytest.approx(15.0)


def test_a_policy_follows_from_values_as_an_agent_chooses() -> None:
    values = np.array([[3.0, 3.0, 9.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    known = np.array([[True, True, False, True], [False] * 4])
    policy = tabular_policy(values, known, 0.2)
    assert policy[0] == pytest.approx([0.45, 0.45, 0.05, 0.05])
    assert policy[1] == pytest.approx([0.25] * 4)
    require_policy("it", policy)


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (np.array([[0.5, 0.4]]), r"row 0 \(0.9\)"),
        (np.array([[1.5, -0.5]]), "row 0"),
        (np.array([1.0]), "shape"),
    ],
)
def test_what_is_no_policy_is_named(policy: np.ndarray, message: str) -> None:
    with pytest.raises(LearningError, match=message):
        require_policy("the candidate", policy)


def test_a_log_of_another_size_is_refused() -> None:
    log = one_step([0, 1] * 100, [10.0] * 200, [0.5] * 200)
    with pytest.raises(LearningError, match="action must lie in"):
        support_of(log, np.array([[1.0]]))


def test_a_discount_out_of_range_is_refused() -> None:
    log = one_step([0, 1] * 100, [10.0] * 200, [0.5] * 200)
    supported = Support(200, 0, 200.0, 0.0, "")
    with pytest.raises(LearningError, match="discount"):
        evaluate(log, np.array([[0.5, 0.5]]), 1.0, supported)


def test_a_hundred_thousand_episodes_take_seconds() -> None:
    rng = np.random.default_rng(2)
    rows, steps = 300_000, 3
    state = rng.integers(0, 200, rows)
    following = np.roll(state, -1)
    ends = np.arange(rows) % steps == steps - 1
    columns = Transitions.from_columns(
        state, rng.integers(0, 5, rows), rng.normal(size=rows), following, ends
    )
    policy = np.full((200, 5), 0.2)
    began = time.process_time()
    log = LoggedEpisodes.from_columns(
        columns, np.arange(rows) // steps, np.arange(rows) % steps, np.full(rows, 0.2)
    )
    evaluate(log, policy, 0.95, support_of(log, policy)).estimate(0.95)
    assert time.process_time() - began < 20.0
