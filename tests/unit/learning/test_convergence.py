"""The verdict follows the criteria, one by one."""

from dataclasses import replace

import pytest

from qe_core.errors import LearningError
from qe_core.learning.convergence import (
    ConvergenceSettings,
    Verdict,
    WindowStatistics,
    judge,
    judged,
)

GOOD = WindowStatistics(
    window_index=0, first_row=0, end_row=100, episodes=25, experiences=100, mean_return=50.0, return_sd=5.0,
    reward_mean=12.5, reward_sd=3.0, success_rate=0.95, exploration_rate=0.01, mean_abs_q_change=0.002,
    largest_q=60.0, bellman_residual=1.0, recent_bias=0.5, greedy_churn=0.0, pair_coverage=1.0,
    is_settling=True, states_visited=20,
)  # fmt: skip


def ten(**changes: object) -> list[WindowStatistics]:
    return [replace(GOOD, **changes)] * 10


def test_converged_when_every_criterion_holds() -> None:
    verdict, reason = judge(ten())
    assert verdict is Verdict.CONVERGED
    assert reason == "every criterion held over the last 10 windows"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"mean_abs_q_change": 0.011}, "change of q 0.011, needs ≤ 0.01"),
        ({"success_rate": 0.84}, "success rate 0.84, needs ≥ 0.85"),
        ({"success_rate": None}, "success rate is unknown"),
        ({"exploration_rate": 0.06}, "exploration rate 0.06, needs ≤ 0.05"),
        ({"exploration_rate": None}, "exploration rate is unknown"),
        ({"bellman_residual": 11.0}, "Bellman residual 11, needs ≤ 10"),
        ({"recent_bias": 12.0}, "bias against recent targets 12, needs ≤ 10"),
        ({"greedy_churn": 0.06}, "greedy churn 0.06, needs ≤ 0.05"),
        ({"pair_coverage": 0.5}, "coverage of pairs that matter 0.5, needs ≥ 0.8"),
        ({"is_settling": False}, "step sizes do not settle"),
    ],
)
def test_one_criterion_that_does_not_hold_is_named(change: dict[str, object], reason: str) -> None:
    verdict, found = judge(ten(**change))
    assert verdict is Verdict.LEARNING
    assert found.startswith(reason)
    assert ";" not in found


def test_figures_at_their_limit_hold() -> None:
    at_limit = ten(mean_abs_q_change=0.01, success_rate=0.85, exploration_rate=0.05, bellman_residual=10.0)
    assert judge(at_limit)[0] is Verdict.CONVERGED


def test_rates_are_judged_on_average_over_the_windows() -> None:
    windows = ten()
    windows[3] = replace(GOOD, success_rate=0.5, greedy_churn=0.4)
    assert judge(windows)[0] is Verdict.CONVERGED
    windows[4] = windows[5] = windows[3]
    assert judge(windows)[1].startswith("success rate 0.815")


def test_returns_may_spread_by_five_points_or_as_much_as_noise_explains() -> None:
    wide = [replace(GOOD, mean_return=50.0 + 8.0 * (-1) ** i) for i in range(10)]
    verdict, reason = judge(wide)
    assert verdict is Verdict.LEARNING
    assert reason.startswith("spread of the mean return 8.43, needs ≤ 5")
    # Noise of 30 points over 25 episodes is 6 per window mean; 1.76 · 6 = 10.6.
    noisy = [replace(window, return_sd=30.0) for window in wide]
    assert judge(noisy)[0] is Verdict.CONVERGED


def test_too_few_windows_are_insufficient() -> None:
    verdict, reason = judge(ten()[:9])
    assert verdict is Verdict.INSUFFICIENT_DATA
    assert reason == "9 of 10 windows of 25 episodes"


def test_an_idle_agent_is_stale_whatever_else_holds() -> None:
    day = 86_400.0
    assert judge(ten(), idle_seconds=13 * day)[0] is Verdict.CONVERGED
    assert judge(ten(), idle_seconds=15 * day) == (Verdict.STALE, "no experiences for 15.0 days")
    assert judge([], idle_seconds=15 * day)[0] is Verdict.STALE


def test_values_that_move_more_and_more_diverge() -> None:
    windows = [replace(GOOD, mean_abs_q_change=0.01 * 1.3**i) for i in range(10)]
    verdict, reason = judge(windows)
    assert verdict is Verdict.DIVERGING
    assert reason.startswith("changes of q grew")
    assert "lower the learning rate" in reason


def test_returns_that_fall_beyond_noise_diverge() -> None:
    falling = [replace(GOOD, mean_return=50.0 - 3.0 * i) for i in range(10)]
    assert judge(falling)[0] is Verdict.DIVERGING
    assert judge(falling)[1].startswith("the mean return fell from 44 to 29 points")
    noisy = [replace(window, return_sd=200.0) for window in falling]
    assert judge(noisy)[0] is not Verdict.DIVERGING


def test_returns_that_rise_do_not_diverge() -> None:
    rising = [replace(GOOD, mean_return=50.0 + 3.0 * i) for i in range(10)]
    assert judge(rising)[0] is Verdict.LEARNING


def test_each_window_is_judged_with_what_was_known_at_its_end() -> None:
    verdicts = [window.verdict for window in judged([*ten(success_rate=0.1), *ten()])]
    assert verdicts[:9] == [Verdict.INSUFFICIENT_DATA] * 9
    assert verdicts[9:18] == [Verdict.LEARNING] * 9
    assert verdicts[19] is Verdict.CONVERGED


def test_staleness_concerns_the_newest_window_only() -> None:
    windows = judged(ten(), idle_seconds=1e9)
    assert [window.verdict for window in windows] == [Verdict.INSUFFICIENT_DATA] * 9 + [Verdict.STALE]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"window_episodes": 1}, "window_episodes must be at least 2, got 1"),
        ({"window_count": 1}, "window_count must be at least 2"),
        ({"min_pair_visits": 0}, "min_pair_visits must be at least 1"),
        ({"maximum_windows": 5}, "maximum_windows 5 is below window_count 10"),
        ({"min_success_rate": 85.0}, "min_success_rate must lie in"),
        ({"max_greedy_churn": -0.1}, "max_greedy_churn must lie in"),
        ({"reward_scale": 0.0}, "reward_scale must be a finite number above 0"),
        ({"stale_after_seconds": float("nan")}, "stale_after_seconds must be a finite number above 0"),
    ],
)
def test_impossible_settings_are_refused(fields: dict[str, float], message: str) -> None:
    with pytest.raises(LearningError, match=message):
        ConvergenceSettings(**fields)
