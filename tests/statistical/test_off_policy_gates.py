"""The check before a test against exact values, in short; the long form is ``tests.off_policy_gates``.

Seeds are fixed and were not looked at while choosing. Where a share is claimed, the error rate is that of
fresh seeds at exactly the claimed share.
"""

import numpy as np
import pytest
from scipy.stats import binom

from qe_core.environments.catalogue import world_of
from qe_core.fleet.registry import built_registry
from qe_core.fleet.roster import AGENTS
from qe_core.rollout.off_policy import Estimator
from tests.off_policy_gates import (
    coverage,
    coverage_table,
    episode_value,
    follow,
    improvements,
    markdown,
    safety_table,
    stable_of,
    worst_mean,
)

SHORT_AGENTS = tuple(AGENTS[index] for index in (0, 3, 7, 10, 13, 17))
SEEDS = range(2_000, 2_003)
ERROR_RATE = 0.001


def test_intervals_hold_the_exact_value_and_what_has_no_support_is_refused() -> None:
    found = coverage(SHORT_AGENTS, SEEDS)
    judged = [item for item in found if not item.refused]
    misses = sum(not item.covered[str(Estimator.DOUBLY_ROBUST)] for item in judged)
    # Intervals that miss one value in twenty miss more often than this with probability 0.001.
    assert misses <= binom.isf(ERROR_RATE, len(judged), 0.05)
    assert len(judged) > 60
    without = [item for item in found if item.case == "without support"]
    assert len(without) == len(SHORT_AGENTS) * len(SEEDS)
    assert all(item.refused for item in without)
    own = [item for item in found if item.case == "serving: its own value"]
    assert not any(item.refused for item in own)


@pytest.mark.parametrize("index", [1, 8, 15])
def test_safe_improvement_is_not_below_its_baseline_where_greed_is(index: int) -> None:
    # The claim is about the mean of the worst hundredth; of 20 logs that is the worst one.
    gains = improvements(AGENTS[index], range(2_000, 2_020), 300)
    assert worst_mean(gains["safe improvement"]) >= 0.0
    assert worst_mean(gains["checked"]) >= 0.0
    assert worst_mean(gains["greedy"]) < 0.0


def test_safe_improvement_gains_where_the_log_is_longer() -> None:
    gains = improvements(AGENTS[8], range(2_000, 2_005), 3_000)
    assert gains["safe improvement"].min() > 0.0


def test_exact_values_agree_with_what_is_played() -> None:
    # The mean of 20,000 episodes; five standard errors.
    world = world_of(built_registry().get("quality-gate"), 0)
    _, stable = stable_of(world, np.random.default_rng(0))
    log = follow(world, stable, 20_000, np.random.default_rng(1))
    discount = world.discount_or_own(None)
    returns = log.by_step(log.transitions.reward, 0.0) @ discount ** np.arange(log.horizon)
    error = returns.std() / np.sqrt(len(returns))
    assert abs(returns.mean() - episode_value(world, stable)) < 5 * error


def test_the_tables_show_every_case_agent_and_policy() -> None:
    found = coverage(AGENTS[:1], range(2_000, 2_001))
    gains = {300: {AGENTS[0].name: improvements(AGENTS[0], range(2_000, 2_003), 300)}}
    text = markdown(coverage_table(found), safety_table(gains))
    assert "| without support | 0 | 1 | – | – |" in text
    assert f"| {AGENTS[0].name} |" in text
    assert "| 300 | greedy | 3 |" in text
