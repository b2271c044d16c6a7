"""The workload: an exact oracle for q, Zipf's law, experiences the log can take."""

import numpy as np
import pytest

from benchmarks.harness import ResultsDifferError
from benchmarks.workload import (
    LEARNING_RATE,
    drawn_batch,
    drawn_log,
    drawn_pairs,
    expected_q,
    named,
    require_exact,
    targets_of,
    without_experiences,
)
from qe_core.fleet import registry

CONTRACT = registry().get("test-generator")


def test_expected_q_is_what_updating_step_by_step_gives():
    state, action = np.array([7]), np.array([3])
    target = targets_of(state, action)[0]
    q = 0.0
    for _ in range(5):
        q += LEARNING_RATE * (target - q)
    assert expected_q(state, action, np.array([5]))[0] == pytest.approx(q, rel=1e-14)
    assert expected_q(state, action, np.array([0]))[0] == 0.0


def test_targets_tell_all_pairs_apart_and_are_rewards():
    state, action = np.divmod(np.arange(CONTRACT.state_count * CONTRACT.action_count), CONTRACT.action_count)
    targets = targets_of(state, action)
    assert np.abs(targets).max() <= 100.0
    assert len(np.unique(targets)) == len(targets)


@pytest.mark.parametrize("wrong", [1e-8, np.nan])
def test_a_q_that_its_visits_do_not_explain_is_found(wrong):
    q = expected_q(np.array([1, 2]), np.array([0, 0]), np.array([4, 4]))
    require_exact("ours", np.array([1, 2]), np.array([0, 0]), np.array([4, 4]), q)
    q[1] += wrong
    with pytest.raises(ResultsDifferError, match="state 2, action 0"):
        require_exact("ours", np.array([1, 2]), np.array([0, 0]), np.array([4, 4]), q)


def test_skewed_pairs_follow_zipf_and_are_the_same_for_everybody():
    """The hottest pair's share, by the law itself; four standard errors of 200,000 draws."""
    ranks = np.arange(1, CONTRACT.state_count * CONTRACT.action_count + 1, dtype=float)
    share = 1.0 / (ranks**-1.2).sum()
    hottest = []
    for seed in (1, 2):
        state, action = drawn_pairs(CONTRACT, 200_000, 1.2, np.random.default_rng(seed))
        pairs, counts = np.unique(state * CONTRACT.action_count + action, return_counts=True)
        assert counts.max() / 200_000 == pytest.approx(share, abs=4 * np.sqrt(share / 200_000))
        hottest.append(pairs[counts.argmax()])
    assert hottest[0] == hottest[1]


def test_uniform_pairs_lie_inside_the_table():
    state, action = drawn_pairs(CONTRACT, 10_000, None, np.random.default_rng(0))
    assert 0 <= state.min() <= state.max() < CONTRACT.state_count
    assert set(np.unique(action)) == set(range(CONTRACT.action_count))


def test_batch_rewards_are_its_targets():
    batch = drawn_batch(CONTRACT, 100, None, np.random.default_rng(0))
    assert len(batch.target) == 100
    np.testing.assert_array_equal(batch.target, targets_of(batch.state, batch.action))
    np.testing.assert_array_equal(batch.reward, batch.target)
    assert named(batch, "e").episode.to_pylist() == ["e"] * 100
    alone = without_experiences(batch)
    assert alone.occurred_at is None
    assert alone.reward is None


def test_log_is_in_canonical_order_in_episodes_and_repeatable():
    log = drawn_log(CONTRACT, 120, 50, seed=1)
    assert log.equals(drawn_log(CONTRACT, 120, 50, seed=1))
    assert log.num_rows == 120
    assert np.flatnonzero(log["terminated"].to_numpy()).tolist() == [49, 99]
    assert log["success"].null_count == 118
    keys = list(
        zip(
            log["occurred_at"].to_pylist(),
            log["episode"].to_pylist(),
            log["step"].to_pylist(),
            strict=True,
        )
    )
    assert keys == sorted(keys)
    assert len(set(keys)) == 120
