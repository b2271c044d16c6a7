"""Improving on a baseline where the log knows enough, and the verdict on a candidate."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qe_core.errors import LearningError
from qe_core.learning.empirical_mdp import EmpiricalMdp
from qe_core.learning.experience import Transitions
from qe_core.rollout.off_policy_log import LoggedEpisodes
from qe_core.rollout.safe_improvement import SafeImprovementSettings, safe_improvement
from qe_core.rollout.safe_improvement_check import CandidateVerdict, CheckSettings, check_candidate

BASELINE = np.array([[0.7, 0.1, 0.1, 0.1]])


def bandit_log(rewards: dict[int, list[float]]) -> LoggedEpisodes:
    """Return episodes of one step in the only state, logged by `BASELINE`."""
    actions = [action for action, values in rewards.items() for _ in values]
    values = [value for values in rewards.values() for value in values]
    rows = len(actions)
    columns = Transitions.from_columns([0] * rows, actions, values, [0] * rows, [True] * rows)
    return LoggedEpisodes.from_columns(columns, np.arange(rows), [0] * rows, BASELINE[0, actions])


def improved(rewards: dict[int, list[float]], settings: SafeImprovementSettings) -> np.ndarray:
    mdp = EmpiricalMdp.from_transitions(bandit_log(rewards).transitions, 1, 4)
    return safe_improvement(mdp, BASELINE, 0.9, settings)


def test_probability_goes_to_the_best_of_what_is_known_and_the_rest_is_copied() -> None:
    # Action 3 was tried once and looks best; it keeps its tenth. Of the others action 1 is the best.
    rewards = {0: [10.0] * 20, 1: [50.0] * 5, 2: [0.0] * 5, 3: [90.0]}
    policy = improved(rewards, SafeImprovementSettings(5, 0.0))
    assert policy == pytest.approx(np.array([[0.0, 0.9, 0.0, 0.1]]))


def test_a_lead_within_noise_moves_nothing() -> None:
    rewards = {0: [10.0, -10.0] * 10, 1: [14.0, -10.0] * 5, 2: [-90.0, -91.0] * 5}
    policy = improved(rewards, SafeImprovementSettings(5, 3.0))
    # Action 1 leads action 0 by 2 points of a standard error of 4; action 2 is far behind.
    assert policy == pytest.approx(np.array([[0.7, 0.2, 0.0, 0.1]]))


def test_states_never_seen_keep_the_baseline() -> None:
    log = bandit_log({0: [10.0] * 20, 1: [90.0] * 20})
    mdp = EmpiricalMdp.from_transitions(log.transitions, 3, 4)
    baseline = np.repeat(BASELINE, 3, axis=0)
    policy = safe_improvement(mdp, baseline, 0.9)
    assert policy[1:] == pytest.approx(baseline[1:])
    assert policy[0] == pytest.approx([0.0, 0.8, 0.1, 0.1])


def test_it_looks_further_than_one_step() -> None:
    # Action 1 in state 0 pays less at once and leads to state 1, which pays 100.
    state, action = [0, 0, 1] * 30, [0, 1, 0] * 30
    reward, following = [10.0, 0.0, 100.0] * 30, [0, 1, 0] * 30
    columns = Transitions.from_columns(state, action, reward, following, [True, False, True] * 30)
    mdp = EmpiricalMdp.from_transitions(columns, 2, 2)
    policy = safe_improvement(mdp, np.full((2, 2), 0.5), 0.9)
    assert policy[0] == pytest.approx([0.0, 1.0])
    assert policy[1] == pytest.approx([0.5, 0.5])


@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_little_known_pairs_keep_their_probability_and_rows_stay_distributions(seed: int, least: int) -> None:
    rng = np.random.default_rng(seed)
    rows = int(rng.integers(1, 200))
    columns = Transitions.from_columns(
        rng.integers(0, 5, rows), rng.integers(0, 3, rows), rng.normal(0, 30, rows), rng.integers(0, 5, rows),
        rng.random(rows) < 0.5,
    )  # fmt: skip
    mdp = EmpiricalMdp.from_transitions(columns, 5, 3)
    baseline = rng.dirichlet(np.ones(3), 5)
    policy = safe_improvement(mdp, baseline, 0.9, SafeImprovementSettings(least, 1.0))
    assert policy.sum(axis=1) == pytest.approx(np.ones(5))
    is_little_known = mdp.visits < least
    assert policy[is_little_known] == pytest.approx(baseline[is_little_known])


def test_settings_out_of_range_are_named() -> None:
    with pytest.raises(LearningError, match="minimum_visits"):
        SafeImprovementSettings(0)
    with pytest.raises(LearningError, match="standard_errors"):
        SafeImprovementSettings(5, -1.0)


def served(rng: np.random.Generator, means: list[float], count: int) -> LoggedEpisodes:
    actions = rng.choice(4, size=count, p=BASELINE[0])
    return bandit_log({a: rng.normal(means[a], 10.0, int((actions == a).sum())).tolist() for a in range(4)})


def test_a_better_candidate_is_ready_and_the_record_is_complete() -> None:
    log = served(np.random.default_rng(0), [10.0, 30.0, 0.0, 0.0], 4000)
    check = check_candidate(log, np.array([[0.1, 0.7, 0.1, 0.1]]), BASELINE, 0.9)
    assert check.verdict is CandidateVerdict.READY
    record = json.loads(json.dumps(check.as_json()))
    assert record["difference"]["value"] == pytest.approx(12.0, abs=1.5)
    assert record["worst_case_difference"] > 8.0
    assert [found["estimator"] for found in record["candidate"]] == ["doubly_robust", "importance_sampling"]
    assert record["support"]["refusal"] == ""


def test_a_worse_candidate_is_unsafe_by_name() -> None:
    log = served(np.random.default_rng(1), [10.0, 30.0, 0.0, 0.0], 4000)
    check = check_candidate(log, np.array([[0.1, 0.1, 0.7, 0.1]]), BASELINE, 0.9)
    assert check.verdict is CandidateVerdict.UNSAFE
    assert "estimated to lose" in check.reason


def test_a_gain_that_may_be_a_loss_in_the_worst_cases_is_unsafe() -> None:
    log = served(np.random.default_rng(4), [10.0, 12.0, 10.0, 10.0], 600)
    candidate = np.array([[0.0, 1.0, 0.0, 0.0]])
    check = check_candidate(log, candidate, BASELINE, 0.9)
    assert check.verdict is CandidateVerdict.UNSAFE
    assert "in the worst 1%" in check.reason
    easy = check_candidate(log, candidate, BASELINE, 0.9, CheckSettings(tolerated_loss_points=50.0))
    assert easy.verdict is CandidateVerdict.READY


def test_a_candidate_without_support_is_refused_without_a_number() -> None:
    log = bandit_log({0: [10.0] * 500})
    check = check_candidate(log, np.array([[0.0, 0.0, 1.0, 0.0]]), BASELINE, 0.9)
    assert check.verdict is CandidateVerdict.REFUSED
    assert check.candidate == ()
    assert (check.baseline, check.difference, check.worst_case_difference) == (None, None, None)
    json.dumps(check.as_json())


def test_a_baseline_without_support_is_refused_by_name() -> None:
    log = bandit_log({1: [10.0] * 500})
    check = check_candidate(log, np.array([[0.0, 1.0, 0.0, 0.0]]), np.array([[1.0, 0.0, 0.0, 0.0]]), 0.9)
    assert check.verdict is CandidateVerdict.REFUSED
    assert check.reason.startswith("baseline:")


def test_the_baseline_itself_is_ready() -> None:
    log = served(np.random.default_rng(3), [10.0, 30.0, 0.0, 0.0], 400)
    check = check_candidate(log, BASELINE, BASELINE, 0.9)
    assert check.verdict is CandidateVerdict.READY
    assert check.worst_case_difference == 0.0


@pytest.mark.parametrize(("setting", "value"), [("worst_case", 0.5), ("confidence_level", 0.0)])
def test_check_settings_out_of_range_are_named(setting: str, value: float) -> None:
    with pytest.raises(LearningError, match=setting):
        CheckSettings(**{setting: value})
